"""LoRA learns less and forgets less: the rows of Biderman et al. (2024) on function calls.

LoRA as theirs: every linear layer, α = 2r. Rates are those of full training times three for LoRA
(theirs: four to ten; with ten, in a pilot, the loss on held-out calls had risen again by the fourth
epoch) and times a hundred for (IA)³, whose few weights are multipliers. Dropout on attention and
weight decay are the paper's other regularisers; arms without it have none.
"""

from forgetting.chapters.common import (
    AFTER_CALLS,
    CALLS,
    DRIFT,
    DRIFTED,
    HELLASWAG,
    LINEAR,
    LLAMA,
    PAIRS,
    PLAIN,
    WINOGRANDE,
    above_chance,
)
from forgetting.evidence.checks import Check
from forgetting.experiments.arms import Training, train
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Plane
from forgetting.probes.measures import Spectrum
from forgetting.tuning import IA3, AttentionDropout, DoRA, LoRA

RATES = (1e-4, 3e-5, 3e-4)
FOUR = ("full", "LoRA r 4", "LoRA r 64", "(IA)³")
SMOKE = PAIRS | {"examples": 4, "length": 1536}
LESSON = PAIRS | {"examples": 10}
FULL = PAIRS | {"examples": 2048, "length": 512, "batch": 16}
PAPER = PAIRS | {"examples": 395_000, "length": 1024, "batch": 768}


def adapter(kind: type[LoRA], rank: int) -> Training:
    """An adapter on every linear layer."""
    tune = kind(rank=rank, alpha=2 * rank, dropout=0, modules=LINEAR)
    return train(tune, rate=3, settings=PLAIN)


# On 2 cores: 75 to 130 s to train a run, 55 s for what is asked everywhere, 105 s for the whole,
# 149 s for the untouched model. Twelve runs, read twice, are 48 minutes; the stored ones were read
# after two epochs as well.
experiment = Experiment(
    name="lora",
    teaches=CALLS,
    arms={
        "full": train(settings=PLAIN),
        "full + weight decay": train(settings={"weight_decay": 0.1}, card="weight_decay"),
        "full + dropout": train(AttentionDropout(), settings=PLAIN),
        **{f"LoRA r {rank}": adapter(LoRA, rank) for rank in (1, 4, 16, 64, 256)},
        "DoRA r 16": adapter(DoRA, 16),
        "(IA)³": train(IA3(), rate=100, settings=PLAIN),
    },
    asks=(*AFTER_CALLS, Ask("spectrum", how=Spectrum)),
    budgets={
        "smoke": Budget("tiny", SMOKE, ("full", "LoRA r 4"), RATES, (1, 2, 4)),
        "classroom": Budget("smollm2-135m", LESSON, ("full", "LoRA r 4"), RATES[:1], (2, 4)),
        "laptop": Budget("smollm2-135m", PAIRS, FOUR, RATES, (1, 4)),
        "full": Budget("smollm2-135m", FULL, (), (*RATES, 1e-5, 1e-3), (1, 2, 4, 8)),
        "paper": Budget(f"{LLAMA}-hf", PAPER, (), RATES, (1, 2, 4, 8, 16)),
    },
    plane=Plane(
        "new answers.nats", "function calls", DRIFT, "full", "training everything", "what may move"
    ),
    checks={
        "learned": Check(
            "Were calls learned?", "new answers.nats", of="left", against="start", below=-0.05
        ),
        "drifted": DRIFTED,
        "refusals lost": Check(
            "Did training everything cost the lead of refusing?",
            "margin harmful.gold_margin",
            of="right",
            against="start",
            below=0.0,
        ),
        "HellaSwag": HELLASWAG,
        "ARC": above_chance("ARC-challenge", "arc challenge.acc", 0.25),
        "WinoGrande": WINOGRANDE,
    },
)
