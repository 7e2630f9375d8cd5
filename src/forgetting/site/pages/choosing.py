"""Which method should I use? An engineer's page: costs and losses at matched learning."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from forgetting.evidence import claims, records
from forgetting.evidence.intervals import Effect
from forgetting.experiments.experiment import Loss, Plane
from forgetting.site import plane
from forgetting.site.markup import Contents, change, render
from forgetting.site.plane import Measured, Place

ENOUGH = 0.9  # of what the plain method learned at its central rate


def page(planes: Mapping[str, Measured], contents: Contents) -> str:
    """The page; `planes` by chapter."""
    chapters = []
    for name, runs in planes.items():
        places = sorted(runs.places.values(), key=lambda place: place.trainable)
        about = {
            "name": name,
            "axes": runs.axes,
            "places": places,
            "about": claims.summary(runs.runs),
            "sides": {loss: _sides(places, loss) for loss in runs.axes.losses},
            "rates": _rates(runs),
            "choice": _choice(places, runs.axes),
        }
        chapters.append(about)
    return render(
        "choosing.md.jinja",
        chapters=chapters,
        enough=ENOUGH,
        link=contents.link,
        loss_heads=plane.heads,
    )


def _sides(places: Sequence[Place], loss: Loss) -> dict[str, list[str]]:
    """Methods that the intervals say are better or worse than the plain one, or level with it.

    With the first two stands by how much: "LoRA (−0.028 ± 0.025 nats a token)".
    """
    methods: dict[str, list[str]] = {"better": [], "worse": [], "level": []}
    for place in places:
        if effect := place.matched[loss.words]:
            which = side(effect, loss)
            size = f" ({change(effect)} {loss.unit})" if which != "level" else ""
            methods[which].append(place.method + size)
    return methods


def side(effect: Effect, loss: Loss) -> str:
    """On which side of nothing the whole interval lies: "better", "worse" or "level"."""
    low, high = sorted((loss.worse * effect.low, loss.worse * effect.high))
    return "better" if high < 0 else "worse" if low > 0 else "level"


def _choice(
    places: Sequence[Place], axes: Plane
) -> tuple[Place, Place | None, Place | None] | None:
    """The plain method, and what to take instead of methods that were worse in nothing.

    That is the cheapest that learned `ENOUGH` of what the plain one did, and a cheaper one that
    learned less; None where there is none. `places` stand in the order of their cost. None where
    methods do not differ in the weights that they move.
    """
    plain = next((place for place in places if place.method == axes.plain), None)
    if plain is None or len({place.trainable for place in places}) == 1:
        return None
    good = [place for place in places if _never_worse(place, axes.losses)]
    least = ENOUGH * plain.learned.mean
    enough = next((place for place in good if place.learned.mean >= least), None)
    less = good[0] if good and good[0].learned.mean < least else None
    return plain, enough, less


def _never_worse(place: Place, losses: Sequence[Loss]) -> bool:
    effects = [(place.matched[loss.words], loss) for loss in losses]
    return all(effect and side(effect, loss) != "worse" for effect, loss in effects)


def _rates(runs: Measured) -> dict[str, Any] | None:
    """What the rate alone does to the plain method, and how far others lie from it in the median.

    `learned` and `lost` (the first loss) are its means, rate by rate; `apart` is None where nothing
    was matched. None where the plain method ran at one rate alone.
    """
    axes, words = runs.axes, runs.axes.losses[0].words
    plain = records.select(runs.runs, method=axes.plain)
    rates = sorted({run.labels["learning_rate"] for run in plain})
    if len(rates) < 2:
        return None
    start = records.start_of(runs.runs)
    groups = [records.select(plain, learning_rate=rate) for rate in rates]
    learned, lost = zip(*(plane.effects(axes, start, group) for group in groups), strict=True)
    matched = [place.matched[words] for place in runs.places.values()]
    distances = [abs(effect.mean) for effect in matched if effect]
    return {
        "rates": rates,
        "learned": [effect.mean for effect in learned],
        "lost": [effects[words].mean for effects in lost],
        "apart": median(distances) if distances else None,
    }
