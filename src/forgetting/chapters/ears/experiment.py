"""A model gets ears: it learns to answer about recordings, and what it was asked before.

Whisper's encoder is put before a text model, behind a connector (`models/listening.py`). It is
taught short answers from a template, with the text model frozen or with an adapter on it, and is
asked at every epoch what it hears and whether it still writes the JSON that it is asked for. The
adapter is turned down afterwards (SALMONN, 2310.13289); a description in the place of the recording
is what it could answer if it heard all (a cascade).
"""

from typing import Any

from forgetting import foundation
from forgetting.chapters.common import PLAIN, drift
from forgetting.evidence.checks import Check
from forgetting.evidence.records import Tier
from forgetting.experiments.arms import At, made, merged, train
from forgetting.experiments.asks import Ask, Data
from forgetting.experiments.experiment import Budget, Experiment, Loss, Plane
from forgetting.lineage import Checkpoint
from forgetting.merging import AdapterScale
from forgetting.models.connectors import Convolution, QFormer, Statistics
from forgetting.tuning import LoRA, OnlyConnector

BOTH = LoRA(rank=8, alpha=32, dropout=0, whole=("connector",))
SCALES = (0.75, 0.5, 0.25, 0.0)
SHORT: dict[str, Any] = {"style": "sft", "length": 160, "batch": 8}


def with_ears(base: Checkpoint, tier: Tier, data: Data) -> Checkpoint:
    """The text model with Whisper's encoder before it, and a connector that has learned nothing."""
    ear = "tiny-whisper" if tier == "smoke" else "whisper-base"
    return base.graft(foundation(ear), Statistics())


template = train(BOTH, settings=PLAIN, card="LoRA")


def turned_down(scale: float) -> Any:
    """The adapter added in part; the connector stays as it was trained."""
    return merged(template, how=AdapterScale(scale, "connector"), card="AdapterScale")


def behind(connector: Any) -> Any:
    """The same behind another connector."""

    def arm(at: At) -> Checkpoint:
        text, ear = at.base.parents
        return template.taught(
            text.graft(ear, connector), at, at.given() | PLAIN | {"seed": at.seed}
        )

    return made(arm, card="LoRA")


lesson = ("adapter only", "template", "scale 0.5")

experiment = Experiment(
    name="ears",
    teaches=Ask("heard", "listening", items=500, everywhere=True),
    start=with_ears,
    arms={
        "adapter only": train(OnlyConnector(), settings=PLAIN, card="OnlyConnector"),
        "template": template,
        **{f"scale {scale:g}": turned_down(scale) for scale in SCALES},
        "Q-former": behind(QFormer()),
        "convolution": behind(Convolution()),
    },
    asks=(
        Ask("heard", "listening", items=500, everywhere=True),
        Ask("heard, new voices", "listening_voices", items=250),
        Ask("json", "listening_json", items=48, everywhere=True),
        Ask("json, read", "listening_read_json", items=24, everywhere=True),
        Ask("capitals", "listening_upper", items=24),
        Ask("read", "listening_read", items=100),
        drift("chat", "dolly", "chat", 20),
        drift("old text", "wikitext2", "english", 6),
    ),
    budgets={
        "smoke": Budget("tiny", SHORT | {"examples": 8, "length": 512}, lesson, epochs=(1, 2)),
        "classroom": Budget("smollm2-135m", SHORT | {"examples": 120}, lesson, (5e-4,), (1, 2)),
        "laptop": Budget(
            "smollm2-135m",
            SHORT | {"examples": 240},
            ("adapter only", "template", *(f"scale {scale:g}" for scale in SCALES)),
            (5e-4, 3e-4, 1e-4),
            (1, 2, 3),
        ),
        "full": Budget("smollm2-135m", SHORT | {"examples": 480}, (), (5e-4, 3e-4, 1e-4), (1, 3)),
    },
    plane=Plane(
        "heard.heard",
        "answers about recordings",
        (
            Loss("json.followed", "JSON when asked", "share", -1),
            Loss("chat.nats", "chat", "nats a token", +1),
        ),
        "template",
        "training on a template",
        "what moves, and how far the adapter is turned up",
    ),
    checks={
        "json": Check(
            "Did the text model write JSON when asked?", "json, read.followed", above=0.5
        ),
        "read": Check("Did it answer from descriptions?", "read.heard", above=0.5),
    },
)
