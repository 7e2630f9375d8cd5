"""Pages about claims: the scoreboard, what did not reproduce, and what the papers state."""

from collections import Counter
from collections.abc import Sequence

from forgetting.chapters import published
from forgetting.evidence import claims
from forgetting.evidence import papers as known
from forgetting.evidence.claims import Verdict
from forgetting.site.markup import BookError, Contents, badge, claim_link, render


def scoreboard(board: Sequence[Verdict], contents: Contents) -> str:
    """How many claims hold, then one row a claim, those first that were run."""
    return render(
        "scoreboard.md.jinja",
        board=sorted(board, key=lambda verdict: verdict.verdict == "not run"),
        counts=Counter(verdict.verdict for verdict in board),
        link=contents.link,
    )


def failures(board: Sequence[Verdict], contents: Contents) -> str:
    """Contradicted claims with our reasons, and what stayed undecided.

    Raises `BookError` for a contradicted claim that says no reason.
    """
    contradicted = [verdict for verdict in board if verdict.verdict == "contradicted"]
    for verdict in contradicted:
        if not verdict.why:
            raise BookError(
                f"claim {verdict.id!r}: it is contradicted and has no `why`; "
                f"write the reason beside it in {verdict.chapter}/claims.toml"
            )
    chapters = {verdict.chapter for verdict in contradicted}
    return render(
        "failures.md.jinja",
        contradicted=contradicted,
        undecided=[v for v in board if v.verdict == "undecided" and v.effect is not None],
        papers=known.papers(),
        runs={chapter: claims.summary(published.runs(chapter)) for chapter in chapters},
        link=contents.link,
    )


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
