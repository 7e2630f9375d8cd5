"""Parts of a model: to what kind of part a parameter belongs, and to which block."""

from __future__ import annotations

from typing import NamedTuple

KINDS = ("embedding", "attention", "mlp", "norm", "head", "connector", "encoder")


class Part(NamedTuple):
    """One of `KINDS`, and the number of the block, from 0, in the stack that writes.

    What stands in no such block (embeddings, the last norm, an encoder's blocks) has None.
    """

    kind: str
    block: int | None
