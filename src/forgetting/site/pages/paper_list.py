"""What the papers state: statement by statement, with published numbers and our verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from forgetting.evidence import papers
from forgetting.evidence.claims import Verdict
from forgetting.site.markup import PageError, badge, claim_link, render


def page(board: Sequence[Verdict]) -> str:
    """The page. Raises `PageError` where a statement names a claim that does not exist."""
    verdicts = {verdict.id: verdict.verdict for verdict in board}

    def judged(*names: str) -> str:
        for name in names:
            if name not in verdicts:
                raise PageError(f"judged_by={name!r}: no claims.toml of a chapter has this id")
        return " ".join(claim_link(badge(verdicts[name]), name) for name in names)

    return render("papers.md.jinja", papers=papers.papers(), judged=judged)
