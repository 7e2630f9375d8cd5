"""A family of models: what a kind of model must be able to do, and how the others ask for it.

A family is one file of this package with a subclass of `Family`: `family_of` finds it there. Most
of what is asked has an answer that is right for every kind and slow; a family that knows a faster
one gives that where it is right (`causal`).
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from inspect import isabstract
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

import forgetting.models
from forgetting.lineage.samples import Completion
from forgetting.models import sampling
from forgetting.models.parts import Part
from forgetting.models.rows import Row, prompt_row, supervised
from forgetting.models.sampling import Sampler

TOKENS_A_BATCH = 2048
LOGITS_AT_ONCE = 256


class UnknownFamily(ValueError):
    """No family knows a model of this kind."""


class Scored(NamedTuple):
    """Of a row's supervised tokens: log-likelihoods, nats, and whether each is the likeliest."""

    log_likelihoods: torch.Tensor
    likeliest: torch.Tensor


class Reader(Protocol):
    """Reads steps of rows while a model trains.

    `head` makes logits, (tokens, vocabulary), of what `states` gives, (tokens, width).
    """

    head: nn.Module

    def collate(self, rows: list[Row]) -> tuple[dict[str, Any], torch.Tensor]:
        """What `states` reads, and booleans over the places it reads: which are asked for."""

    def states(self, model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
        """States at every place."""


class Plain:
    """A reader of any model: by its own forward pass, whose logits are the states."""

    def __init__(self, family: Family, model: Any) -> None:
        self.collate = partial(family.collate, unwrapped(model))
        self.head = nn.Identity()

    def states(self, model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
        return model(**inputs, use_cache=False).logits


class Family(ABC):
    """A kind of model. A subclass has no state, and is found once it is imported."""

    auto: ClassVar[Any]
    """What loads its models: a class of transformers with `from_pretrained` and `from_config`."""

    # -- what a family has to say ----------------------------------------------------------------

    @abstractmethod
    def knows(self, config: Any) -> bool:
        """Whether models of this transformers configuration belong to it."""

    @abstractmethod
    def part(self, name: str) -> Part:
        """The part that the parameter of this name belongs to. Raises `ValueError` for no such."""

    @abstractmethod
    def collate(self, model: Any, rows: Sequence[Row]) -> tuple[dict[str, Any], torch.Tensor]:
        """Rows as what the model's `forward` takes, padded, and booleans over the logits' places.

        True where logits predict a supervised token: `forward(**inputs).logits[at]` are those of
        all supervised tokens, the rows' one after another.
        """

    @abstractmethod
    def begin(self, model: Any, rows: Sequence[Row]) -> tuple[PreTrainedModel, dict[str, Any]]:
        """Who writes after these rows, and what its `generate` is given to begin with."""

    # -- loading ---------------------------------------------------------------------------------

    def load(self, folder: Path, state: Mapping[str, torch.Tensor] | None = None) -> Any:
        """The model of `folder` in float32, from safetensors, with `state` laid over its weights.

        Raises `ValueError` for tensors that the model lacks.
        """
        model = self.auto.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        if state:
            unexpected = model.load_state_dict(dict(state), strict=False).unexpected_keys
            if unexpected:
                raise ValueError(f"state has tensors that {folder.name} lacks: {unexpected[:3]}")
        return model

    def outline(self, config: Any) -> Any:
        """A model without weights: its parameters have shapes and names."""
        with torch.device("meta"):
            return self.auto.from_config(config)

    def layers(self, config: Any) -> int:
        """How many blocks its models have in the stack that writes."""
        return config.get_text_config().num_hidden_layers

    def saved(self, config: Any, moved: Sequence[str]) -> int:
        """Floats that a token leaves for the backward pass where parameters `moved` train.

        Not counted by its parts here: as if every block were of Llama's kind and moved whole.
        """
        sizes = Sizes.of(config.get_text_config())
        return self.layers(config) * (sizes.passing + sizes.inputs)

    # -- grafting --------------------------------------------------------------------------------

    def grafted(self, parent: Any, other: Any, connector: Any) -> Any | None:
        """The configuration of `parent` with a part of `other` before it; None where it is none.

        All but the connector are transformers configurations. The model belongs to this family.
        """
        return None

    def graft(
        self,
        config: Any,
        parent: Mapping[str, torch.Tensor],
        other: Mapping[str, torch.Tensor],
        connector: Any,
        seed: int,
    ) -> dict[str, torch.Tensor]:
        """Weights of a model that `grafted` gave the configuration of; `seed` draws what is new."""
        raise NotImplementedError

    def build(self, config: Any, state: Mapping[str, torch.Tensor]) -> Any:
        """A model of no folder, in float32. Raises `ValueError` unless `state` is all its weights.

        Of a tied head and embeddings one is enough.
        """
        model = self.auto.from_config(config, dtype=torch.float32)
        odd = {name for name, _ in model.named_parameters()} ^ state.keys()
        if odd:
            raise ValueError(f"a {config.model_type} model and its state differ, first: {min(odd)}")
        model.load_state_dict(dict(state), strict=False)
        return model

    # -- reading ---------------------------------------------------------------------------------

    @contextmanager
    def reader(self, model: Any, *, keep: bool, alone: bool) -> Iterator[Reader]:
        """Within it, what `model` is trained by. `keep`: rows come again; `alone`: not shared out
        over processes, whose wrappers have to see every forward pass."""
        yield Plain(self, model)

    def head(self, model: Any) -> nn.Module:
        """What makes logits of `states`."""
        return nn.Identity()

    def states(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """(tokens, width): what `head` makes the logits of all supervised tokens of."""
        inputs, at = self.collate(model, rows)
        return model(**_to(inputs, model), use_cache=False).logits[at.to(model.device)]

    @torch.no_grad()
    def log_likelihoods(self, model: Any, rows: Sequence[Row]) -> list[Scored]:
        """What `model`, in evaluation mode, makes of each row's supervised tokens."""
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]["input_ids"]))
        found: dict[int, Scored] = {}
        for places in _by_size(order, [len(row["input_ids"]) for row in rows]):
            some = [rows[place] for place in places]
            targets = [row["labels"][1:][supervised(row)] for row in some]
            scored = score(self.states(model, some), self.head(model), torch.cat(targets))
            found |= dict(zip(places, split(scored, map(len, targets)), strict=True))
        return [found[place] for place in range(len(rows))]

    # -- answering -------------------------------------------------------------------------------

    def answer(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[Any],
        *,
        max_new_tokens: int,
        until: Sequence[str] = (),
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seeds: Sequence[int] | None = None,
        batch: int = 64,
    ) -> list[Completion]:
        """A completion for each prompt, as `generation.generate` says; `model` is evaluating.

        A prompt is a text, as `template.ids` reads it, token ids, or a row.
        """
        sampler = Sampler(model, tokenizer, max_new_tokens, until, temperature, top_k, top_p)
        rows = [p if isinstance(p, dict) else prompt_row(p, tokenizer) for p in prompts]
        return sampling.generate(partial(self.begin, model), sampler, rows, seeds, batch)


