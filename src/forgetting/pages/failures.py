"""What did not reproduce: contradicted claims with our reasons, and what stayed undecided."""

from __future__ import annotations

from collections.abc import Sequence

from forgetting.evidence import claims, papers
from forgetting.evidence.claims import Verdict
from forgetting.pages.markup import (
    Contents,
    PageError,
    claim_link,
    interval,
    page_of,
    table,
)

INTRODUCTION = """\
Results that do not come out are results. Each claim on this page was written down before its runs,
and the runs said something else. A contradiction here is one in our setting, with a small model and
little data; it does not say that the paper is wrong. What was smaller than in the paper stands with
each, and so does the reason that we think most likely."""


def page(board: Sequence[Verdict], contents: Contents) -> str:
    """The page. Raises `PageError` for a contradicted claim that says no reason."""
    contradicted = [verdict for verdict in board if verdict.verdict == "contradicted"]
    for verdict in contradicted:
        if not verdict.why:
            raise PageError(
                f"claim {verdict.id!r}: it is contradicted and has no `why`; "
                "write the reason beside the claim in data/papers"
            )
    undecided = [v for v in board if v.verdict == "undecided" and v.effect is not None]
    if not contradicted and not undecided:
        return page_of("What did not reproduce", INTRODUCTION, "No claim was contradicted so far.")
    parts = [f"## Contradicted ({len(contradicted)})"] if contradicted else []
    for paper in papers.papers():
        of_paper = [v for v in contradicted if v.citation == paper.citation]
        if of_paper:
            parts.append(f"### {paper.short}")
            parts.append(f"{{cite:t}}`{paper.citation}`: *{paper.title}*.")
            if paper.scaled_down:
                parts.append(f"*Scaled down:* {paper.scaled_down}")
            parts += [_contradiction(verdict, contents) for verdict in of_paper]
    if undecided:
        parts += [f"## Undecided ({len(undecided)})", UNDECIDED, _undecided(undecided, contents)]
    return page_of("What did not reproduce", INTRODUCTION, *parts)


UNDECIDED = """\
These were run, and the interval contains the tolerance or too few seeds were run: the experiment
was too small to tell."""


def _contradiction(verdict: Verdict, contents: Contents) -> str:
    claimed = {"less": "below −", "greater": "above ", "equal": "within ±"}[verdict.direction]
    about = claims.summary(claims.best_stored(verdict.chapter))
    return "\n".join(
        [
            f"**{verdict.statement}**",
            "",
            f": Claimed: {claimed}{verdict.tolerance:g}. Measured: {interval(verdict)} "
            f"{verdict.unit}; {about['model']}, {verdict.tier} tier, "
            f"{verdict.runs}, {verdict.date}. Chapter: "
            f"{contents.link(verdict.chapter)}. {claim_link('On the scoreboard', verdict.id)}.",
            "",
            f": *Why:* {' '.join(verdict.why.split())}",
        ]
    )


def _undecided(found: Sequence[Verdict], contents: Contents) -> str:
    rows = [
        (
            claim_link(v.statement, v.id),
            interval(v),
            f"{v.direction}, tolerance {v.tolerance:g} {v.unit}",
            v.reason,
            contents.link(v.chapter),
        )
        for v in found
    ]
    return table(("claim", "effect", "claimed", "why undecided", "chapter"), rows)
