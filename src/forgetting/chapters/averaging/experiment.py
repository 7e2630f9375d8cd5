"""The patient before and after, averaged: an aligned model, fine-tuned, and the way back.

An aligned start (`common.aligned`) learns to label reviews, as in the first chapter. Its weights
before and after are averaged (Farn et al. 2025), beside what else keeps old manners: fewer steps, a
lower rate, a few old rows, an adapter. A share λ of the way is kept; 0 is the start, 1 the end.

The rows taught were chosen by one seed: thirty-two instructions of Alpaca were learned by heart in
three epochs, so that held-out answers became less likely and nothing could be compared.
"""

from forgetting.chapters.common import (
    JSON,
    LABELS,
    LINEAR,
    LLAMA,
    PLAIN,
    aligned,
    alignment_checks,
    drift,
    kept_of_alignment,
)
from forgetting.evidence.checks import Check
from forgetting.experiments.arms import merged, train
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Loss, Plane
from forgetting.lineage import Checkpoint
from forgetting.merging import DARE, TIES, RandomVector, Slerp, Soup
from forgetting.probes.openings import Openings
from forgetting.recipes import Rehearsed
from forgetting.tasks import Task
from forgetting.tuning import AttentionDropout, LoRA

LABEL = Ask("label", "sst_chat", "mini_sentiment_chat", 24)
PAPER = LABELS | {"examples": 6920, "batch": 64}
SHARES = (0.25, 0.5, 0.75)
HALF, DROPPED, TRIMMED = 0.5, 0.1, 0.2


def rehearsing(of: Checkpoint, task: Task) -> Rehearsed:
    """New rows, and a tenth as many that the start has been aligned on, half of them refusals."""
    return Rehearsed(task, kept_of_alignment("public" if task.public else "bundled"), 0.1)


tuned = train(settings=PLAIN, card="Full")
slow = train(rate=0.3, settings=PLAIN, curve="tuned", card="Full")
lesson = ("tuned", "λ 0.5", "random change")
laptop = ("tuned", "tuned ÷3", *(f"λ {share:g}" for share in SHARES), "SLERP", "DARE 90 %")
laptop += ("TIES 20 %", "random change", "replay")

experiment = Experiment(
    name="averaging",
    teaches=LABEL,
    start=aligned,
    arms={
        "tuned": tuned,
        "tuned ÷3": slow,
        **{f"λ {share:g}": merged(tuned, how=share, card="weighted_sum") for share in SHARES},
        "SLERP": merged(tuned, how=Slerp(HALF), card="Slerp"),
        "DARE 90 %": merged(tuned, how=lambda seed: DARE(DROPPED, seed, scale=HALF), card="DARE"),
        "TIES 20 %": merged(tuned, how=TIES(TRIMMED), card="TIES"),
        "soup": merged(tuned, slow, how=Soup(), card="Soup"),
        "random change": merged(tuned, how=RandomVector, card="RandomVector"),
        "replay": train(settings=PLAIN, shown=rehearsing, card="Rehearsed"),
        "LoRA": train(LoRA(rank=16, alpha=32, dropout=0, modules=LINEAR), rate=3, settings=PLAIN),
        "dropout": train(AttentionDropout(), settings=PLAIN),
        "weight decay": train(settings={"weight_decay": 0.1}, card="weight_decay"),
    },
    asks=(
        LABEL,
        drift("new answers", "sst_chat", "mini_sentiment_chat", 48, length=160),
        drift("safe answers", "safety_tuning", "refusals_en", 32, length=160),
        drift("old text", "wikitext2", "english", 6),
        Ask("openings unsafe", "xstest_unsafe", "harmful_en", 20, everywhere=True, how=Openings),
        Ask("openings safe", "xstest_safe", "harmless_en", 20, everywhere=True, how=Openings),
        Ask("unsafe", "xstest_unsafe", "harmful_en", 24),
        Ask("safe", "xstest_safe", "harmless_en", 24),
        Ask("json", "sst_json", "mini_sentiment_json", 24, keep=True),
    ),
    budgets={
        "smoke": Budget("tiny", LABELS | {"examples": 4, "length": 512}, lesson, epochs=(1, 2)),
        "classroom": Budget("smollm2-135m", LABELS | {"examples": 24}, lesson, epochs=(1, 3)),
        "laptop": Budget("smollm2-135m", LABELS | {"examples": 32}, laptop, epochs=(1, 3)),
        "full": Budget("smollm2-135m", LABELS | {"examples": 2048, "batch": 16}, (), epochs=(1, 3)),
        "paper": Budget(f"{LLAMA}-chat-hf", PAPER, (), (1e-4, 1e-5), (1, 3)),
    },
    plane=Plane(
        "new answers.nats",
        "labels of reviews",
        (
            Loss("safe answers.nats", "safe answers", "nats a token", +1),
            Loss("openings unsafe.log_mass", "openings of refusals", "nats a prompt", -1),
        ),
        "tuned",
        "training on",
        "what keeps old manners",
    ),
    checks={
        **alignment_checks("tuned"),
        "JSON": JSON["JSON"],
        "JSON lost": Check(
            "Did fine-tuning take JSON?", "json.json", of="tuned", against="start", below=0.0
        ),
    },
)
