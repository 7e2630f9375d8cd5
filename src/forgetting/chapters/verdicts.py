"""The last cell of a chapter: its claims, each with its interval."""

from __future__ import annotations

import pandas as pd

from forgetting.chapters import published
from forgetting.evidence.records import Tier
from forgetting.views import figures, tables, theme

ALT = "Effect of each claim with its 95 % interval, in units of the claim's tolerance."


def verdicts(chapter: str, tier: Tier) -> pd.DataFrame:
    """Draw the effects of a chapter's claims with their intervals; the verdicts as a table."""
    judged = published.verdicts(chapter, tier)
    theme.show(figures.claim_intervals(judged), ALT)
    return tables.verdict_table(judged)
