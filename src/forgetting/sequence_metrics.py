"""Stand-in until the metrics of sequences of tasks are merged: decaNLP's EM and nF1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised_exact_match(answer: str, golds: Sequence[str]) -> bool:
    """nEM: whether the normalised answer is one of the normalised golds."""
    return _words(answer) in [_words(gold) for gold in golds]


def normalised_f1(answer: str, golds: Sequence[str]) -> float:
    """nF1: harmonic mean of precision and recall of normalised words, for the nearest gold."""
    return max(_f1(_words(answer), _words(gold)) for gold in golds)


def _words(text: str) -> list[str]:
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split()


def _f1(answer: list[str], gold: list[str]) -> float:
    if not answer or not gold:
        return float(answer == gold)
    return 2 * sum((Counter(answer) & Counter(gold)).values()) / (len(answer) + len(gold))
