"""What did not reproduce: contradicted claims with our reasons, and what stayed undecided."""

from __future__ import annotations

from collections.abc import Sequence

from forgetting.chapters import published
from forgetting.evidence import claims, papers
from forgetting.evidence.claims import Verdict
from forgetting.site.markup import Contents, PageError, render


def page(board: Sequence[Verdict], contents: Contents) -> str:
    """The page. Raises `PageError` for a contradicted claim that says no reason."""
    contradicted = [verdict for verdict in board if verdict.verdict == "contradicted"]
    for verdict in contradicted:
        if not verdict.why:
            raise PageError(
                f"claim {verdict.id!r}: it is contradicted and has no `why`; "
                f"write the reason beside it in {verdict.chapter}/claims.toml"
            )
    chapters = {verdict.chapter for verdict in contradicted}
    return render(
        "failures.md.jinja",
        contradicted=contradicted,
        undecided=[v for v in board if v.verdict == "undecided" and v.effect is not None],
        papers=papers.papers(),
        runs={chapter: claims.summary(published.runs(chapter)) for chapter in chapters},
        link=contents.link,
    )
