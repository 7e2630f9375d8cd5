"""Connectors: what an encoder's states become before a language model reads them as embeddings.

A connector is a value that enters a lineage key and builds a module. The module reads `features`,
(sounds, blocks, layers, width), of which a sound has so many `blocks`, and gives embeddings,
(sounds, places, hidden): each of size `scale`, as those of tokens are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Connector:
    """Base class: `layers` are shares of the encoder's depth, 0 what its convolutions give."""

    kind: ClassVar[str]

    layers: tuple[float, ...] = (0, 1 / 3, 2 / 3, 1)
    inner: int = 256

    def recipe(self) -> dict[str, Any]:
        """What enters a key."""
        fields = {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}
        return {"kind": self.kind, **fields}

    def read(self, depth: int) -> tuple[int, ...]:
        """Which states of an encoder of `depth` blocks are read."""
        return tuple(round(share * depth) for share in self.layers)

    def places(self, blocks: int) -> int:
        """The embeddings that a sound of so many blocks becomes."""
        raise NotImplementedError

    def build(self, width: int, hidden: int) -> nn.Module:
        """The module, from `width` to `hidden`, with weights drawn from torch's generator."""
        raise NotImplementedError


class Sized(nn.Module):
    """Embeddings of one size: no sound is louder than a word."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def settle(self, features: torch.Tensor, blocks: torch.Tensor) -> None:
        """Take what is usual from these sounds, before it learns; nothing, unless it says so."""

    def sized(self, embeddings: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(embeddings, embeddings.shape[-1:]) * self.scale


@dataclass(frozen=True)
class Statistics(Connector):
    """Mean and standard deviation over time of some layers, by two matrices to a few embeddings.

    What all sounds share is most of a layer: `engine.aligning.Align` sets what is `usual`, and how
    far sounds are from it, `spread`; before, these are 0 and 1.
    """

    kind: ClassVar[str] = "statistics"

    tokens: int = 5

    def places(self, blocks: int) -> int:
        return self.tokens

    def build(self, width: int, hidden: int) -> nn.Module:
        return _Statistics(self, width, hidden)


class _Statistics(Sized):
    def __init__(self, of: Statistics, width: int, hidden: int) -> None:
        super().__init__()
        self.tokens = of.tokens
        size = 2 * width * len(of.layers)
        self.usual = nn.Parameter(torch.zeros(size), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(size), requires_grad=False)
        self.narrow = nn.Linear(size, of.inner)
        self.widen = nn.Linear(of.inner, of.tokens * hidden)

    def forward(self, features: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        apart = (self.pooled(features, blocks) - self.usual.detach()) / self.spread.detach()
        embeddings = self.widen(functional.gelu(self.narrow(apart)))
        return self.sized(embeddings.unflatten(1, (self.tokens, -1)))

    def pooled(self, features: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        """(sounds, 2 · layers · width): means, then deviations; each layer's normed by itself."""
        there = torch.arange(features.shape[1], device=blocks.device) < blocks[:, None]
        there = there[:, :, None, None]
        count = blocks[:, None, None]
        mean = (features * there).sum(1) / count
        spread = (((features - mean[:, None]) * there) ** 2).sum(1) / count
        pooled = torch.cat([mean, spread.sqrt()], -1)
        return functional.layer_norm(pooled, pooled.shape[-1:]).flatten(1)

    @torch.no_grad()
    def settle(self, features: torch.Tensor, blocks: torch.Tensor) -> None:
        pooled = self.pooled(features, blocks)
        self.usual.copy_(pooled.mean(0))
        self.spread.copy_(pooled.std(0, correction=0).clamp(min=1e-3))


@dataclass(frozen=True)
class QFormer(Connector):
    """Learned queries look at some layers, each query weighs these (DeSTA2, arXiv 2409.20007)."""

    kind: ClassVar[str] = "q-former"

    tokens: int = 8
    depth: int = 2
    heads: int = 4

    def places(self, blocks: int) -> int:
        return self.tokens

    def build(self, width: int, hidden: int) -> nn.Module:
        return _QFormer(self, width, hidden)


class _QFormer(Sized):
    def __init__(self, of: QFormer, width: int, hidden: int) -> None:
        super().__init__()
        count = len(of.layers)
        self.queries = nn.Parameter(0.02 * torch.randn(count, of.tokens, of.inner))
        self.shares = nn.Parameter(torch.zeros(of.tokens, count))
        self.narrow = nn.Linear(width, of.inner)
        layer = nn.TransformerDecoderLayer(
            of.inner, of.heads, 4 * of.inner, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerDecoder(layer, of.depth)
        self.widen = nn.Linear(of.inner, hidden)

    def forward(self, features: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        sounds, length, layers, _ = features.shape
        memory = self.narrow(functional.layer_norm(features, features.shape[-1:]))
        memory = memory.transpose(1, 2).flatten(0, 1)  # (sounds · layers, blocks, inner)
        beyond = torch.arange(length, device=blocks.device) >= blocks[:, None]
        looked = self.blocks(
            self.queries.repeat(sounds, 1, 1),
            memory,
            memory_key_padding_mask=beyond.repeat_interleave(layers, 0),
        )
        shares = self.shares.softmax(-1).T[:, :, None]  # (layers, tokens, 1)
        return self.sized(self.widen((looked.unflatten(0, (sounds, layers)) * shares).sum(1)))


@dataclass(frozen=True)
class Convolution(Connector):
    """Two convolutions of stride 2 over the last layer (BLSP, arXiv 2309.00916): 1.6 a second."""

    kind: ClassVar[str] = "convolution"

    layers: tuple[float, ...] = (1,)

    def places(self, blocks: int) -> int:
        return ((blocks + 1) // 2 + 1) // 2

    def build(self, width: int, hidden: int) -> nn.Module:
        return _Convolution(self, width, hidden)


class _Convolution(Sized):
    def __init__(self, of: Convolution, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width * len(of.layers), of.inner, 3, 2, 1)
        self.second = nn.Conv1d(of.inner, of.inner, 3, 2, 1)
        self.widen = nn.Linear(of.inner, hidden)

    def forward(self, features: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        there = torch.arange(features.shape[1], device=blocks.device) < blocks[:, None]
        read = functional.layer_norm(features, features.shape[-1:]).flatten(2)
        hidden = functional.gelu(self.first((read * there[..., None]).transpose(1, 2)))
        halves = torch.arange(hidden.shape[2], device=blocks.device) < (blocks[:, None] + 1) // 2
        hidden = functional.gelu(self.second(hidden * halves[:, None]))
        return self.sized(self.widen(hidden.transpose(1, 2)))


CONNECTORS: dict[str, type[Connector]] = {
    each.kind: each for each in (Statistics, QFormer, Convolution)
}


def of_recipe(recipe: dict[str, Any]) -> Connector:
    """The connector that gave this recipe."""
    fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in recipe.items()}
    return CONNECTORS[fields.pop("kind")](**fields)
