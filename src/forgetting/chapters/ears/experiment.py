"""A model gets ears: it learns to answer about recordings, and what it was asked before.

Whisper's encoder is put before a text model, behind a connector (`models/listening.py`) that has
learned to say what it hears in the embeddings of words; the text model has learned nothing yet. It
is taught short answers from a template, by the connector or by an adapter on the text model, and is
asked at every epoch what it hears and whether it still writes the JSON that it is asked for. The
adapter is turned down afterwards (SALMONN, 2310.13289); a description in the place of the recording
is what it could answer if it heard all (a cascade).
"""

from dataclasses import replace
from typing import Any

from forgetting import foundation
from forgetting.chapters.common import PLAIN, drift
from forgetting.engine.aligning import Align
from forgetting.evidence.checks import Check
from forgetting.evidence.records import Tier
from forgetting.experiments.arms import Arm, At, made, merged, train
from forgetting.experiments.asks import Ask, Data
from forgetting.experiments.experiment import Budget, Experiment
from forgetting.lineage import Checkpoint
from forgetting.merging import AdapterScale
from forgetting.models.connectors import Statistics
from forgetting.recipes import EMPTY_TURN, Described, FreeText, Rehearsed
from forgetting.tasks import Task
from forgetting.tuning import LoRA, OnlyConnector

ADAPTER = LoRA(rank=8, alpha=32, dropout=0)
BOTH = LoRA(rank=8, alpha=32, dropout=0, whole=("connector",))
SCALES = (0.75, 0.5, 0.25)
SHORT: dict[str, Any] = {"style": "sft", "length": 160, "batch": 8}


def with_ears(base: Checkpoint, tier: Tier, data: Data) -> Checkpoint:
    """The text model with Whisper's encoder before it, and a connector that was aligned."""
    if tier == "smoke":
        return aligned(base, foundation("tiny-whisper"), 100, epochs=1)
    return aligned(base, foundation("whisper-base"), 18)


def aligned(
    text: Checkpoint, ear: Checkpoint, places: int, epochs: int = Align.epochs
) -> Checkpoint:
    """A text model with ears whose connector says what it hears in `places` words' embeddings."""
    untaught = text.graft(ear, Statistics(tokens=places))
    return Checkpoint(Align(untaught, Task("listening_described"), epochs=epochs))


template = train(ADAPTER, settings=PLAIN, card="LoRA")
slow = replace(template, rate=0.2, curve="template targets")


def with_text(base: Checkpoint, task: Task) -> Rehearsed:
    """For three questions about recordings a conversation that the text model wrote by itself."""
    return Rehearsed(task, (FreeText(text_of(base), EMPTY_TURN),), 1 / 3)


def own_words(base: Checkpoint, task: Task) -> Described:
    """What the text model answers where it reads the description."""
    return Described(task, text_of(base), by=Task("listening_read"))


def text_of(ears: Checkpoint) -> Checkpoint:
    """The text model before it got ears."""
    return ears.origin.parents[0]


def turned_down(scale: float) -> Any:
    """The adapter added in part."""
    return merged(template, how=AdapterScale(scale), card="AdapterScale")


def unaligned(at: At) -> Checkpoint:
    """The same adapter and the connector, from one that has learned nothing."""
    return both.taught(at.base.origin, at, at.given() | PLAIN | {"seed": at.seed})


both = train(BOTH, settings=PLAIN, card="LoRA")
arms: dict[str, Arm] = {
    "template targets": template,
    "connector alone": train(OnlyConnector(), settings=PLAIN, card="OnlyConnector"),
    **{f"scale {scale:g}": turned_down(scale) for scale in SCALES},
    "template targets ÷5": slow,
    "own words": replace(template, shown=own_words, card="Described"),
    "with text": replace(template, shown=with_text, card="FreeText"),
    "adapter and connector": both,
    "adapter and connector, never aligned": made(unaligned, card="LoRA"),
}
lesson = ("connector alone", "template targets", "scale 0.5")
laptop = tuple(name for name in arms if not name.startswith("adapter and connector"))

experiment = Experiment(
    name="ears",
    teaches=Ask("about recordings", "listening", items=150, everywhere=True),
    start=with_ears,
    arms=arms,
    asks=(
        Ask("about recordings", "listening", items=150, everywhere=True),
        Ask("json heard", "listening_json", items=40, everywhere=True, keep=True),
        Ask("json in text", "listening_read_json", items=20, everywhere=True),
        Ask("about new voices", "listening_voices", items=75),
        Ask("about descriptions", "listening_read", items=50),
        drift("chat", "dolly", "chat", 8),
        drift("old text", "wikitext2", "english", 4),
    ),
    budgets={
        "smoke": Budget("tiny", SHORT | {"examples": 8, "length": 512}, lesson, epochs=(1, 2)),
        "classroom": Budget("smollm2-135m", SHORT | {"examples": 80}, lesson, (5e-4,), (1, 2)),
        "laptop": Budget("smollm2-135m", SHORT | {"examples": 160}, laptop, (5e-4,), (1, 3)),
        "full": Budget("smollm2-135m", SHORT | {"examples": 480}, (), (5e-4, 3e-4), (1, 2, 3)),
        "paper": Budget(
            "meta-llama/Meta-Llama-3-8B-Instruct", SHORT | {"examples": 480}, (), (1e-4,), (1, 3)
        ),
    },
    checks={
        "json": Check("Did the text model begin JSON when asked?", "json in text.begun", above=0.5),
        "json heard": Check(
            "Was JSON begun about recordings before?", "json heard.begun", above=0.5
        ),
        "json lost": Check(
            "Did the whole adapter lose JSON?",
            "json heard.begun",
            of="template targets",
            against="start",
            below=0.0,
        ),
        "hears": Check(
            "Was more heard than before anything was taught?",
            "about recordings.heard",
            of="template targets",
            against="start",
            above=0.1,
        ),
    },
)
