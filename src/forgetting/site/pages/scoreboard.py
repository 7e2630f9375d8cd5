"""The scoreboard: every claim with its verdict, and what no run has decided yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from forgetting.evidence.claims import Verdict
from forgetting.site.markup import Contents, render


def page(board: Sequence[Verdict], contents: Contents) -> str:
    """The page: what holds and what does not at a glance, then one row a claim."""
    return render(
        "scoreboard.md.jinja",
        board=sorted(board, key=lambda verdict: verdict.effect is None),
        counts={
            kind: Counter(v.verdict for v in board if v.exploratory is kind)
            for kind in (False, True)
        },
        link=contents.link,
    )
