"""The lectures' questions to a base, a chat model, a model of Chinese, and their sum."""

from __future__ import annotations

from forgetting.chapters import published
from forgetting.chapters.adding.experiment import experiment
from forgetting.evidence import records
from forgetting.views.conversation import Exchange
from forgetting.views.tables import exchanges

ARMS = ("chat", "CP", "CP + 1 τ", "chat, then CP")
ROLES = ("questions in chinese", "questions")


def hero() -> list[Exchange]:
    """What the first seed's models answered. Raises `LookupError` where nothing is stored."""
    stored = published.whole(experiment, published.runs(experiment.name))
    of = {name: records.select(stored, method=name, seed=0)[:1] for name in ARMS}
    runs = {"the base": records.start_of(stored)} | {n: runs[0] for n, runs in of.items() if runs}
    return exchanges(runs, ROLES)
