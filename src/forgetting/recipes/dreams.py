"""What dreams are worth: which task they resemble, what is new in them, how they are spread.

Pure functions of texts; a dream and a real example are (question, answer) each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

Told = tuple[str, str]
LONGEST = 200  # characters of a text that is shown


def similarity(one: Told, other: Told) -> float:
    """Jaccard's index of two examples' words: shared ÷ all, between 0 and 1 (1 without words)."""
    return _jaccard(_words(one), _words(other))


def gallery(
    dreams: Sequence[Told], real: Mapping[str, Sequence[Told]], shown: int = 2
) -> dict[str, dict[str, Any]]:
    """Dreams by the task of their nearest real example, the first of several that are as near.

    For each task of `real`: how many `dreams`; their mean `novelty`, 1 - similarity to that
    neighbour; how many are `copies` (the same text); the share that is `distinct`; how often the
    commonest `answers` stand in dreams and in real examples; and `shown` dreams beside their
    neighbours, those of middling novelty.
    """
    places = [(task, told, _words(told)) for task, every in real.items() for told in every]
    nearest: dict[str, list[tuple[float, Told, Told]]] = {task: [] for task in real}
    for dream in dreams:
        words = _words(dream)
        alike, task, neighbour = max(
            ((_jaccard(words, theirs), task, told) for task, told, theirs in places),
            key=lambda found: found[0],
        )
        nearest[task].append((1 - alike, dream, neighbour))
    return {task: _about(found, real[task], shown) for task, found in nearest.items()}


def _about(
    found: list[tuple[float, Told, Told]], real: Sequence[Told], shown: int
) -> dict[str, Any]:
    about: dict[str, Any] = {"dreams": len(found), "real answers": _commonest(real)}
    if not found:
        return about
    told = [dream for _, dream, _ in found]
    middling = sorted(found)[max(0, (len(found) - shown) // 2) :][:shown]
    return about | {
        "novelty": round(fmean(novelty for novelty, _, _ in found), 3),
        "copies": sum(dream in set(real) for dream in told),
        "distinct": round(len(set(told)) / len(told), 3),
        "answers": _commonest(told),
        "shown": [
            {"dream": _short(dream), "answer": dream[1][:LONGEST], "nearest": _short(neighbour)}
            | {"novelty": round(novelty, 3)}
            for novelty, dream, neighbour in middling
        ],
    }


def _commonest(told: Sequence[Told]) -> dict[str, float]:
    """Shares of the five commonest answers."""
    counts = Counter(answer.strip()[:40] for _, answer in told)
    return {answer: round(n / len(told), 3) for answer, n in counts.most_common(5)}


def _words(told: Told) -> frozenset[str]:
    return frozenset(" ".join(told).lower().split())


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def _short(told: Told) -> str:
    return " ".join(told[0].split())[:LONGEST]
