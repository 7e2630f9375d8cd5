"""Method cards: what a method is, what it costs, where its runs lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, get_args

from forgetting import chapters
from forgetting.chapters import published
from forgetting.evidence import claims
from forgetting.evidence.trajectories import Trajectory, in_one_order
from forgetting.site import descriptions, plane
from forgetting.site.descriptions import Method, Question
from forgetting.site.markup import Contents, render
from forgetting.site.plane import Measured

Sequences = Mapping[str, Sequence[Trajectory]]  # by chapter


def pages(runs: Mapping[str, Measured], contents: Contents) -> dict[Path, str]:
    """The cards and their index, by path under the book's source; `runs` by chapter."""
    methods = descriptions.methods()
    designs = {name: chapters.experiment(name) for name in chapters.names()}
    in_turn = {name: published.sequences(name) for name in designs if designs[name].in_turn}
    cards = {Path("methods", f"{m.name}.md"): card(m, runs, contents, in_turn) for m in methods}
    return {Path("methods", "index.md"): index(methods), **cards}


def index(methods: Iterable[Method]) -> str:
    """The index: a table of methods for each question that has any."""
    by_question: dict[str, list[Method]] = {question: [] for question in get_args(Question)}
    for method in methods:
        by_question[method.question].append(method)
    return render("methods.md.jinja", by_question=by_question)


def card(
    method: Method,
    runs: Mapping[str, Measured],
    contents: Contents,
    in_turn: Sequences | None = None,
) -> str:
    """One method's page; `in_turn` are the runs that learned tasks one after another."""
    return render(
        "method.md.jinja",
        method=method,
        code={symbol: descriptions.where(symbol) for symbol in method.symbols},
        planes=list(_planes(method, runs)),
        sequences=list(_sequences(method, in_turn or {})),
        loss_heads=plane.heads,
        link=contents.link,
    )


def _planes(method: Method, runs: Mapping[str, Measured]) -> Iterable[dict[str, Any]]:
    """The method's runs in each chapter, and their picture among all runs there."""
    for chapter, of_chapter in runs.items():
        if names := [name for name in method.rows if name in of_chapter.places]:
            yield {
                "chapter": chapter,
                "axes": of_chapter.axes,
                "places": [of_chapter.places[name] for name in names],
                "picture": plane.drawn(of_chapter, names),
                "about": claims.summary(of_chapter.runs),
            }


def _sequences(method: Method, in_turn: Sequences) -> Iterable[dict[str, Any]]:
    """The method's trajectories in each chapter, and where they ended."""
    for chapter, trajectories in in_turn.items():
        if own := [each for each in in_one_order(trajectories) if each.method in method.rows]:
            yield {"chapter": chapter, "first": own[0], "ends": ends(own)}


def ends(trajectories: Iterable[Trajectory]) -> list[dict[str, Any]]:
    """Where each arm ended, in per cent: the mean and its spread over seeds.

    Beside it the backward transfer in points, None after fewer than two tasks in turn.
    """
    by_method: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        by_method.setdefault(trajectory.method, []).append(trajectory)
    rows = []
    for method, same in by_method.items():
        finals = [100 * each.final() for each in same]
        later = [100 * t.forgetting({})["backward_transfer"] for t in same if len(t.runs) > 2]
        rows.append(
            {
                "method": method,
                "seeds": len({each.seed for each in same}),
                "final": mean(finals),
                "spread": stdev(finals) if len(finals) > 1 else None,
                "transfer": mean(later) if later else None,
            }
        )
    return rows
