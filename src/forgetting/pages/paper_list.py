"""What the papers state: statement by statement, with published numbers and our verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forgetting.evidence import papers
from forgetting.evidence.claims import Verdict
from forgetting.evidence.papers import Paper, Stated, Table
from forgetting.pages.markup import PageError, badge, claim_link, page_of, table

INTRODUCTION = """\
What each paper states, in our words, and what this book says of it. Where a statement takes several
measurements it has several verdicts, each of which leads to its row on the {doc}`scoreboard`; none
of them alone is the verdict on the paper. Published numbers stand only where they were read, and
each table says where. They measure other models with other instruments: compare directions with
ours, not sizes."""


def page(board: Sequence[Verdict]) -> str:
    """The page. Raises `PageError` where a statement names a claim that does not exist."""
    known = {verdict.id: verdict for verdict in board}
    return page_of(
        "What the papers state",
        INTRODUCTION,
        *(part for paper in papers.papers() for part in _paper(paper, known)),
    )


def _paper(paper: Paper, known: Mapping[str, Verdict]) -> list[str]:
    parts = [
        f"## {paper.short}",
        f"{{cite:t}}`{paper.citation}`: *{paper.title}*. "
        f"[arXiv {paper.id}](https://arxiv.org/abs/{paper.id})",
    ]
    if paper.note:
        parts.append(f"*Note:* {paper.note}")
    if paper.stated:
        rows = [(s.statement, s.source, s.read, _verdicts(s, known)) for s in paper.stated]
        parts.append(table(("states", "where", "published", "here"), rows))
    named = {name for stated in paper.stated for name in stated.judged_by}
    others = [claim for claim in paper.claims if claim.id not in named]
    if others:
        parts.append("Claims of this book beside the paper's own:")
        ours = [(c.statement, c.source, _verdict(c.id, known)) for c in others]
        parts.append(table(("claim", "for", "here"), ours))
    return parts + [_published(t) for t in paper.tables.values()]


def _verdicts(stated: Stated, known: Mapping[str, Verdict]) -> str:
    return " ".join(_verdict(name, known) for name in stated.judged_by or [stated.id])


def _verdict(name: str, known: Mapping[str, Verdict]) -> str:
    if name not in known:
        raise PageError(f"judged_by={name!r}: no claim in data/papers has this id")
    return claim_link(badge(known[name].verdict), name)


def _published(published: Table) -> str:
    heads = ("", *published.columns)
    rows = [(name, *(f"{n:g}" for n in numbers)) for name, numbers in published.rows.items()]
    source = f"{published.source[0].upper()}{published.source[1:]}; {published.unit}."
    return f":::{{dropdown}} {source}\n{table(heads, rows)}\n:::"
