"""The last cell of a chapter: its claims, each with its interval."""

from __future__ import annotations

from IPython.display import HTML

from forgetting import chapters
from forgetting.chapters import published
from forgetting.evidence import papers
from forgetting.evidence.records import Tier
from forgetting.views.verdicts import rows


def verdicts(chapter: str, tier: Tier) -> HTML:
    """The claims of a chapter as rows, in the order of its `claims.toml`, headline claims first."""
    path = chapters.folders()[chapter] / "claims.toml"
    order = [claim.id for claim in papers.claims_in(path)]
    judged = {verdict.id: verdict for verdict in published.verdicts(chapter, tier)}
    return rows([judged[name] for name in order])
