"""How tests of exercises compare an answer with what is expected."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def mark(
    name: str,
    answer: Callable[..., Any],
    cases: Iterable[tuple[Any, ...]],
    hint: str,
    same: Callable[[Any, Any], Any] = operator.eq,
) -> str:
    """Ask `answer` for each case: its arguments, and last what is expected.

    Raises `AssertionError` with the `hint` where the two are not the `same`.
    """
    for *arguments, expected in cases:
        reply = answer(*arguments)
        call = f"{name}({', '.join(map(_short, arguments))})"
        words = f"{call} gave {_short(reply)}, expected {_short(expected)}: {hint}"
        assert same(reply, expected), words
    return "correct"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(np.round(value, 2))
    return f"{value:g}" if isinstance(value, float) else repr(value)
