"""Method cards: what a method is, what it costs, where its runs lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from forgetting import method
from forgetting.evidence import claims
from forgetting.evidence.courses import Course, in_one_order
from forgetting.experiments import sequences
from forgetting.method import QUESTIONS, Card
from forgetting.site import plane
from forgetting.site.markup import Contents, render
from forgetting.site.plane import Measured

IN_TURN = "lamol"  # the chapter whose methods learn tasks one after another


def pages(runs: Mapping[str, Measured], contents: Contents) -> dict[Path, str]:
    """The cards and their index, by path under the book's source; `runs` by chapter."""
    known, in_turn = method.cards(), sequences.published(IN_TURN)
    cards = {Path("methods", f"{c.name}.md"): page(c, runs, contents, in_turn) for c in known}
    return {Path("methods", "index.md"): index(known), **cards}


def index(cards: Iterable[Card]) -> str:
    """The index: a table of methods for each question that has any."""
    by_question: dict[str, list[Card]] = {question: [] for question in QUESTIONS.values()}
    for card in cards:
        by_question[card.question].append(card)
    return render("methods.md.jinja", by_question=by_question)


def page(
    card: Card,
    runs: Mapping[str, Measured],
    contents: Contents,
    in_turn: Sequence[Course] = (),
) -> str:
    """One method's page; `in_turn` are the runs that learned tasks one after another."""
    planes = [_plane(card, *of_chapter) for of_chapter in runs.items()]
    courses = [course for course in in_one_order(in_turn) if course.method in card.rows]
    return render(
        "method.md.jinja",
        method=card,
        code={symbol: method.where(symbol) for symbol in card.symbols},
        planes=[of_chapter for of_chapter in planes if of_chapter["places"]],
        courses=courses,
        ends=ends(courses),
        in_turn=IN_TURN,
        link=contents.link,
    )


def _plane(card: Card, chapter: str, runs: Measured) -> dict[str, Any]:
    """The method's runs in one chapter, and their picture among all of its runs."""
    axes = plane.PLANES[chapter]
    mine = [runs.places[name] for name in card.rows if name in runs.places]
    return {
        "chapter": chapter,
        "axes": axes,
        "places": mine,
        "picture": plane.drawn(list(runs.places.values()), card.rows, axes) if mine else "",
        "about": claims.summary(runs.records),
    }


def ends(courses: Iterable[Course]) -> list[dict[str, Any]]:
    """Where each method ended, in per cent: the mean and its spread over seeds.

    Beside it the backward transfer in points, None after fewer than two tasks in turn.
    """
    by_method: dict[str, list[Course]] = {}
    for course in courses:
        by_method.setdefault(course.method, []).append(course)
    rows = []
    for name, same in by_method.items():
        finals = [100 * course.final() for course in same]
        later = [100 * c.forgetting({})["backward_transfer"] for c in same if len(c.records) > 2]
        rows.append(
            {
                "method": name,
                "seeds": len({course.seed for course in same}),
                "final": mean(finals),
                "spread": stdev(finals) if len(finals) > 1 else None,
                "transfer": mean(later) if later else None,
            }
        )
    return rows
