"""Own words: whose answers are shown, and which of their tokens count, on function calls."""

from forgetting.chapters.common import (
    AFTER_CALLS,
    CALLS,
    DRIFT,
    DRIFTED,
    PAIRS,
    REFUSES,
    TARGETS,
)
from forgetting.chapters.own_words.arms import arms
from forgetting.evidence.checks import Check
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Plane

RATES = (3e-4, 1e-3)
THREE = ("gold", "STM", "random mask")
FIVE = ("gold", "own or gold", "paraphrase", "random mask", "KL on free text")
SIX = ("gold", "gold (same questions)", "own", "paraphrase", "STM", "random mask")
FULL = PAIRS | {"examples": 1024, "length": 512, "batch": 16}
PAPER = PAIRS | {"examples": 374, "length": 4096}
OBEDIENT = Ask(
    "margin obedient",
    "refusal_margin_advbench_obedient",
    "refusal_margin_harmful_zh",
    12,
    everywhere=True,
)

# Six arms of 32 examples in three epochs are some 85,000 tokens a rate: 13 minutes at 110 tokens/s;
# eight answers to a question with three examples before it take two. A random model answers nothing
# right and every word surprises it: at the smoke tier "own" and "STM" have nothing.
experiment = Experiment(
    name="own_words",
    teaches=CALLS,
    arms=arms(shots=3),
    asks=(
        *AFTER_CALLS,
        Ask("truthful", "truthfulqa_mc1_pinned", "arc_easy_standin", 24, everywhere=True),
        OBEDIENT,
    ),
    budgets={
        "smoke": Budget("tiny", PAIRS | {"examples": 4, "length": 1536}, FIVE, RATES, (3,)),
        "classroom": Budget("smollm2-135m", PAIRS | {"examples": 12}, THREE, RATES[:1], (3,)),
        "laptop": Budget("smollm2-135m", PAIRS | {"examples": 32}, SIX, RATES, (3,)),
        "full": Budget("smollm2-135m", FULL, (), (3e-4, 3e-5, 1e-4, 1e-3), (3,)),
        "paper": Budget("google/gemma-2-2b-it", PAPER, (), (2e-5, 2e-4), (3,)),
    },
    plane=Plane(
        "new answers.nats",
        "function calls",
        DRIFT,
        "gold",
        "training on the reference answers",
        "what to show",
    ),
    checks={
        "learned": Check(
            "Were calls learned?", "new answers.nats", of="left", against="start", below=-0.05
        ),
        **TARGETS,
        "drifted": DRIFTED,
        "refuses": REFUSES,
    },
)
