"""Choosing on one half of the items and reporting on the other."""

from __future__ import annotations

from collections.abc import Mapping

from forgetting.evidence.records import Run


def better(path: Mapping[float, Run], start: Run, measure: str, half: int) -> dict[float, float]:
    """How much likelier than at the start at each λ, nats a token, on every other item.

    `half` 0 are the first, third, … item, 1 the others.
    """
    role, _, metric = measure.rpartition(".")
    before, weights = (values[half::2] for values in start.scores_of(role).values(metric))
    total = sum(weights)
    return {
        share: sum(
            weight * (old - new)
            for old, new, weight in zip(
                before, run.scores_of(role).values(metric)[0][half::2], weights, strict=True
            )
        )
        / total
        for share, run in path.items()
    }
