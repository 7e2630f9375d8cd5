"""Pages about claims: the scoreboard, what did not reproduce, intervals, what the papers state."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from forgetting.chapters import published
from forgetting.evidence import claims
from forgetting.evidence import papers as known
from forgetting.evidence.claims import FAILED, WORDS, Verdict
from forgetting.evidence.coverage import KINDS, coverage
from forgetting.home import data_dir
from forgetting.site.markup import BookError, Contents, badge, claim_link, render

DRAWS = 1000  # of each kind of items, to show how often an interval is right


def scoreboard(board: Sequence[Verdict], contents: Contents) -> str:
    """What holds and what does not at a glance, then one row a claim."""
    counts = {
        exploratory: Counter(v.verdict for v in board if v.exploratory is exploratory)
        for exploratory in (False, True)
    }
    tested, untested = by_paper(board)
    return render(
        "scoreboard.md.jinja",
        board=sorted(board, key=lambda verdict: verdict.effect is None),
        papers=tested,
        untested=untested,
        counts=counts,
        decided=sum(v.decided for v in board),
        tested=sum(v.decided or v.verdict == "undecided" for v in board),
        link=contents.link,
    )


def by_paper(board: Sequence[Verdict]) -> tuple[list[list[Verdict]], list[list[Verdict]]]:
    """The verdicts paper by paper, in the order of `WORDS`: papers that were tested, and others.

    Of the former, those with most decided claims stand first.
    """
    papers: dict[str, list[Verdict]] = {}
    for verdict in sorted(board, key=lambda verdict: WORDS.index(verdict.verdict)):
        papers.setdefault(verdict.paper, []).append(verdict)
    tested = [of for of in papers.values() if any(v.verdict != "not tested" for v in of)]
    tested.sort(key=lambda of: (-sum(v.decided for v in of), -len(of), of[0].paper))
    return tested, [of for of in papers.values() if of not in tested]


def failures(board: Sequence[Verdict], contents: Contents) -> str:
    """Claims that failed, with our reasons, and what stayed open.

    Raises `BookError` for a claim that failed and says no reason.
    """
    failed = [verdict for verdict in board if verdict.verdict in FAILED]
    for verdict in failed:
        if not verdict.why:
            raise BookError(
                f"claim {verdict.id!r}: it is {verdict.verdict} and has no `why`; "
                f"write the reason beside it in {verdict.chapter}/claims.toml"
            )
    chapters = {verdict.chapter for verdict in failed}
    return render(
        "failures.md.jinja",
        failed=failed,
        undecided=[v for v in board if v.verdict == "undecided"],
        untested=[v for v in board if v.verdict == "not tested" and v.tier],
        papers=known.papers(),
        runs={chapter: claims.summary(published.runs(chapter)) for chapter in chapters},
        link=contents.link,
    )


def changes(board: Sequence[Verdict]) -> str:
    """The verdicts of before 30 November 2026 beside today's, with the reason of each change."""
    path = data_dir() / "verdicts_before.json"
    before = json.loads(path.read_text(encoding="utf-8"))
    pairs = [(before[v.id], v) for v in board if v.id in before]
    return render("changes.md.jinja", pairs=pairs, changed=[_changed(*pair) for pair in pairs])


def _changed(before: dict[str, Any], verdict: Verdict) -> bool:
    same = before["verdict"] == verdict.verdict
    return not (same or (before["verdict"], verdict.verdict) == ("not run", "not tested"))


def intervals() -> str:
    """How an interval is made, and a simulation of how often it is right: the same each time."""
    held = [(kind.words, coverage(kind, DRAWS)) for kind in KINDS.values()]
    return render("intervals.md.jinja", held=held, draws=DRAWS)


def papers(board: Sequence[Verdict]) -> str:
    """Statement by statement, with published numbers and our verdicts.

    Raises `BookError` where a statement names a claim that does not exist.
    """
    verdicts = {verdict.id: verdict.verdict for verdict in board}

    def judged(*names: str) -> str:
        for name in names:
            if name not in verdicts:
                raise BookError(f"judged_by={name!r}: no claims.toml of a chapter has this id")
        return " ".join(claim_link(badge(verdicts[name]), name) for name in names)

    return render("papers.md.jinja", papers=known.papers(), judged=judged)
