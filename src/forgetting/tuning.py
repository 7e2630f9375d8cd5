"""What may move: each tuning names the parameters that training is allowed to change.

Rows of the table in Li & Lee (2024), arXiv 2401.03129, and their relatives. A tuning is a value:
two equal ones give the same lineage key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:  # peft takes four seconds, and pages made from records need no adapter
    from peft import PeftConfig
    from transformers import PreTrainedModel

# Llama's names and GPT-2's.
BLOCK = re.compile(r"\.(?:layers|h)\.(\d+)\.")
EMBEDDINGS = re.compile(r"\.(?:embed_tokens|wte|wpe)\.")
ATTENTION = re.compile(r"\.(?:self_attn|attn)\.")


class Tuning(BaseModel):
    """Base class: subclasses say which of the model's own parameters train."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def recipe(self) -> dict[str, Any]:
        """What enters a lineage key."""
        return {"kind": type(self).__name__, **self.model_dump(mode="json")}

    def trains(self, name: str, layers: int) -> bool:
        """Whether parameter `name` of a model with `layers` blocks may change."""
        raise NotImplementedError

    def apply(self, model: PreTrainedModel) -> Any:
        """The model with `requires_grad` set (adapters: wrapped by peft).

        Raises `ValueError` where the tuning would train nothing, or should freeze and does not.
        """
        layers = model.config.num_hidden_layers
        for name, parameter in model.named_parameters():
            parameter.requires_grad = self.trains(name, layers)
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError(f"{self!r} leaves nothing to train in a model of {layers} layers")
        if not isinstance(self, Full) and all(p.requires_grad for p in model.parameters()):
            raise ValueError(
                f"{self!r} freezes nothing in {type(model).__name__}: its layers have other names"
            )
        return model

    @property
    def adapter(self) -> PeftConfig | None:
        """peft's configuration for adapter methods, None for the others."""
        return None


class Full(Tuning):
    """Everything may move."""

    def trains(self, name: str, layers: int) -> bool:
        return True


class FreezeFirst(Tuning):
    """The first `k` transformer blocks stay; embeddings and the rest move (paper: k = 10 of 32)."""

    k: int = Field(ge=1)

    def __init__(self, k: int) -> None:
        super().__init__(k=k)  # type: ignore[call-arg]

    def trains(self, name: str, layers: int) -> bool:
        block = _block(name)
        return block is None or block >= _checked(self.k, layers)


class FreezeLast(Tuning):
    """The last `k` transformer blocks stay (paper: blocks 22 to 31 of 32)."""

    k: int = Field(ge=1)

    def __init__(self, k: int) -> None:
        super().__init__(k=k)  # type: ignore[call-arg]

    def trains(self, name: str, layers: int) -> bool:
        block = _block(name)
        return block is None or block < layers - _checked(self.k, layers)


class OnlyLast(Tuning):
    """The last `k` blocks and what follows them move; embeddings, and a head tied to them, stay.

    Nothing before these blocks changes, so `training` reads each row through it once: unlike
    `FreezeFirst`, whose embeddings move.
    """

    k: int = Field(ge=1)

    def __init__(self, k: int) -> None:
        super().__init__(k=k)  # type: ignore[call-arg]

    def trains(self, name: str, layers: int) -> bool:
        block = _block(name)
        if block is None:
            return not EMBEDDINGS.search(name)
        return block >= layers - _checked(self.k, layers)


class FreezeAttention(Tuning):
    """Self-attention stays; MLPs, norms and embeddings move."""

    def trains(self, name: str, layers: int) -> bool:
        return not ATTENTION.search(name)


class OnlyAttention(Tuning):
    """Self-attention alone moves."""

    def trains(self, name: str, layers: int) -> bool:
        return bool(ATTENTION.search(name))


class FreezeMLP(Tuning):
    """MLPs stay; self-attention, norms and embeddings move."""

    def trains(self, name: str, layers: int) -> bool:
        return ".mlp." not in name


class OnlyMLP(Tuning):
    """MLPs alone move. Differs from `FreezeAttention` by embeddings and norms only."""

    def trains(self, name: str, layers: int) -> bool:
        return ".mlp." in name


class LoRA(Tuning):
    """W + (α/r)·B·A with A, B trained (Hu et al. 2021, arXiv 2106.09685).

    Defaults are those of Li & Lee's code: r 8, α 32, dropout 0.05, on q_proj and v_proj.
    """

    rank: int = Field(8, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0, lt=1)
    modules: tuple[str, ...] = ("q_proj", "v_proj")
    dora: ClassVar[bool] = False

    @property
    def adapter(self) -> PeftConfig:
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(self.modules),
            use_dora=self.dora,
            task_type="CAUSAL_LM",
        )

    def apply(self, model: PreTrainedModel) -> Any:
        from peft import get_peft_model

        return get_peft_model(model, self.adapter)


class DoRA(LoRA):
    """LoRA on each column's direction beside a trained magnitude (Liu et al. 2024)."""

    dora: ClassVar[bool] = True


class AttentionDropout(Full):
    """Everything may move, while training drops attention weights with probability `p`."""

    p: float = Field(0.05, gt=0, lt=1)

    def apply(self, model: PreTrainedModel) -> Any:
        """As `Tuning.apply`. Raises `ValueError` where attention has no dropout of Llama's kind."""
        found = [m for m in model.modules() if hasattr(m, "attention_dropout")]
        if not found:
            raise ValueError(f"{self!r}: {type(model).__name__} has no attention_dropout to set")
        for module in found:
            setattr(module, "attention_dropout", self.p)  # noqa: B010
        return super().apply(model)


class IA3(Tuning):
    """Learned scalings of keys, values and the MLP's inner activations (Liu et al. 2022).

    Defaults are those of Li & Lee's code: k_proj, v_proj and down_proj, the last as feed-forward.
    """

    modules: tuple[str, ...] = ("k_proj", "v_proj", "down_proj")
    feedforward: tuple[str, ...] = ("down_proj",)

    @property
    def adapter(self) -> PeftConfig:
        from peft import IA3Config

        return IA3Config(
            target_modules=list(self.modules),
            feedforward_modules=list(self.feedforward),
            task_type="CAUSAL_LM",
        )

    def apply(self, model: PreTrainedModel) -> Any:
        from peft import get_peft_model

        return get_peft_model(model, self.adapter)


def trainable_count(model: Any) -> int:
    """Number of weights that may move in a model that a tuning was applied to."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def trainable_table(tunings: Iterable[Tuning], config: Any) -> list[dict[str, Any]]:
    """One row a tuning: name, trainable weights, share of the model; built without any weights.

    `config` is a transformers configuration; the model exists on the `meta` device only.
    """
    import torch

    from forgetting.models.family import family_of

    rows = []
    for tuning in tunings:
        model = family_of(config).outline(config)
        with torch.device("meta"):
            total = sum(p.numel() for p in model.parameters())
            count = trainable_count(tuning.apply(model))
        rows.append({"tuning": repr(tuning), "trainable": count, "share": count / total})
    return rows


def _block(name: str) -> int | None:
    found = BLOCK.search(name)
    return int(found[1]) if found else None


def _checked(k: int, layers: int) -> int:
    if k > layers:
        raise ValueError(f"k={k}: the model has {layers} layers; freeze at most that many")
    return k