class Sizes(NamedTuple):
    """Widths of a block of Llama's kind: hidden, inner, all heads' queries, all heads' keys."""

    hidden: int
    inner: int
    queries: int
    keys: int

    @classmethod
    def of(cls, config: Any) -> Sizes:
        hidden, heads = config.hidden_size, config.num_attention_heads
        width = getattr(config, "head_dim", None) or hidden // heads
        inner = (getattr(config, name, None) for name in ("intermediate_size", "n_inner", "d_ff"))
        keys = getattr(config, "num_key_value_heads", None) or heads
        return cls(hidden, next(filter(None, inner), 4 * hidden), heads * width, keys * width)

    @property
    def passing(self) -> int:
        """Floats that a token leaves in a block that gradients pass through."""
        return 2 * 2 * self.hidden + 4 * self.queries + self.keys + 3 * self.inner

    @property
    def inputs(self) -> int:
        """Floats more where all its weights move: the input of each."""
        return 3 * self.hidden + self.queries + self.inner


def family_of(model: Any) -> Family:
    """The family of a model, a transformers configuration, or a folder with one.

    Raises `UnknownFamily`.
    """
    _import_all()
    config = unwrapped(model).config if isinstance(model, nn.Module) else model
    if isinstance(config, Path):
        config = config_of(config)
    for family in _concrete(Family):
        if family.knows(config):
            return family
    raise UnknownFamily(
        f"model_type={config.model_type!r}: no family knows it; write one beside models/causal.py"
    )


def parts(model: Any) -> dict[str, Part]:
    """The part that each parameter of a model belongs to, by its name; an adapter's its module's.

    Raises `ValueError` for a parameter of no known kind.
    """
    family = family_of(model)
    return {name: family.part(name) for name, _ in model.named_parameters()}


def grafted(parent: Any, other: Any, connector: Any) -> Any:
    """The configuration of a graft, from the first family that makes one of these two.

    Raises `UnknownFamily`.
    """
    _import_all()
    for family in _concrete(Family):
        config = family.grafted(parent, other, connector)
        if config is not None:
            return config
    raise UnknownFamily(
        f"connector={connector!r}: no family grafts a part of a {other.model_type} model onto a "
        f"{parent.model_type} model; write one beside models/frames.py"
    )


def config_of(folder: Path) -> Any:
    """The transformers configuration of a model's folder, of a kind of this package too."""
    _import_all()
    return AutoConfig.from_pretrained(folder)


def _concrete(kind: type[Family]) -> Iterator[Family]:
    """Every family below a class, special ones before those that they are a kind of."""
    for below in kind.__subclasses__():
        yield from _concrete(below)
        if not isabstract(below):
            yield below()


@cache
def _import_all() -> None:
    for module in pkgutil.iter_modules(forgetting.models.__path__, "forgetting.models."):
        importlib.import_module(module.name)


def unwrapped(model: Any) -> Any:
    """The model itself, without what peft wraps around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@torch.no_grad()
def score(states: torch.Tensor, head: nn.Module, targets: torch.Tensor) -> Scored:
    """Log-likelihood of each target token, nats, and whether it is the likeliest."""
    found = []
    parts = zip(states.split(LOGITS_AT_ONCE), targets.split(LOGITS_AT_ONCE), strict=True)
    for some, tokens in parts:
        logits = head(some).float().cpu()
        picked = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=1)
        found.append((picked, logits.argmax(dim=1) == tokens))
    return Scored(*map(torch.cat, zip(*found, strict=True))) if found else _NOTHING


_NOTHING = Scored(torch.empty(0), torch.empty(0, dtype=torch.bool))


def split(scored: Scored, counts: Iterable[int]) -> list[Scored]:
    """Scored tokens of several rows, apart."""
    sizes = list(counts)
    return [Scored(*pair) for pair in zip(*(each.split(sizes) for each in scored), strict=True)]


def _to(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    return {n: v.to(model.device) if torch.is_tensor(v) else v for n, v in inputs.items()}


def _by_size(order: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """Places in ascending order of size, in batches of at most `TOKENS_A_BATCH` tokens padded."""
    batches: list[list[int]] = []
    for place in order:
        if batches and (len(batches[-1]) + 1) * sizes[place] <= TOKENS_A_BATCH:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches
