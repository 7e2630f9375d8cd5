"""Parts of a model: to what kind of part a parameter belongs, and to which block."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

KINDS = ("embedding", "attention", "mlp", "norm", "head", "connector", "encoder")
# The names of Llama and what is built like it, of GPT-2 and of Gemma. What stands within attention
# is attention's, a norm of its queries too.
BLOCK = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")
NAMES = {
    "head": re.compile(r"(?:^|\.)lm_head\."),
    "attention": re.compile(r"\.(?:self_attn|attn)\."),
    "mlp": re.compile(r"\.mlp\."),
    "norm": re.compile(r"norm|(?:^|\.)ln_"),
    "embedding": re.compile(r"(?:^|\.)(?:embed_tokens|wte|wpe)\."),
}


class Part(NamedTuple):
    """One of `KINDS`, and the number of the block, from 0, in the stack that writes.

    What stands in no such block (embeddings, the last norm, an encoder's blocks) has None.
    """

    kind: str
    block: int | None


def parts(model: Any) -> dict[str, Part]:
    """The part that each parameter of a model belongs to, by its name.

    Raises `ValueError` for a parameter of no known kind.
    """
    return {name: part_of(name) for name, _ in model.named_parameters()}


def part_of(name: str) -> Part:
    """The part that a decoder's parameter belongs to; an adapter's are their module's."""
    kind = next((kind for kind, pattern in NAMES.items() if pattern.search(name)), None)
    if kind is None:
        raise ValueError(f"parameter {name!r}: of no known kind; name its kind in models/parts.py")
    block = BLOCK.search(name)
    return Part(kind, int(block[1]) if block else None)
