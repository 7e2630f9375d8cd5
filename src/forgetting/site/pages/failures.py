"""What did not reproduce: claims that failed, with our reasons, and what stayed open."""

from __future__ import annotations

from collections.abc import Sequence

from forgetting.chapters import published
from forgetting.evidence import claims, papers
from forgetting.evidence.claims import FAILED, Verdict
from forgetting.site.markup import Contents, PageError, render


def page(board: Sequence[Verdict], contents: Contents) -> str:
    """The page. Raises `PageError` for a claim that failed and says no reason."""
    failed = [verdict for verdict in board if verdict.verdict in FAILED]
    for verdict in failed:
        if not verdict.why:
            raise PageError(
                f"claim {verdict.id!r}: it is {verdict.verdict} and has no `why`; "
                f"write the reason beside it in {verdict.chapter}/claims.toml"
            )
    chapters = {verdict.chapter for verdict in failed}
    return render(
        "failures.md.jinja",
        failed=failed,
        undecided=[v for v in board if v.verdict == "undecided"],
        untested=[v for v in board if v.verdict == "not tested" and v.tier],
        papers=papers.papers(),
        runs={chapter: claims.summary(published.runs(chapter)) for chapter in chapters},
        link=contents.link,
    )
