"""A family of models: what a kind of model must be able to do, and how the others ask for it.

A family is one file of this package with a subclass of `Family`: `family_of` finds it there. Most
of what is asked has an answer that is right for every kind and slow; a family that knows a faster
one gives that where it is right (`causal`).
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from inspect import isabstract
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

import forgetting.models
from forgetting import checking
from forgetting.lineage.samples import Completion
from forgetting.models import loading, sampling
from forgetting.models.parts import Part
from forgetting.models.rows import Row, batches, prompt_row, supervised
from forgetting.models.sampling import Draft, Sampler

LOGITS_AT_ONCE = 256
State = Mapping[str, torch.Tensor]


class UnknownFamily(ValueError):
    """No family knows a model of this kind."""


class Scored(NamedTuple):
    """Of a row's supervised tokens: log-likelihoods, nats, and whether each is the likeliest."""

    log_likelihoods: torch.Tensor
    likeliest: torch.Tensor


class Grafting(NamedTuple):
    """A model with a part of another: its configuration, and its weights.

    `weights` makes them of the parent's, the other's and a seed, which draws what is new.
    """

    config: Any
    weights: Callable[[State, State, int], dict[str, torch.Tensor]]


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
        self.head: nn.Module = nn.Identity()

    def states(self, model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
        return model(**inputs, use_cache=False).logits


class Family(ABC):
    """A kind of model. A subclass has no state, and is found once it is imported.

    `auto` loads its models: a class of transformers with `from_pretrained` and `from_config`.
    `still` says which modules no adapter is placed beside, a regular expression.
    """

    auto: ClassVar[Any]
    still: ClassVar[str | None] = None

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

    def load(self, folder: Path, state: State | None = None) -> Any:
        """The model of `folder` in float32, from safetensors, with `state` laid over its weights.

        Raises `ValueError` for tensors that the model lacks, `loading.BadFolder` for a folder that
        has not all its weights, or others.
        """
        model = loading.model(self.auto, folder)
        if state:
            unexpected = model.load_state_dict(dict(state), strict=False).unexpected_keys
            if unexpected:
                raise ValueError(f"state has tensors that {folder.name} lacks: {unexpected[:3]}")
        return model

    def build(self, config: Any, state: State) -> Any:
        """A model of no folder, in float32. Raises `ValueError` unless `state` is all its weights.

        Of a tied head and embeddings one is enough.
        """
        model = self.auto.from_config(config, dtype=torch.float32)
        odd = {name for name, _ in model.named_parameters()} ^ state.keys()
        if odd:
            raise ValueError(f"a {config.model_type} model and its state differ, first: {min(odd)}")
        model.load_state_dict(dict(state), strict=False)
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

    def graft(self, parent: Any, other: Any, connector: Any) -> Grafting | None:
        """A model of this family: `parent` with a part of `other` before it; None where it is none.

        Both are transformers configurations.
        """
        return None

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
        return model(**on_device(inputs, model), use_cache=False).logits[at.to(model.device)]

    @torch.no_grad()
    def log_likelihoods(self, model: Any, rows: Sequence[Row]) -> list[Scored]:
        """What `model`, in evaluation mode, makes of each row's supervised tokens."""
        sizes = [len(row["input_ids"]) for row in rows]
        by_place: dict[int, Scored] = {}
        for places in batches(sorted(range(len(rows)), key=sizes.__getitem__), sizes.__getitem__):
            batch = [rows[place] for place in places]
            targets = [row["labels"][1:][supervised(row)] for row in batch]
            scored = score(self.states(model, batch), self.head(model), torch.cat(targets))
            by_place |= dict(zip(places, split(scored, map(len, targets)), strict=True))
        return [by_place[place] for place in range(len(rows))]

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
        """A completion for each prompt, in the prompts' order; `model` is in evaluation mode.

        A prompt is a text, as `template.ids` reads it, token ids, or a row. Up to `batch` rows run
        together. A row ends with the model's end token, with a string of `until`, or after
        `max_new_tokens`.

        Temperature 0 is greedy: each answer is what `model.generate` gives for the prompt alone,
        but for ties: rounding depends on the batch, and decides where two logits differ by no more.

        Otherwise tokens are drawn as `sampling.draw` says, by random numbers of the row's own,
        seeded from `seeds` (default: 0, 1, 2, …). A sample depends on its prompt and seed; on its
        neighbours only where a random number falls on the border of two tokens, within rounding
        (1e-6 in float32). With a larger `max_new_tokens` the same sample goes on.

        Raises `ValueError` for settings that make no sense, and for a prompt that is empty or
        leaves no room for `max_new_tokens` in the model's positions.
        """
        checking.whole("batch", batch, 1)
        checking.whole("max_new_tokens", max_new_tokens, 1)
        for seed in seeds or ():
            checking.seed(seed)
        sampler = Sampler(model, tokenizer, max_new_tokens, until, temperature, top_k, top_p)
        rows = [p if isinstance(p, dict) else prompt_row(p, tokenizer) for p in prompts]
        drafts = sampler.drafts([row["input_ids"].tolist() for row in rows], seeds)
        self.write(sampler, rows, drafts, batch)
        return [sampler.completion(draft) for draft in drafts]

    def write(self, sampler: Sampler, rows: list[Row], drafts: list[Draft], batch: int) -> None:
        """Write the drafts of rows to their ends, `batch` rows at a time."""
        sampling.write(partial(self.begin, unwrapped(sampler.model)), sampler, rows, drafts, batch)


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
    config = unwrapped(model).config if isinstance(model, nn.Module) else model
    if isinstance(config, Path):
        config = config_of(config)
    for family in families():
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


def graft(parent: Any, other: Any, connector: Any) -> Grafting:
    """What the first family that grafts these two says. Raises `UnknownFamily`."""
    for family in families():
        if grafting := family.graft(parent, other, connector):
            return grafting
    raise UnknownFamily(
        f"connector={connector!r}: no family grafts a part of a {other.model_type} model onto a "
        f"{parent.model_type} model; write one beside models/frames.py"
    )


def config_of(folder: Path) -> Any:
    """The transformers configuration of a model's folder, of a kind of this package too."""
    _import_all()
    return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def families() -> Iterator[Family]:
    """Every family of this package, special ones before those that they are a kind of."""
    _import_all()
    yield from _concrete(Family)  # type: ignore[type-abstract]


def _concrete(kind: type[Family]) -> Iterator[Family]:
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


def on_device(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Tensors where the model lies."""
    return {name: tensor.to(model.device) for name, tensor in inputs.items()}


@torch.no_grad()
def score(states: torch.Tensor, head: nn.Module, targets: torch.Tensor) -> Scored:
    """Log-likelihood of each target token, nats, and whether it is the likeliest."""
    log_likelihoods, likeliest = [torch.empty(0)], [torch.empty(0, dtype=torch.bool)]
    parts = zip(states.split(LOGITS_AT_ONCE), targets.split(LOGITS_AT_ONCE), strict=True)
    for part, tokens in parts:
        logits = head(part).float().cpu()
        log_likelihoods.append(logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=1))
        likeliest.append(logits.argmax(dim=1) == tokens)
    return Scored(torch.cat(log_likelihoods), torch.cat(likeliest))


def split(scored: Scored, counts: Iterable[int]) -> list[Scored]:
    """Scored tokens of several rows, apart."""
    sizes = list(counts)
    return [Scored(*pair) for pair in zip(*(each.split(sizes) for each in scored), strict=True)]
