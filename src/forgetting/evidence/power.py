"""Power: how many more seeds or items would decide a claim, and what they would take."""

from __future__ import annotations

from forgetting.evidence.intervals import Effect
from forgetting.wording import count

FEWEST_SEEDS = 3
MOST_SEEDS = 12
FACTORS = (1, 2, 4, 8, 16)  # of items


def needed(effect: Effect, thresholds: tuple[float, ...], seconds: float) -> str:
    """What would decide, if the mean stayed where it is: "6 more seeds (24 min)".

    `seconds` is what one seed of both sides took. Of sizes up to `MOST_SEEDS` seeds and sixteen
    times the items, the one with the fewest items, then the fewest seeds.
    """
    if effect.seeds < FEWEST_SEEDS:
        return _words(FEWEST_SEEDS - effect.seeds, 1, effect, seconds)
    distance = min(abs(effect.mean - threshold) for threshold in thresholds)
    if effect.parts:
        for factor in FACTORS:
            for seeds in range(effect.seeds, MOST_SEEDS + 1):
                more = seeds > effect.seeds or factor > 1
                if more and half_width(effect, seeds, factor) < distance:
                    return _words(seeds - effect.seeds, factor, effect, seconds)
    return f"no run of up to {MOST_SEEDS} seeds and {FACTORS[-1]} times the items"


def half_width(effect: Effect, seeds: int, factor: int = 1) -> float:
    """Of the interval with so many `seeds`, and `factor` times the items."""
    parts = [
        part._replace(variance=part.variance * effect.seeds / seeds, freedom=seeds - 1)
        if part.of == "seeds"
        else part._replace(variance=part.variance / factor, freedom=part.freedom * factor, skew=0.0)
        for part in effect.parts
    ]
    low, high = effect.model_copy(update={"parts": tuple(parts)}).bounds()
    return (high - low) / 2


def _words(more: int, factor: int, effect: Effect, seconds: float) -> str:
    items = [f"{factor * effect.items} items"] if factor > 1 else []
    seeds = [count(more, "more seed")] if more else []
    each = " in each order" if more and effect.orders > 1 else ""
    minutes = f" (about {max(1, round(more * seconds / 60))} min)" if more else ""
    return " and ".join(seeds + items) + each + minutes
