"""Panels and budgets: what a chapter asks of every checkpoint, and how much a tier may spend."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from forgetting.records import Tier
from forgetting.tasks import Task

Source = Literal["auto", "public", "bundled"]


class Row(NamedTuple):
    """A panel's row: what it stands for, its public task, its stand-in, items at `laptop`.

    A task without a public form is written for the book and stands in both columns. `sweep` rows
    are likelihoods and choices: all that is asked at the rates beside the central one.
    """

    role: str
    public: str
    bundled: str
    items: int
    sweep: bool = False


PANEL = (
    Row("chinese", "zh_articles", "zh_everyday", 16, sweep=True),
    Row("english", "wikitext2", "english", 12, sweep=True),
    Row("chat", "dolly", "chat", 24, sweep=True),
    Row("hellaswag", "hellaswag_pinned", "hellaswag_standin", 24),
    Row("arc", "arc_easy_pinned", "arc_easy_standin", 48, sweep=True),
    Row("winogrande", "winogrande_pinned", "winogrande_standin", 48, sweep=True),
    Row("formats", "formats", "formats", 48),
    Row("harmful", "advbench", "harmful_en", 8),
    Row("harmless", "xstest_safe", "harmless_en", 8),
    Row("harmful in chinese", "harmful_zh", "harmful_zh", 8),
    Row("margin harmful", "refusal_margin_advbench", "refusal_margin_harmful_en", 12, sweep=True),
    Row("margin harmless", "refusal_margin_xstest", "refusal_margin_harmless_en", 12),
    Row("margin in chinese", "refusal_margin_harmful_zh", "refusal_margin_harmful_zh", 12),
    Row("questions", "prompts_en", "prompts_en", 6),
    Row("questions in chinese", "prompts_zh", "prompts_zh", 6),
)
# Everything that may be lost: all the knowledge, commonsense, reading, form and manners that a book
# without a target of its own can ask for. No answer is longer than 64 tokens; IFEval's are.
RETENTION: dict[Literal["public", "bundled"], dict[str, int]] = {
    "public": {
        "hellaswag_pinned": 100,
        "arc_easy_pinned": 160,
        "arc_challenge_pinned": 160,
        "openbookqa_pinned": 160,
        "piqa_pinned": 120,
        "winogrande_pinned": 160,
        "boolq_pinned": 40,
        "truthfulqa_mc1_pinned": 40,
        "knowledge_zh": 68,
        "lambada_pinned": 100,
        "wikitext2": 32,
        "dolly": 48,
        "formats": 48,
        "formats_zh": 40,
        "advbench": 30,
        "xstest_safe": 30,
        "harmful_zh": 30,
        "harmless_zh": 30,
        "refusal_margin_advbench": 48,
        "refusal_margin_xstest": 48,
        "refusal_margin_harmful_zh": 30,
        "prompts_en": 16,
        "prompts_zh": 16,
    },
    "bundled": {
        "hellaswag_standin": 80,
        "arc_easy_standin": 80,
        "winogrande_standin": 80,
        "facts_en": 432,
        "facts_zh": 432,
        "knowledge_zh": 68,
        "english": 44,
        "chat": 60,
        "formats": 48,
        "formats_zh": 40,
        "harmful_en": 30,
        "harmless_en": 30,
        "harmful_zh": 30,
        "harmless_zh": 30,
        "refusal_margin_harmful_en": 30,
        "refusal_margin_harmless_en": 30,
        "refusal_margin_harmful_zh": 30,
        "prompts_en": 16,
        "prompts_zh": 16,
    },
}
QUESTIONS = ("prompts_en", "prompts_zh")

# The smoke tier asks a few items of everything; `full` asks several times the laptop's.
SCALE: dict[Tier, float] = {"smoke": 0, "classroom": 1, "laptop": 1, "full": 8, "paper": 40}


class Budget(NamedTuple):
    """A tier's model, training amount a run, and rows (empty: all) where nothing else is said."""

    model: str
    settings: dict[str, Any]
    rows: tuple[str, ...] = ()


LAPTOP = {"tokens": 5120, "length": 256, "batch": 1}
BUDGETS: dict[Tier, Budget] = {
    "smoke": Budget("tiny", {"tokens": 256, "length": 64, "batch": 1}),
    "classroom": Budget("smollm2-135m", LAPTOP, ("full", "freeze first third", "LoRA ×10")),
    "laptop": Budget("smollm2-135m", LAPTOP),
    "full": Budget("smollm2-135m", {"tokens": 262_144, "length": 512, "batch": 8}),
    "paper": Budget(
        "meta-llama/Llama-2-7b-chat-hf", {"tokens": 10**9, "length": 4096, "batch": 64}
    ),
}


def chinese(source: Source) -> Task:
    """The Traditional Chinese task that is taught, without a limit on its items."""
    return Task(by_role(source)["chinese"])


def forgetting_panel(tier: Tier, source: Source) -> list[Task]:
    """Held-out Chinese and everything that may be lost, with the tier's number of items."""
    chosen = by_role(source)
    return [Task(chosen[row.role], _items(row.items, tier)) for row in PANEL]


def sweep_panel(tier: Tier, source: Source) -> list[Task]:
    """The part of `forgetting_panel` that generates nothing: for the rates beside the central."""
    tasks = forgetting_panel(tier, source)
    return [task for task, row in zip(tasks, PANEL, strict=True) if row.sweep]


def retention_panel(source: Source) -> list[Task]:
    """Everything that may be lost, at least 1,500 items: choices, likelihoods, short answers.

    It is read within six minutes by two cores, so what has long passages stands in it with fewer
    items (BoolQ, TruthfulQA) or not at all (DRCD, IFEval).

    `auto` is public data where all that this panel reads is at hand. The Chinese text that other
    panels teach is not in it.
    """
    if source == "auto" and not os.environ.get("FORGETTING_RENDER"):
        incomplete = any(Task(name).missing() for name in RETENTION["public"])
        source = "bundled" if incomplete else "public"
    return [Task(name, items) for name, items in RETENTION[resolve(source)].items()]


def by_role(source: Source) -> dict[str, str]:
    """Task names by what they stand for: "chat", "english", "formats", …"""
    public = resolve(source) == "public"
    return {row.role: row.public if public else row.bundled for row in PANEL}


def measure_name(measure: str, measured: Collection[str]) -> str:
    """ "chat.nats" as "dolly.nats" or "chat.nats": the role's task among the `measured` ones.

    Raises `KeyError` where neither the public task nor its stand-in was measured.
    """
    role, _, metric = measure.rpartition(".")
    row = next((row for row in PANEL if row.role == role), None)
    if row is None:
        raise KeyError(
            f"role={role!r}: not in the panel; known: {', '.join(r.role for r in PANEL)}"
        )
    task = next((t for t in (row.public, row.bundled) if t in measured), None)
    if task is None:
        raise KeyError(f"{role}: measured neither with {row.public} nor with {row.bundled}")
    return f"{task}.{metric}"


def resolve(source: Source) -> Literal["public", "bundled"]:
    """`auto` is public data where all of it is at hand (mirror or cache), else the stand-ins.

    While a book is rendered it is public: published records are.
    """
    if source != "auto":
        return source
    if os.environ.get("FORGETTING_RENDER"):
        return "public"
    return "bundled" if any(Task(row.public).missing() for row in PANEL) else "public"


def _items(laptop: int, tier: Tier) -> int:
    return max(2, round(laptop * SCALE[tier]))
