"""What an interval holds: how it is made, and a simulation of how often it is right."""

from __future__ import annotations

from forgetting.evidence.coverage import KINDS, coverage
from forgetting.site.markup import render

DRAWS = 1000


def page() -> str:
    """The page; the simulation is the same each time."""
    held = [(kind.words, coverage(kind, DRAWS)) for kind in KINDS.values()]
    return render("intervals.md.jinja", held=held, draws=DRAWS)
