"""The scoreboard: every claim with its verdict, and what no run has decided yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from forgetting.evidence.claims import Verdict
from forgetting.site.markup import Contents, render


def page(board: Sequence[Verdict], contents: Contents) -> str:
    """The page: how many claims hold, then one row a claim, those first that were run."""
    return render(
        "scoreboard.md.jinja",
        board=sorted(board, key=lambda verdict: verdict.verdict == "not run"),
        counts=Counter(verdict.verdict for verdict in board),
        link=contents.link,
    )
