"""Parts of a model: to what kind of part a parameter belongs, and to which block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

KINDS = ("embedding", "attention", "mlp", "norm", "head", "connector", "encoder")


class Part(NamedTuple):
    """One of `KINDS`, and the number of the block, from 0, in the stack that writes.

    What stands in no such block (embeddings, the last norm, an encoder's blocks) has None.
    """

    kind: str
    block: int | None


def part_of(
    name: str, kinds: Mapping[str, re.Pattern[str]], blocks: re.Pattern[str], file: str
) -> Part:
    """The part of a parameter: the first kind whose pattern its name has. Raises `ValueError`."""
    kind = next((kind for kind, pattern in kinds.items() if pattern.search(name)), None)
    if kind is None:
        raise ValueError(f"parameter {name!r}: of no kind; name its kind in models/{file}")
    block = blocks.search(name)
    return Part(kind, int(block[1]) if block else None)
