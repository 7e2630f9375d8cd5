"""What all tunings share. A tuning is a value: two equal ones give the same lineage key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from forgetting.checking import Checked
from forgetting.models.parts import Part

if TYPE_CHECKING:  # peft takes four seconds, and pages made from records need no adapter
    from peft import PeftConfig
    from transformers import PreTrainedModel


class Tuning(Checked):
    """Base class: subclasses say which of the model's own parameters train (`trains`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def recipe(self) -> dict[str, Any]:
        """What enters a lineage key."""
        return {"kind": type(self).__name__, **self.model_dump(mode="json")}

    def trains(self, part: Part, blocks: int) -> bool:
        """Whether the parameters of a part may change, in a model of so many blocks."""
        raise NotImplementedError

    def apply(self, model: PreTrainedModel) -> Any:
        """The model with `requires_grad` set (adapters: wrapped by peft).

        Raises `ValueError` where the tuning would train nothing, or should freeze and does not.
        """
        from forgetting.models.family import parts

        part_by_name = parts(model)
        blocks = len({part.block for part in part_by_name.values()} - {None})
        for name, parameter in model.named_parameters():
            parameter.requires_grad = self.trains(part_by_name[name], blocks)
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError(f"{self!r} leaves nothing to train in a model of {blocks} layers")
        if all(p.requires_grad for p in model.parameters()):
            kinds = ", ".join(sorted({part.kind for part in part_by_name.values()}))
            raise ValueError(f"{self!r} freezes nothing in {type(model).__name__}: it has {kinds}")
        return model

    @property
    def adapter(self) -> PeftConfig | None:
        """peft's configuration for adapter methods, None for the others."""
        return None


class Blocks(Tuning):
    """A tuning of `k` transformer blocks."""

    k: int = Field(ge=1)

    def __init__(self, k: int) -> None:
        super().__init__(k=k)  # type: ignore[call-arg]

    def checked(self, blocks: int) -> int:
        """`k`. Raises `ValueError` where the model has fewer blocks."""
        if self.k > blocks:
            raise ValueError(f"k={self.k}: the model has {blocks} layers; freeze at most that many")
        return self.k


class Adapter(Tuning):
    """A tuning that trains weights of its own, beside frozen ones; peft places them."""

    @property
    def adapter(self) -> PeftConfig:
        raise NotImplementedError

    def apply(self, model: PreTrainedModel) -> Any:
        """The model, wrapped by peft.

        Raises `ValueError` where it lacks one of the modules: peft would train the others alone.
        """
        from peft import get_peft_model

        from forgetting.models.family import family_of

        _require_modules(self, model)
        config: Any = self.adapter
        config.exclude_modules = family_of(model).still
        return get_peft_model(model, config)


def _require_modules(adapter: Adapter, model: PreTrainedModel) -> None:
    asked = getattr(adapter.adapter, "target_modules", None) or ()
    names = {name for name, _ in model.named_modules()}
    for module in () if isinstance(asked, str) else sorted(asked):
        if not any(name == module or name.endswith(f".{module}") for name in names):
            weights = (n.removesuffix(".weight") for n, p in model.named_parameters() if p.ndim > 1)
            has = sorted({name.rpartition(".")[2] for name in weights})
            raise ValueError(
                f"modules={module!r}: {type(model).__name__} has none, and {adapter!r} would train "
                f"without it; name modules that it has: {', '.join(has)}"
            )
