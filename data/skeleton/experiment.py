"""TITLE: what is taught, what is compared, and what is asked of every run."""

from typing import Any

from forgetting.evidence.checks import Check
from forgetting.experiments.arms import train
from forgetting.experiments.asks import Ask
from forgetting.experiments.experiment import Budget, Experiment, Loss, Plane
from forgetting.tuning import LoRA

CHINESE = Ask("chinese", "zh_articles", "zh_everyday", 16, everywhere=True)
TEXTS: dict[str, Any] = {"examples": 20, "length": 256, "batch": 1}
RATES = (1e-4, 3e-5, 3e-4)  # the first is the central one

experiment = Experiment(
    name="NAME",
    teaches=CHINESE,
    arms={
        "full": train(),
        "LoRA": train(LoRA(), rate=10),  # adapters want larger rates
    },
    asks=(
        CHINESE,
        Ask("english", "wikitext2", "english", 12, everywhere=True),
        Ask("formats", "formats", items=24),  # of the central runs alone: it is slow
    ),
    budgets={
        "smoke": Budget("tiny", TEXTS | {"examples": 4, "length": 64}, (), RATES[:1], (1, 2)),
        "classroom": Budget("smollm2-135m", TEXTS, (), RATES[:1], (1,)),
        "laptop": Budget("smollm2-135m", TEXTS, (), RATES, (1,)),
        "full": Budget(
            "smollm2-135m",
            TEXTS | {"examples": 1024, "length": 512, "batch": 8},
            (),
            RATES,
            (1, 2),
        ),
        "paper": Budget(
            "meta-llama/Llama-2-7b-chat-hf",
            TEXTS | {"examples": 250_000, "length": 4096, "batch": 64},
            (),
            RATES[:1],
            (1,),
        ),
    },
    plane=Plane(
        "chinese.nats",
        "Chinese text",
        (Loss("english.nats", "English text", "nats a token", +1),),
        "full",
        "training everything",
        "what may move",
    ),
    checks={
        "learned": Check(
            "Was Chinese learned?", "chinese.nats", of="left", against="start", below=-0.05
        ),
    },
)
