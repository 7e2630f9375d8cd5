"""Panels: which tasks a chapter asks of every checkpoint, and how many items of each."""

from __future__ import annotations

from typing import Literal

from forgetting.records import Tier
from forgetting.tasks import Task

Source = Literal["auto", "public", "bundled"]

# (public task, its bundled stand-in, items at the laptop tier). A task without a public form is
# written for the book and stands in both columns.
RETENTION = (
    ("wikitext2", "english", 12),
    ("dolly", "chat", 24),
    ("hellaswag_pinned", "hellaswag_standin", 24),
    ("arc_easy_pinned", "arc_easy_standin", 48),
    ("winogrande_pinned", "winogrande_standin", 48),
    ("formats", "formats", 48),
    ("advbench", "harmful_en", 8),
    ("xstest_safe", "harmless_en", 8),
    ("harmful_zh", "harmful_zh", 8),
    ("refusal_margin_advbench", "refusal_margin_harmful_en", 12),
    ("refusal_margin_xstest", "refusal_margin_harmless_en", 12),
    ("refusal_margin_harmful_zh", "refusal_margin_harmful_zh", 12),
    ("prompts_en", "prompts_en", 6),
    ("prompts_zh", "prompts_zh", 6),
)
# What a sweep over rates measures: likelihoods and choices, nothing generated.
SWEEP = ("wikitext2", "dolly", "hellaswag_pinned", "arc_easy_pinned", "winogrande_pinned")
CHINESE = ("zh_articles", "zh_everyday", 16)

# The smoke tier asks a few items of everything; `full` asks several times the laptop's.
SCALE: dict[Tier, float] = {"smoke": 0, "classroom": 1, "laptop": 1, "full": 8, "paper": 40}


def chinese(source: Source) -> Task:
    """The Traditional Chinese task that is taught, without a limit on its items."""
    public, bundled, _ = CHINESE
    return Task(public if resolve(source) == "public" else bundled)


def forgetting_panel(tier: Tier, source: Source) -> list[Task]:
    """Held-out Chinese and everything that may be lost, with the tier's number of items."""
    column = 0 if resolve(source) == "public" else 1
    return [Task(row[column], _items(row[2], tier)) for row in (CHINESE, *RETENTION)]


def sweep_panel(tier: Tier, source: Source) -> list[Task]:
    """The part of `forgetting_panel` that generates nothing: for the rates beside the central."""
    kept = {CHINESE[0], *SWEEP}
    column = 0 if resolve(source) == "public" else 1
    rows = [row for row in (CHINESE, *RETENTION) if row[0] in kept]
    return [Task(row[column], _items(row[2], tier)) for row in rows]


def resolve(source: Source) -> Literal["public", "bundled"]:
    """`auto` is public data where all of it is at hand (mirror or cache), else the stand-ins."""
    if source != "auto":
        return source
    at_hand = not any(Task(row[0]).missing() for row in (CHINESE, *RETENTION))
    return "public" if at_hand else "bundled"


def _items(laptop: int, tier: Tier) -> int:
    return max(2, round(laptop * SCALE[tier]))
