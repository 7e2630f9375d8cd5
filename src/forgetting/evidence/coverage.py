"""Coverage: how often the interval holds the truth, for kinds of items like those of the book."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from forgetting.evidence.intervals import Binary, interval

SEEDS = 3
SIGMA = 0.7  # of the logarithm of a skewed item: its skewness is 2.9
DIALOGUES = np.repeat(np.arange(9), (6, 5, 5, 4, 4, 3, 2, 2, 1))  # of 32 turns

Draw = Callable[[np.random.Generator], np.ndarray]  # (seeds, items) of differences, mean 0


class Kind(NamedTuple):
    """A kind of items: how differences are drawn, what is told about them, and their true mean."""

    words: str
    draw: Draw
    blocks: np.ndarray | None = None
    binary: Binary | None = None
    truth: float = 0.0


def _noise(rng: np.random.Generator, items: int) -> np.ndarray:
    """What seeds add: a part of their own, and one with each item."""
    return 0.1 * rng.normal(size=(SEEDS, 1)) + 0.5 * rng.normal(size=(SEEDS, items))


def _equal(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(1, 48)) + _noise(rng, 48)


def _skewed(rng: np.random.Generator) -> np.ndarray:
    mean, variance = np.exp(SIGMA**2 / 2), (np.exp(SIGMA**2) - 1) * np.exp(SIGMA**2)
    items = (np.exp(SIGMA * rng.normal(size=(1, 12))) - mean) / np.sqrt(variance)
    return np.asarray(items + _noise(rng, 12))


def _blocked(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=9)[DIALOGUES] + 0.5 * rng.normal(size=32) + _noise(rng, 32)


def _rare(rng: np.random.Generator) -> np.ndarray:
    """One item in ten is gained on every seed; in 3 % of the draws none is, and nothing varies."""
    return np.tile((rng.random((1, 32)) < 0.1).astype(float), (SEEDS, 1))


def _streamed(rng: np.random.Generator) -> np.ndarray:
    """Right or wrong on two sides, by chances that a group of eight shares."""
    chances = np.clip(0.5 + rng.normal(size=(2, 8)) * 0.15, 0.02, 0.98)
    sides = (rng.random((SEEDS, 64)) < np.repeat(side, 8) for side in chances)
    left, right = (side.astype(float) for side in sides)
    return left - right


def _seeds(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(SEEDS, 1)) + 0.5 * rng.normal(size=(1, 48)) + _noise(rng, 48)


KINDS: Mapping[str, Kind] = {
    "equal": Kind("48 items that vary alike", _equal),
    "skewed": Kind("12 documents of a skewed measure, as a divergence is", _skewed),
    "blocked": Kind("32 turns of 9 dialogues", _blocked, DIALOGUES),
    "rare": Kind(
        "32 right or wrong items of which hardly any change", _rare, None, "difference", 0.1
    ),
    "streamed": Kind(
        "64 right or wrong items in groups of eight",
        _streamed,
        np.repeat(range(8), 8),
        "difference",
    ),
    "seeds": Kind("48 items, and seeds that differ more than items do", _seeds),
}


def coverage(kind: Kind, draws: int = 2000, seed: int = 0) -> float:
    """The share of `draws` in which the 95 % interval over three seeds holds the true mean."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(draws):
        effect = interval(kind.draw(rng), blocks=kind.blocks, binary=kind.binary)
        held += effect.low <= kind.truth <= effect.high
    return held / draws
