"""The scoreboard: every claim with its verdict, and what no run has decided yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from forgetting.evidence.claims import Verdict
from forgetting.pages.markup import (
    NOTHING,
    VERDICTS,
    Contents,
    badge,
    interval,
    page_of,
    table,
)

INTRODUCTION = """\
Every claim that this book tests, with its verdict. A claim was written down before it was measured:
what is compared, in which direction, and how large a difference counts. The page
{doc}`how_to_read` says what the verdicts mean."""

READING = """\
A paper's statement often takes several measurements. Each of them is a row of its own, and the
column *of* says which statement it belongs to (C1 is the paper's first claim). What a paper states
and no experiment of this book decides yet stands here once, as *not run*. The page {doc}`papers`
lists the statements paper by paper, with the numbers that were published.

The effect stands with its 95 % interval over items and seeds, in the unit after it. Where tasks
were learned in several orders, all orders count alike and the interval is over items and orders. A
column's heading sorts by it. A filtered or sorted view has an address of its own, so it can be
bookmarked or sent."""

COLUMNS = (
    "claim",
    "paper",
    "of",
    "chapter",
    "verdict",
    "effect",
    "tier",
    "runs",
    "date",
)


def page(board: Sequence[Verdict], contents: Contents) -> str:
    """The page: how many claims hold, then one row a claim."""
    if not board:
        return page_of("Scoreboard", INTRODUCTION, "No claim has been judged yet.")
    counts = Counter(str(verdict.verdict) for verdict in board)
    tally = table(("verdict", "claims"), [(badge(v), counts[v]) for v in VERDICTS], right="claims")
    run_first = sorted(board, key=lambda verdict: verdict.verdict == "not run")
    rows = [_row(verdict, contents) for verdict in run_first]
    marks = ".sortable .choose-paper .choose-chapter .choose-verdict .choose-tier"
    return page_of(
        "Scoreboard",
        INTRODUCTION,
        tally,
        "## Claim by claim",
        READING,
        table(COLUMNS, rows, marks=marks),
        wide=True,
    )


def _row(verdict: Verdict, contents: Contents) -> tuple[object, ...]:
    return (
        f"[{verdict.statement}]{{#claim-{verdict.id}}}",
        f"{{cite:t}}`{verdict.citation}`" if verdict.citation else verdict.paper,
        verdict.source,
        contents.link(verdict.chapter),
        badge(verdict.verdict),
        NOTHING if verdict.effect is None else f"{interval(verdict)} {verdict.unit}",
        verdict.tier or NOTHING,
        verdict.runs or NOTHING,
        verdict.date or NOTHING,
    )
