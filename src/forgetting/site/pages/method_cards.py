"""Method cards: what a method is, what it costs, where its runs lie."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from forgetting import chapters, method
from forgetting.chapters import published
from forgetting.evidence import claims
from forgetting.evidence.claims import WORDS, Verdict
from forgetting.evidence.papers import Claim, papers
from forgetting.evidence.trajectories import Trajectory, in_one_order
from forgetting.experiments.experiment import START
from forgetting.method import Card
from forgetting.site import drawing, plane
from forgetting.site.markup import Contents, render
from forgetting.site.plane import Measured
from forgetting.views import theme


def pages(
    runs: Mapping[str, Measured], contents: Contents, board: Sequence[Verdict] = ()
) -> dict[Path, str]:
    """The cards and their index, by path under the book's source; `runs` by chapter."""
    cards = method.cards()
    in_turn = {
        n: published.sequences(n) for n in chapters.names() if chapters.experiment(n).in_turn
    }
    by_question = {q: [c for c in cards if c.question == q] for q in method.QUESTIONS.values()}
    return {
        Path("methods", "index.md"): render("methods.md.jinja", by_question=by_question),
        **{Path("methods", f"{c.name}.md"): page(c, runs, contents, in_turn, board) for c in cards},
    }


def page(
    card: Card,
    runs: Mapping[str, Measured],
    contents: Contents,
    in_turn: Mapping[str, Sequence[Trajectory]] | None = None,
    board: Sequence[Verdict] = (),
) -> str:
    """One method's page; `in_turn` are, by chapter, runs that learned tasks one after another.

    `board` are the verdicts of all claims; those about the method open its page.
    """
    verdicts = list(about(card, board))
    return render(
        "method.md.jinja",
        method=card,
        tested=[v for v in verdicts if v.verdict != "not tested"],
        untested=[v for v in verdicts if v.verdict == "not tested"],
        code={symbol: method.where(symbol) for symbol in card.symbols},
        planes=list(_planes(card, runs)),
        sequences=list(_sequences(card, in_turn or {})),
        loss_heads=plane.heads,
        link=contents.link,
    )


def about(card: Card, board: Sequence[Verdict]) -> Iterator[Verdict]:
    """The verdicts of claims that compare one of a card's arms, in the order of `WORDS`.

    A claim that compares with the chapter's plain arm is about the other side alone.
    """
    designed = {claim.id: claim for paper in papers() for claim in paper.claims}
    own = {name: {*_arms_about(card, name), *card.members} for name in chapters.names()}
    for verdict in sorted(board, key=lambda verdict: WORDS.index(verdict.verdict)):
        claim = designed.get(verdict.id)
        if claim and claim.chapter in own and _compared(claim) & own[claim.chapter]:
            yield verdict


def _compared(claim: Claim) -> set[str]:
    """The arms that a claim is about: those of both sides, without start and plain arm."""
    sides = (claim.left, claim.right or {})
    arms = {side["method"] for side in sides if "method" in side} - {START}
    axes = chapters.experiment(claim.chapter).plane
    return arms - {axes.plain} or arms if axes else arms


def _arms_about(card: Card, chapter: str) -> dict[str, None]:
    """The arms of a chapter, by their curves, that are about a card's methods."""
    curves = theme.curves(chapters.experiment(chapter))
    return dict.fromkeys(curve for curve, of in curves if of in card.members)


def _planes(card: Card, runs: Mapping[str, Measured]) -> Iterator[dict[str, Any]]:
    """The method's runs in each chapter, and their picture among all runs there."""
    for chapter, of_chapter in runs.items():
        arms = _arms_about(card, chapter) | dict.fromkeys(card.members)
        if names := [name for name in arms if name in of_chapter.places]:
            yield {
                "chapter": chapter,
                "axes": of_chapter.axes,
                "places": [of_chapter.places[name] for name in names],
                "picture": drawing.drawn(of_chapter, names),
                "about": claims.summary(of_chapter.runs),
            }


def _sequences(card: Card, in_turn: Mapping[str, Sequence[Trajectory]]) -> Iterator[dict[str, Any]]:
    """The method's trajectories in each chapter, and where they ended."""
    for chapter, trajectories in in_turn.items():
        arms = _arms_about(card, chapter)
        if own := [each for each in in_one_order(trajectories) if each.method in arms]:
            yield {"chapter": chapter, "first": own[0], "ends": _ends(own)}


def _ends(trajectories: Iterable[Trajectory]) -> list[dict[str, Any]]:
    """Where each arm ended, in per cent: the mean and its spread over seeds.

    Beside it the backward transfer in points, None after fewer than two tasks in turn.
    """
    by_arm: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        by_arm.setdefault(trajectory.method, []).append(trajectory)
    rows = []
    for arm, same in by_arm.items():
        finals = [100 * each.final() for each in same]
        later = [100 * t.forgetting({})["backward_transfer"] for t in same if len(t.runs) > 2]
        rows.append(
            {
                "method": arm,
                "seeds": len({each.seed for each in same}),
                "final": mean(finals),
                "spread": stdev(finals) if len(finals) > 1 else None,
                "transfer": mean(later) if later else None,
            }
        )
    return rows
