"""Own answers: the first chapter's skill, judged in whatever words."""

from forgetting.chapters.common import (
    AFTER_LABELS,
    DRIFT,
    DRIFTED,
    JSON,
    LABELS,
    TARGETS,
    drift,
)
from forgetting.chapters.own_words.arms import arms
from forgetting.evidence.checks import Check
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Plane

ASKED = Ask("label", "sst_asked", "mini_sentiment_asked", 96, everywhere=True, keep=True)
RATES = (3e-4,)
TWO = ("gold (same questions)", "own")
THREE = ("gold", "own or gold", "paraphrase")
GOLD = ("gold", "gold (same questions)", "gold (length of own)", "gold (length of paraphrase)")
SEVEN = (*GOLD, "own", "own or gold", "paraphrase")
FULL = LABELS | {"examples": 1024, "batch": 16}

# Some forty minutes on 2 cores, nearly half of them the labels repeated to the length of own.
experiment = Experiment(
    name="own_answers",
    teaches=ASKED,
    arms=arms(shots=0),
    asks=(
        ASKED,
        drift("new answers", "sst_asked", "mini_sentiment_asked", 48),
        Ask("json", "sst_json", "mini_sentiment_json", 24),
        Ask("harmful", "advbench", "harmful_en", 8),
        *AFTER_LABELS,
    ),
    budgets={
        "smoke": Budget("tiny", LABELS | {"examples": 4, "length": 512}, THREE, RATES, (3,)),
        "classroom": Budget("smollm2-135m", LABELS | {"examples": 16}, TWO, RATES, (3,)),
        "laptop": Budget("smollm2-135m", LABELS | {"examples": 32}, SEVEN, RATES, (3,)),
        "full": Budget("smollm2-135m", FULL, (), (3e-4, 1e-4, 1e-3), (3,)),
        "paper": Budget("google/gemma-2-2b-it", LABELS | {"examples": 374}, (), (2e-5, 2e-4), (3,)),
    },
    plane=Plane(
        "new answers.nats",
        "bare labels",
        DRIFT,
        "gold",
        "training on the reference answers",
        "whose words to show",
    ),
    checks={
        "learned": Check("Were labels learned?", "label.em", of="left", against="start", above=0.0),
        **TARGETS,
        "drifted": DRIFTED,
        **JSON,
    },
)
