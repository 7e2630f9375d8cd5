"""Seeded choices for generated documents, and what keeps test items apart from training ones.

Two things are held out. Of every pool of entities (names, towns, dishes …) each fifth entry is
drawn for test items only, and no other for them. Of every pool of wordings (templates, tables,
functions) each fifth entry, in a pool of fewer than five the last one, is drawn for novel test
items only. Every second test item is novel: half of a test split is worded as no training document
is, the other half is worded alike about other entities.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

Split = Literal["train", "test"]
Document = dict[str, Any]
T = TypeVar("T")

HELD_OUT = 5
NOVEL_SHARE = 0.5


class TooFewDocuments(ValueError):
    """The generator has not as many different documents as are asked for."""


class Draw:
    """The choices of one document: the same in every Python version, given its seed.

    Only `random.Random.random` is used, whose sequence the standard library promises to keep.
    `index` is the document's number in its split, for properties that must be balanced exactly.
    """

    def __init__(self, key: str, split: Split, index: int) -> None:
        self._random = random.Random(key).random
        self.test = split == "test"
        self.index = index
        self.novel = self.test and index % round(1 / NOVEL_SHARE) == 1

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return int(self._random() * n)

    def number(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, share: float) -> bool:
        """True in `share` of the draws."""
        return self._random() < share

    def one(self, entries: Sequence[T]) -> T:
        """An entry of a pool that both splits share: numbers, days, colours."""
        return entries[self.below(len(entries))]

    def some(self, entries: Sequence[T], k: int) -> list[T]:
        """`k` different entries of a shared pool."""
        return self.shuffled(entries)[:k]

    def entity(self, entries: Sequence[T]) -> T:
        """An entry of the split's own part of a pool of entities."""
        return self._of(entries, self.test)

    def entities(self, entries: Sequence[T], k: int) -> list[T]:
        """`k` different entries of the split's own part."""
        return self.some(part(entries, self.test), k)

    def wording(self, entries: Sequence[T]) -> T:
        """A template, table or function; one that was held out if the document is novel."""
        return self._of(entries, self.novel)

    def wordings(self, entries: Sequence[T], k: int) -> list[T]:
        """`k` different templates, tables or functions."""
        return self.some(part(entries, self.novel), k)

    def _of(self, entries: Sequence[T], held_out: bool) -> T:
        """One of `part(entries, held_out)`, without writing that list."""
        step = min(HELD_OUT, len(entries))
        apart = len(entries) // step
        if held_out:
            return entries[self.below(apart) * step + step - 1]
        number = self.below(len(entries) - apart)
        return entries[number + number // (step - 1)]

    def shuffled(self, entries: Sequence[T]) -> list[T]:
        """The entries in a drawn order (Fisher and Yates)."""
        items = list(entries)
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items


def pool(text: str, between: str | None = None) -> tuple[str, ...]:
    """A pool written as one text: its words, or what stands between separators."""
    return tuple(text.split(between))


def part(entries: Sequence[T], held_out: bool) -> list[T]:
    """The held-out entries of a pool, or the others."""
    step = min(HELD_OUT, len(entries))
    return [entry for i, entry in enumerate(entries) if (i % step == step - 1) == held_out]


def distinct(
    write: Callable[[Draw], Document], task: str, seed: int, n: int, split: Split
) -> list[Document]:
    """`n` different documents, each written from a `Draw` of its own.

    Documents with the same context and question count as the same. `prompt` and `novel` are added.
    Raises `TooFewDocuments` where the generator keeps repeating itself.
    """
    found: dict[tuple[str, str], Document] = {}
    for attempt in range(20 * n):
        if len(found) == n:
            break
        draw = Draw(f"{task}/{seed}/{split}/{attempt}", split, len(found))
        document = write(draw)
        key = (document["context"], document["question"])
        prompt = f"{document['context']}\n{document['question']}"
        found.setdefault(key, document | {"prompt": prompt, "novel": draw.novel})
    if len(found) < n:
        raise TooFewDocuments(
            f"n={n}: {task} made only {len(found)} different {split} documents from seed {seed}; "
            "ask for fewer"
        )
    return list(found.values())
