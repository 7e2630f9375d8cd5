"""Learning while being asked: a memory in the prompt, or steps of gradient, and what either costs.

A stream asks one question after another, and after each answer says in one bit whether it was right
(Wu et al. 2024). Two streams are asked: kinds of articles, which a model partly knows, and a
private code book, which the stream alone can teach. A seed is an order. After the stream the rest
of the panel is asked of the weights that it left; where nothing but a memory grew, those are the
start's, and so are the scores.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from forgetting.adaptation import (
    FewShot,
    GrowPrompt,
    MAMStreamICL,
    MemPrompt,
    StreamICL,
    StreamReinforce,
    StreamTuning,
    system,
)
from forgetting.adaptation.base import Adaptation
from forgetting.chapters.common import FORMATS, LINEAR, LLAMA, drift
from forgetting.evidence.checks import Check
from forgetting.evidence.records import Tier
from forgetting.experiments.arms import At, Made, made
from forgetting.experiments.asks import Ask, scaled
from forgetting.experiments.experiment import Budget, Experiment
from forgetting.probes.streams import Stream
from forgetting.tasks import Task
from forgetting.tuning import LoRA

ITEMS, BLOCK, SHOTS = 64, 8, 8
LONGEST = 384  # questions of a stream at any tier
STREAMS = ("topics", "codes")
TOPICS = Ask("topics", "dbpedia_kinds", "mini_sentiment")
CODES = "codes"  # a task written for the book
REORDERED = 1000  # added to a seed: another order of the same items
ADAPTER = LoRA(rank=8, alpha=16, dropout=0, modules=LINEAR)


def in_blocks(task: Task) -> Stream:
    """A task's questions as a stream whose answers are the likeliest of all that it has."""
    return Stream(Task(task.name, min(task.items or LONGEST, LONGEST)), block=BLOCK, closed=True)


def asked(at: At) -> Task:
    """The task that a place's stream asks."""
    name = CODES if at.axes["stream"] == CODES else at.task.name
    return Task(name, at.settings["examples"])


def on_stream(how: Callable[[At], Adaptation], card: str, order: int = 0, **more: Any) -> Made:
    """A System as its stream leaves it; the seed, and `order`, draw the order."""

    def left(at: At) -> Any:
        stream = Stream(asked(at), at.seed + order, BLOCK, closed=True)
        return system(at.base, how(at), stream)

    return made(left, card=card, **more)


def icl(**options: Any) -> Callable[[At], Adaptation]:
    """StreamICL with the nearest questions, unless it is said otherwise."""
    return lambda at: StreamICL(**{"k": SHOTS, "retrieval": "tfidf", **options})


def tuned(replay: int = 0) -> Callable[[At], Adaptation]:
    """Steps of gradient on right answers, with some earlier ones beside each."""
    return lambda at: StreamTuning(ADAPTER, at.rate, replay, at.seed)


arms = {
    "few-shot": on_stream(lambda at: FewShot(Task(asked(at).name), SHOTS), "FewShot"),
    "GrowPrompt 8": on_stream(lambda at: GrowPrompt(SHOTS), "GrowPrompt"),
    "MemPrompt 8": on_stream(lambda at: MemPrompt(SHOTS), "MemPrompt"),
    "StreamICL 8": on_stream(icl(), "StreamICL"),
    "StreamICL 8, all": on_stream(icl(keep="all"), "StreamICL"),
    "StreamICL 8, wrong": on_stream(icl(keep="wrong"), "StreamICL"),
    "MAM-StreamICL 8": on_stream(lambda at: MAMStreamICL(SHOTS), "MAMStreamICL"),
    "LoRA": on_stream(tuned(), "StreamTuning"),
    "LoRA ÷3": on_stream(tuned(), "StreamTuning", rate=0.3, curve="LoRA"),
    "LoRA, replay": on_stream(tuned(3), "StreamTuning"),
    "REINFORCE": on_stream(
        lambda at: StreamReinforce(ADAPTER, at.rate, at.seed), "StreamReinforce"
    ),
    "StreamICL 8, other order": on_stream(icl(), "StreamICL", REORDERED),
    "StreamICL 8, last": on_stream(icl(retrieval="last"), "StreamICL"),
    "StreamICL 8, hidden states": on_stream(icl(retrieval="hidden"), "StreamICL"),
    "StreamICL 4": on_stream(icl(k=4), "StreamICL"),
    "StreamICL 16": on_stream(icl(k=16), "StreamICL"),
}
laptop = tuple(arms)[:11]
lesson = ("few-shot", "StreamICL 8", "StreamICL 8, wrong", "LoRA")


def spends(tier: Tier, model: str, names: tuple[str, ...], *rates: float) -> Budget:
    """A tier whose streams are as long as what it asks."""
    return Budget(
        model, {"style": "sft", "examples": min(scaled(ITEMS, tier), LONGEST)}, names, rates
    )


experiment = Experiment(
    name="streams",
    teaches=TOPICS,
    arms=arms,
    axes={"stream": STREAMS},
    asks=(
        replace(TOPICS, items=ITEMS, everywhere=True, keep=True, how=in_blocks),
        Ask("codes", CODES, "", ITEMS, everywhere=True, keep=True, how=in_blocks),
        drift("old text", "wikitext2", "english", 6),
        drift("old answers", "dolly", "chat", 8),
        Ask("formats", "formats", items=12),
    ),
    budgets={
        "smoke": spends("smoke", "tiny", (*lesson, "REINFORCE"), 1e-3),
        "classroom": spends("classroom", "smollm2-135m", lesson, 1e-3),
        "laptop": spends("laptop", "smollm2-135m", laptop, 1e-3),
        "full": spends("full", "smollm2-135m", (), 1e-3, 3e-4),
        "paper": spends("paper", f"{LLAMA}-chat-hf", (), 1e-4),
    },
    checks={
        "kinds known": Check(
            "Were kinds named more often than by guessing?", "topics.em", above=1 / 14
        ),
        "kinds to learn": Check("Was there anything to learn?", "topics.wrong", above=0.1),
        "codes unknown": Check("Was the code book unknown?", "codes.em", below=0.65),
        "remembered": Check(
            "Did remembered answers stand before kinds?", "topics.shots", of="left", above=2
        ),
        "remembered codes": Check(
            "Did remembered answers stand before codes?", "codes.shots", of="left", above=2
        ),
        "form": FORMATS,
        "text lost": Check(
            "Did steps without replay make old text less likely?",
            "old text.nats",
            of="right",
            against="start",
            above=0.0,
        ),
        "stepped": Check(
            "Did the stream move the weights?", "old text.forward_kl", of="left", above=1e-4
        ),
        "learned": Check(
            "Did the left side learn on its stream?",
            "topics.wrong",
            of="left",
            against="start",
            below=0.0,
        ),
        "steps learned": Check(
            "Did steps in the weights learn on their stream?",
            "topics.wrong",
            of="right",
            against="start",
            below=0.0,
        ),
    },
)
