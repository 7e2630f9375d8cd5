"""Which method should I use? An engineer's page: costs and losses at matched learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from forgetting.evidence import claims, records
from forgetting.evidence.claims import Effect
from forgetting.pages import plane
from forgetting.pages.markup import Contents, page_of, table
from forgetting.pages.plane import Loss, Measured, Place, Plane
from forgetting.wording import count, listed, number, thousands

INTRODUCTION = """\
You are about to fine-tune a model and want to lose as little as possible. This page says what our
records say, for each skill that was taught. Every number on it is read from records when the book
is built; another model or another skill can come out differently, so treat it as a first guess and
measure your own.

1. **Measure before you train.** Choose three things that your users need beside the new skill, and
   score the untouched model on them.
2. **Try three learning rates before you try a second method.** How far a method moves the model
   depends on its rate first; a method that lost less at one rate may only have learned less.
3. **Compare where both have learned the same.** The tables below do: their last columns compare
   with the plain method *at the same level of the new skill*.
4. **Take the cheapest method that is not worse.**"""

READING = """\
*Gradients and optimiser* is what AdamW in 32 bits holds for the
weights that move, 12 bytes each; the weights themselves and activations come on top. *Training* is
the median of a run's seconds on {device}. ± is half a 95 % interval over items and seeds, one
comparison at a time; among many rows one or the other will seem to differ by chance. A dash stands
where {in_words} never learned as much as the method did, or as little."""

ENOUGH = 0.9  # of what the plain method learned at its central rate


def page(runs: Mapping[str, Measured], contents: Contents) -> str:
    """The page; `runs` by chapter."""
    parts = [INTRODUCTION]
    for chapter, of_chapter in runs.items():
        axes = plane.PLANES[chapter]
        parts.append(f"## When you teach {axes.skill}: {axes.choice}")
        parts += _chapter(chapter, of_chapter, contents)
    if len(parts) == 1:
        parts.append("Nothing has been run yet.")
    return page_of("Which method should I use?", *parts, wide=True)


def _chapter(chapter: str, runs: Measured, contents: Contents) -> list[str]:
    axes, places = plane.PLANES[chapter], list(runs.places.values())
    heads = ["method", "rate", "seeds", "weights that move", "gradients and optimiser, MiB"]
    heads += ["training, s", f"learned: {axes.skill}, nats a token"]
    heads += [
        f"{loss.words} against *{axes.plain}*, {loss.unit} ({loss.sign})" for loss in axes.losses
    ]
    rows = [
        (
            place.method,
            f"{place.rate:g}",
            place.seeds,
            f"{thousands(place.trainable)} ({place.share:.2%})",
            f"{place.memory:,.1f}",
            f"{place.seconds:.0f}",
            plane.change(place.learned),
            *(_matched(place.matched[loss.words]) for loss in axes.losses),
        )
        for place in sorted(places, key=lambda place: place.trainable)
    ]
    about = claims.summary(runs.records)
    return [
        table(heads, rows, marks=".sortable"),
        READING.format(device=about["device"], in_words=axes.in_words),
        *(comparison(places, loss, axes.in_words) for loss in axes.losses),
        rates(chapter, runs),
        choice(places, axes),
        f"Read from {count(about['runs'], 'run')} of the {about['tier']} tier, {about['model']}: "
        f"{{doc}}`records </records/{chapter}>`. The experiment: {contents.link(chapter)}.",
    ]


def _matched(found: Effect | None) -> str:
    return plane.change(found) if found else ""


def comparison(places: Sequence[Place], loss: Loss, plain: str) -> str:
    """What the intervals say of one loss: methods better or worse than `plain`, or neither."""
    sides: dict[str, list[Place]] = {"better": [], "worse": [], "level": []}
    for place in sorted(places, key=lambda place: place.trainable):
        if found := place.matched[loss.words]:
            sides[side(found, loss)].append(place)
    if not any(sides.values()):
        return f"**{loss.words.capitalize()}:** no method can be compared at matched learning."
    said = []
    for which in ("better", "worse"):
        if sides[which]:
            named = [f"{p.method} ({_told(p, loss)})" for p in sides[which]]
            said.append(f"{listed(named)} came out {which} than {plain}")
    if sides["level"]:
        level = listed([place.method for place in sides["level"]])
        said.append(f"{level} cannot be told apart from {plain}")
    return f"**{loss.words.capitalize()}**, where both had learned the same: {'; '.join(said)}."


def _told(place: Place, loss: Loss) -> str:
    found = place.matched[loss.words]
    return f"{plane.change(found)} {loss.unit}" if found else ""


def side(found: Effect, loss: Loss) -> str:
    """On which side of nothing the whole interval lies: "better", "worse" or "level"."""
    low, high = sorted((loss.worse * found.low, loss.worse * found.high))
    return "better" if high < 0 else "worse" if low > 0 else "level"


def choice(places: Sequence[Place], axes: Plane) -> str:
    """The cheapest method that learned enough and did worse in nothing, in a sentence or two.

    Nothing where methods do not differ in the weights that they move.
    """
    everything = next((p for p in places if p.method == axes.plain), None)
    if everything is None or len({place.trainable for place in places}) == 1:
        return ""
    good = sorted(
        (place for place in places if _never_worse(place, axes.losses)), key=lambda p: p.trainable
    )
    enough = [p for p in good if p.learned.mean >= ENOUGH * everything.learned.mean]
    text = "**So here:** "
    if enough:
        text += (
            f"the cheapest method that was worse in neither and learned at least {ENOUGH:.0%} of "
            f"what {axes.in_words} did is **{enough[0].method}**: "
            f"{_costs(enough[0], everything)}."
        )
    else:
        text += (
            f"no method was worse in neither and learned at least {ENOUGH:.0%} of what "
            f"{axes.in_words} did."
        )
    if good and good[0] not in enough:
        few = good[0]
        text += (
            f" If less will do, {few.method} is cheaper still ({_costs(few, everything)}); it "
            f"learned {number(few.learned.mean)} nats a token, {axes.in_words} "
            f"{number(everything.learned.mean)}."
        )
    return text


def _never_worse(place: Place, losses: Sequence[Loss]) -> bool:
    found = [(place.matched[loss.words], loss) for loss in losses]
    return all(effect and side(effect, loss) != "worse" for effect, loss in found)


def _costs(place: Place, everything: Place) -> str:
    return (
        f"{thousands(place.trainable)} weights move, gradients and optimiser take "
        f"{place.memory:,.1f} MiB instead of {everything.memory:,.0f}, and a run took "
        f"{place.seconds:.0f} s instead of {everything.seconds:.0f}"
    )


def rates(chapter: str, runs: Measured) -> str:
    """What the rate alone does to the plain method: the range over its rates."""
    axes = plane.PLANES[chapter]
    loss = axes.losses[0]
    found = records.select(runs.records, method=axes.plain)
    used = sorted({record.labels["learning_rate"] for record in found})
    if len(used) < 2:
        return ""
    groups = [records.select(found, learning_rate=rate) for rate in used]
    by_rate = [plane.effects(chapter, runs.untouched, group) for group in groups]
    learned = [effect.mean for effect, _ in by_rate]
    lost = [losses[loss.words].mean for _, losses in by_rate]
    matched = [place.matched[loss.words] for place in runs.places.values()]
    spread = [abs(effect.mean) for effect in matched if effect]
    text = (
        f"**The rate:** {axes.in_words} at rates from {used[0]:g} to {used[-1]:g} learned "
        f"between {number(min(learned))} and {number(max(learned))} nats a token, and changed "
        f"{loss.words} by {number(min(lost))} to {number(max(lost))} {loss.unit}."
    )
    if spread:
        text += (
            " Methods at matched learning differ from it by "
            f"{number(median(spread))} in the median."
        )
    return text
