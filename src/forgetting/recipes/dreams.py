"""What dreams are worth: which task they resemble, what is new in them, how they are spread.

Pure functions of texts; a dream and a real example are (question, answer) each.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

Pair = tuple[str, str]  # a question and its answer
LONGEST = 200  # characters of a text that is shown


def similarity(one: Pair, other: Pair) -> float:
    """Jaccard's index of two examples' words: shared ÷ all, between 0 and 1 (1 without words)."""
    return _jaccard(_words(one), _words(other))


def gallery(
    dreams: Sequence[Pair], real: Mapping[str, Sequence[Pair]], shown: int = 2
) -> dict[str, dict[str, Any]]:
    """Dreams by the task of their nearest real example, the first of several that are as near.

    For each task of `real`: how many `dreams`; their mean `novelty`, 1 - similarity to that
    neighbour; how many are `copies` (the same text); the share that is `distinct`; how often the
    commonest `answers` stand in dreams and in real examples; and `shown` dreams beside their
    neighbours, those of middling novelty.
    """
    examples = [(task, pair, _words(pair)) for task, pairs in real.items() for pair in pairs]
    neighbours: dict[str, list[tuple[float, Pair, Pair]]] = {task: [] for task in real}
    for dream in dreams:
        words = _words(dream)
        alike, task, nearest = max(
            ((_jaccard(words, others), task, pair) for task, pair, others in examples),
            key=lambda example: example[0],
        )
        neighbours[task].append((1 - alike, dream, nearest))
    return {task: _about(near, real[task], shown) for task, near in neighbours.items()}


def _about(
    neighbours: list[tuple[float, Pair, Pair]], real: Sequence[Pair], shown: int
) -> dict[str, Any]:
    about: dict[str, Any] = {"dreams": len(neighbours), "real answers": _commonest(real)}
    if not neighbours:
        return about
    dreams = [dream for _, dream, _ in neighbours]
    middling = sorted(neighbours)[max(0, (len(dreams) - shown) // 2) :][:shown]
    return about | {
        "novelty": round(fmean(novelty for novelty, _, _ in neighbours), 3),
        "copies": sum(dream in set(real) for dream in dreams),
        "distinct": round(len(set(dreams)) / len(dreams), 3),
        "answers": _commonest(dreams),
        "shown": [
            {"dream": _short(dream), "answer": dream[1][:LONGEST], "nearest": _short(nearest)}
            | {"novelty": round(novelty, 3)}
            for novelty, dream, nearest in middling
        ],
    }


def _commonest(pairs: Sequence[Pair]) -> dict[str, float]:
    """Shares of the five commonest answers."""
    counts = Counter(answer.strip()[:40] for _, answer in pairs)
    return {answer: round(n / len(pairs), 3) for answer, n in counts.most_common(5)}


def _words(pair: Pair) -> frozenset[str]:
    return frozenset(" ".join(pair).lower().split())


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def _short(pair: Pair) -> str:
    return " ".join(pair[0].split())[:LONGEST]
