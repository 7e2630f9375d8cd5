"""Method cards: what a method is, what it costs, where its runs lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from forgetting import method
from forgetting.evidence import claims
from forgetting.evidence.courses import Course, in_one_order
from forgetting.experiments import sequences
from forgetting.method import Card
from forgetting.pages import plane, small_plane
from forgetting.pages.markup import REPOSITORY, Contents, page_of, table
from forgetting.pages.plane import Measured
from forgetting.wording import thousands

INTRODUCTION = """\
A card for every method that the library has today: the idea, what it costs, when to use it, and
where its runs lie. They are sorted by the one of the four questions that the method answers.
{doc}`/choosing` puts them side by side."""


IN_TURN = "lamol"  # the chapter whose methods learn tasks one after another


def pages(runs: Mapping[str, Measured], contents: Contents) -> dict[Path, str]:
    """The cards and their index, by path under the book's source; `runs` by chapter."""
    known, in_turn = method.cards(), sequences.published(IN_TURN)
    cards = {Path("methods", f"{c.name}.md"): page(c, runs, contents, in_turn) for c in known}
    return {Path("methods", "index.md"): index(known), **cards}


def index(known: Iterable[Card]) -> str:
    known, parts = list(known), [INTRODUCTION]
    for question in method.QUESTIONS.values():
        members = [card for card in known if card.question == question]
        if not members:
            continue
        rows = [(f"{{doc}}`{m.title} <{m.name}>`", m.idea, _citations(m)) for m in members]
        parts += [f"## {question}", table(("method", "idea", "source"), rows)]
    return page_of("Methods", *parts)


def page(
    card: Card,
    runs: Mapping[str, Measured],
    contents: Contents,
    in_turn: Sequence[Course] = (),
) -> str:
    """One method's page; `in_turn` are the runs that learned tasks one after another."""
    about = [
        ("question", f"*{card.question}*"),
        ("source", _citations(card)),
        ("cost", card.cost),
        ("when to use it", card.use),
        ("code", ", ".join(map(_code, card.symbols))),
    ]
    found = [_places(card, chapter, of_chapter, contents) for chapter, of_chapter in runs.items()]
    found.append(_ended(card, in_turn, contents))
    placed = [part for part in found if part]
    return page_of(
        card.title,
        card.idea,
        f"$$\n{card.equation.strip()}\n$$",
        table(("", ""), about),
        "## Where its runs lie",
        *(placed or ["No run of it is in the book yet."]),
    )


def _citations(card: Card) -> str:
    return f"{{cite:t}}`{','.join(card.citations)}`"


def _code(symbol: str) -> str:
    path, line = method.where(symbol)
    if Path(path).is_absolute():
        return f"`{symbol}`"  # a reader's own, which the repository lacks
    return f"[`{symbol}`]({REPOSITORY}/blob/main/src/forgetting/{path}#L{line})"


def _places(card: Card, chapter: str, runs: Measured, contents: Contents) -> str:
    mine = [runs.places[name] for name in card.rows if name in runs.places]
    if not mine:
        return ""
    axes = plane.PLANES[chapter]
    heads = ["runs", "rate", "seeds", "weights that move", f"learned: {axes.skill}, nats a token"]
    heads += [f"{loss.words}, {loss.unit} ({loss.sign})" for loss in axes.losses]
    rows = [
        (
            place.method,
            f"{place.rate:g}",
            place.seeds,
            thousands(place.trainable),
            plane.change(place.learned),
            *(plane.change(place.lost[loss.words]) for loss in axes.losses),
        )
        for place in mine
    ]
    about = claims.summary(runs.records)
    source = (
        "At the central rate, as changes from the untouched model, ± half the 95 % interval over "
        f"items and seeds. {about['model']}, {about['tier']} tier, {about['last']}; "
        f"{{doc}}`records </records/{chapter}>`. The whole curves are drawn in the chapter: "
        f"{contents.link(chapter)}."
    )
    picture = small_plane.drawn(
        list(runs.places.values()), {place.method for place in mine}, axes.skill, axes.losses[0]
    )
    return "\n\n".join([f"```{{raw}} html\n{picture}\n```", table(heads, rows), source])


def _ended(card: Card, found: Sequence[Course], contents: Contents) -> str:
    mine = [course for course in in_one_order(found) if course.method in card.rows]
    if not mine:
        return ""
    rows = []
    for name in dict.fromkeys(course.method for course in mine):
        same = [course for course in mine if course.method == name]
        finals = [100 * course.final() for course in same]
        later = [100 * c.forgetting({})["backward_transfer"] for c in same if len(c.records) > 2]
        rows.append(
            (
                name,
                len({course.seed for course in same}),
                f"{mean(finals):.1f}" + (f" ± {stdev(finals):.1f}" if len(finals) > 1 else ""),
                f"{mean(later):+.1f}" if later else "–",
            )
        )
    last = mine[0].records[-1]
    about = (
        f"{len(mine[0].tasks)} tasks in turn ({mine[0].order}), and the mean of their scores at "
        "the end in per cent, ± the standard deviation over seeds; beside it what later tasks "
        f"changed in earlier ones (backward transfer), in points. {last.model['name']}, "
        f"{last.tier} tier, {last.timing['date'][:10]}; {{doc}}`records "
        f"</records/{IN_TURN}>`. Every order and every definition stand in the chapter: "
        f"{contents.link(IN_TURN)}."
    )
    heads = ("runs", "seeds", "score at the end, %", "backward transfer, points")
    return "\n\n".join([table(heads, rows), about])
