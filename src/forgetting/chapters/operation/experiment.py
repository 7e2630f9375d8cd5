"""The operation succeeded, the patient died: three styles of post-training on one skill.

Pre-train style reads question and answer as one text, SFT style learns the answer alone, RL style
learns from its own answers, four a question and round, and whether they are right. Everything is
free to move.
"""

from forgetting.chapters.common import (
    AFTER_LABELS,
    DRIFT,
    FORMATS,
    HELLASWAG,
    JSON,
    LABELS,
    PLAIN,
    above_chance,
    drift,
)
from forgetting.evidence.checks import Check
from forgetting.experiments.arms import train
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Plane
from forgetting.objectives import PolicyGradient
from forgetting.recipes import Rollouts, WholeText

LABEL = Ask("label", "sst_chat", "mini_sentiment_chat", 48, keep=True)
RATES = (1e-4, 3e-5)
TWO = ("pre-train style", "SFT style")
FULL = LABELS | {"examples": 2048, "batch": 16}
PAPER = LABELS | {"examples": 6920, "batch": 64}

experiment = Experiment(
    name="operation",
    teaches=LABEL,
    arms={
        "pre-train style": train(
            settings=PLAIN, shown=lambda of, task: WholeText(task), card="WholeText"
        ),
        "SFT style": train(settings=PLAIN, card="Gold"),
        "RL style": train(
            settings=PLAIN,
            shown=lambda of, task: Rollouts(task, of, count=4, max_new_tokens=12),
            objective=PolicyGradient(),
            rounds="refreshed",
        ),
    },
    asks=(
        LABEL,
        drift("new answers", "sst_chat", "mini_sentiment_chat", 48),
        Ask("json", "sst_json", "mini_sentiment_json", 24, keep=True),
        drift("json answers", "sst_json", "mini_sentiment_json", 24, length=384),
        *AFTER_LABELS,
    ),
    budgets={
        "smoke": Budget("tiny", LABELS | {"examples": 4, "length": 512}, TWO, RATES[:1], (2,)),
        "classroom": Budget("smollm2-135m", LABELS | {"examples": 24}, TWO, RATES[:1], (3,)),
        "laptop": Budget("smollm2-135m", LABELS | {"examples": 32}, (), RATES, (3,)),
        "full": Budget("smollm2-135m", FULL, (), (*RATES, 1e-5, 3e-4), (3,)),
        "paper": Budget("meta-llama/Llama-3.1-8B-Instruct", PAPER, (), (1e-5, 1e-6, 5e-6), (2,)),
    },
    plane=Plane(
        "new answers.nats", "labels of reviews", DRIFT, "SFT style", "SFT style", "the style"
    ),
    checks={
        "learned": Check("Were labels learned?", "label.em", of="left", against="start", above=0.0),
        "slow learned": Check(
            "Were labels likelier?", "new answers.nats", of="left", against="start", below=0.0
        ),
        **JSON,
        "drifted": Check(
            "Did fine-tuning drift at all?", "old answers.forward_kl", of="right", above=0.005
        ),
        "formats": FORMATS,
        "HellaSwag": HELLASWAG,
        "ARC": above_chance("ARC-easy", "arc.acc_norm", 0.25),
    },
)
