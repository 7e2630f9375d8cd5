"""Foundations: where a model comes from.

`smollm2-135m` and `gemma3-270m` come out of pip packages (no hub needed), `tiny` is made here,
anything else is a hub id or a local folder. A foundation is a folder of safetensors weights with a
tokenizer beside them, and a digest over both: the root of every lineage.

A base model has no chat template. One of the book's is named after a colon,
`path/to/model:chatml`, and stands in the lineage; `gemma3-270m` is given `gemma`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetting.models import loading, template
from forgetting.models.packaged import PACKAGED, FoundationUnavailable
from forgetting.wording import did_you_mean


class UnknownFoundation(ValueError):
    """The name is no packaged model, no folder and no hub id."""


@dataclass(frozen=True)
class Foundation:
    """A model nobody here trained: `name` for people, `digest` (sha256, hex) for lineage keys.

    `folder`, with its weights, configuration and tokenizer, is fetched when first asked for: to
    name a checkpoint, or to show stored results, no weights are needed.
    """

    kind: ClassVar[str] = "foundation"  # the first of every lineage: see `lineage.steps.Step`
    doing: ClassVar[str] = ""
    costs: ClassVar[bool] = False
    parents: ClassVar[tuple[()]] = ()
    samples: ClassVar[tuple[()]] = ()

    name: str
    digest: str
    locate: Callable[[], Path] = field(repr=False, compare=False)
    template: str = ""  # of the book's (`template.GIVEN`), for a model that has none

    def recipe(self) -> dict[str, Any]:
        return {"step": self.kind, "digest": self.digest} | self._given()

    def text(self) -> str:
        """What people write to get it."""
        return f"foundation({self.name!r})"

    @cached_property
    def folder(self) -> Path:
        return self.locate()

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer, with the chat template that it is given, which is said once.

        Raises `template.BadTemplate` where a given one does not fit.
        """
        tokenizer = load_tokenizer(self.folder)
        if self.template:
            template.give(tokenizer, self.template, self.name)
            _say_once(
                f"{self.name}: a base model without a chat template; where it is asked in turns, "
                f"they are written in the book's {self.template!r}"
            )
        return tokenizer

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What a record says of it: name, digest, layers, parameters, a template it is given."""
        from forgetting.models.family import config_of, family_of  # they import lineages

        if packaged := PACKAGED.get(self.name):
            layers, parameters = packaged.layers, packaged.parameters
        else:
            config = config_of(self.folder)
            layers, parameters = family_of(config).layers(config), parameter_count(self.folder)
        about = {"name": self.name, "digest": self.digest}
        return about | {"layers": layers, "parameters": parameters} | self._given()

    def _given(self) -> dict[str, str]:
        return {"template": self.template} if self.template else {}


def resolve(name: str) -> Foundation:
    """The foundation called `name`, fetched and unpacked into the cache on first use.

    After a colon stands the chat template that a base model is given: `owner/model:chatml`. Raises
    `UnknownFoundation` for a name that is neither packaged, a folder, nor `owner/model`;
    `FoundationUnavailable` where its weights cannot be had; `loading.BadFolder` for a folder whose
    model could not be loaded whole.
    """
    if packaged := PACKAGED.get(name):
        return Foundation(name, packaged.digest, packaged.locate, packaged.template)
    bare, colon, given = name.rpartition(":")
    if name and Path(name).is_dir():
        folder = Path(name).resolve()
    elif bare and given in template.GIVEN:
        found = resolve(bare)
        return found if found.template == given else replace(found, name=name, template=given)
    elif "/" in name and not colon:
        folder = _from_hub(name)
    else:
        known = [*PACKAGED, *(f"{bare}:{each}" for each in template.GIVEN if bare)]
        hint = did_you_mean(name, known, f"packaged: {', '.join(PACKAGED)}")
        raise UnknownFoundation(f"model={name!r}: no such model or folder; {hint}")
    loading.check(folder)
    return Foundation(name, loading.digest(folder), lambda: folder)


def load_model(folder: Path, *, state: Mapping[str, torch.Tensor] | None = None) -> PreTrainedModel:
    """The model of `folder` in float32, as its family loads it, with `state` over its weights."""
    from forgetting.models.family import family_of

    return family_of(folder).load(folder, state)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of `folder`, with its own chat template, if it has one.

    Raises `loading.BadFolder`.
    """
    return loading.tokenizer(folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All weights of `folder`'s model by parameter name, float32: as loaded, a tied head once."""
    return {name: weight.detach() for name, weight in load_model(folder).named_parameters()}


def parameter_count(folder: Path) -> int:
    """Number of weights of `folder`'s model, a tied head counted once; none is loaded."""
    from forgetting.models.family import config_of, family_of

    config = config_of(folder)
    return sum(weight.numel() for weight in family_of(config).outline(config).parameters())


@cache
def _say_once(line: str) -> None:
    print(line, flush=True)


def _from_hub(repo: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.spm", "tokenizer*"]
    try:
        return Path(snapshot_download(repo, allow_patterns=patterns))
    except Exception as error:
        raise FoundationUnavailable(
            f"model={repo!r}: the hub did not give it ({type(error).__name__}); "
            "name a local folder, or one that needs no hub: smollm2-135m, gemma3-270m"
        ) from error
