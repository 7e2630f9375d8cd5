"""Freezing: Li & Lee (2024)'s table of what may move while Chinese is learned."""

from __future__ import annotations

from typing import Any

from forgetting.chapters.common import (
    FORMATS,
    HELLASWAG,
    LLAMA,
    QUESTIONS,
    REFUSAL,
    REFUSES,
    WINOGRANDE,
    above_chance,
)
from forgetting.evidence.checks import Check
from forgetting.experiments.arms import Arm, train
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Loss, Plane
from forgetting.lineage import Checkpoint
from forgetting.tuning import (
    IA3,
    FreezeAttention,
    FreezeFirst,
    FreezeLast,
    FreezeMLP,
    LoRA,
    OnlyAttention,
    OnlyMLP,
)

CHINESE = Ask("chinese", "zh_articles", "zh_everyday", 16, everywhere=True)
RAW: dict[str, Any] = {"tokens": 5120, "length": 256, "batch": 1}


def arms(base: Checkpoint) -> dict[str, Arm]:
    """The rows of the paper's table.

    They froze 10 of 32 layers; here it is a third. Their "(3e-4)" rows are those marked ×10.
    """
    third = max(1, base.layers // 3)
    return {
        "full": train(),
        "freeze first third": train(FreezeFirst(third)),
        "freeze last third": train(FreezeLast(third)),
        "freeze attention": train(FreezeAttention()),
        "only attention": train(OnlyAttention()),
        "freeze MLP": train(FreezeMLP()),
        "only MLP": train(OnlyMLP()),
        "LoRA": train(LoRA()),
        "LoRA ×10": train(LoRA(), rate=10, curve="LoRA"),
        "(IA)³": train(IA3()),
        "(IA)³ ×10": train(IA3(), rate=10, curve="(IA)³"),
    }


experiment = Experiment(
    name="freezing",
    teaches=CHINESE,
    arms=arms,
    asks=(
        CHINESE,
        Ask("english", "wikitext2", "english", 12, everywhere=True),
        Ask("chat", "dolly", "chat", 24, everywhere=True),
        Ask("hellaswag", "hellaswag_pinned", "hellaswag_standin", 24),
        Ask("arc", "arc_easy_pinned", "arc_easy_standin", 48, everywhere=True),
        Ask("winogrande", "winogrande_pinned", "winogrande_standin", 48, everywhere=True),
        Ask("formats", "formats", items=48),
        Ask("harmful", "advbench", "harmful_en", 8),
        Ask("harmless", "xstest_safe", "harmless_en", 8),
        Ask("harmful in chinese", "harmful_zh", items=8),
        REFUSAL,
        Ask("margin harmless", "refusal_margin_xstest", "refusal_margin_harmless_en", 12),
        Ask("margin in chinese", "refusal_margin_harmful_zh", items=12),
        *QUESTIONS,
    ),
    budgets={
        "smoke": Budget("tiny", {"tokens": 256, "length": 64, "batch": 1}),
        "classroom": Budget("smollm2-135m", RAW, ("full", "freeze first third", "LoRA ×10")),
        "laptop": Budget("smollm2-135m", RAW),
        "full": Budget("smollm2-135m", {"tokens": 262_144, "length": 512, "batch": 8}),
        "paper": Budget(f"{LLAMA}-chat-hf", {"tokens": 10**9, "length": 4096, "batch": 64}),
    },
    plane=Plane(
        "chinese.nats",
        "Chinese text",
        (
            Loss("chat.nats", "chat answers", "nats a token", +1),
            Loss("margin harmful.gold_margin", "lead of refusing", "nats", -1),
        ),
        "full",
        "training everything",
        "what may move",
    ),
    checks={
        "learned": Check(
            "Was Chinese learned?", "chinese.nats", of="left", against="start", below=-0.05
        ),
        "manners lost": Check(
            "Did training everything cost chat manners that could be kept?",
            "chat.nats",
            of="full",
            against="start",
            above=0.0,
        ),
        "formats": FORMATS,
        "refuses": REFUSES,
        "HellaSwag": HELLASWAG,
        "ARC": above_chance("ARC-easy", "arc.acc", 0.25),
        "WinoGrande": WINOGRANDE,
    },
)
