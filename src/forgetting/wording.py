"""Numbers, lists and hints as readers see them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def thousands(count: int) -> str:
    """134515008 as "134.5 M", 460800 as "461 k"."""
    if count >= 10**6:
        return f"{count / 1e6:.1f} M"
    return f"{count / 1e3:.0f} k" if count >= 1000 else str(count)


def number(value: float, digits: int = 3) -> str:
    """A value with so many significant digits and a true minus sign."""
    return true_minus(f"{value:.{digits}g}")


def true_minus(text: str) -> str:
    """A text whose numbers have a minus sign, which is as wide as a plus, in place of a hyphen."""
    return re.sub(r"(?<!\w)-(?=\d|inf)|(?<=\de)-(?=\d)", "−", text)


def rate(value: float) -> str:
    """ "3e-5": a learning rate as people write it."""
    if value >= 0.01 or not value:
        return f"{value:.2g}"
    return f"{value:.1e}".replace("e-0", "e-").replace(".0e", "e")


def plus_minus(mean: float, half: float) -> str:
    """ "+0.253 ± 0.051": as many decimals as show two digits of `half`."""
    known = half > 0 and math.isfinite(half)
    decimals = max(0, 1 - math.floor(math.log10(half))) if known else 3
    return true_minus(f"{mean:+.{decimals}f}\u00a0±\u00a0{half:.{decimals}f}")


def with_bounds(mean: float, low: float, high: float) -> list[str]:
    """A mean and the ends of its interval, with as many decimals as show two digits of its half."""
    half = (high - low) / 2
    known = half > 0 and math.isfinite(half)
    decimals = max(0, 1 - math.floor(math.log10(half))) if known else 3
    return [true_minus(f"{value:+.{decimals}f}") for value in (mean, low, high)]


def count(amount: int, noun: str) -> str:
    """ "1 run", "1,200 runs"."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """ "did you mean 'LoRA'?" of a name that is unknown, or `otherwise` where none is near."""
    near = get_close_matches(name, [*known], n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
