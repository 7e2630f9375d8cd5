"""What a way of adapting must be able to do."""

from dataclasses import fields
from typing import Any, Protocol

from forgetting.checking import BadValue, instance
from forgetting.lineage import Adapt, Checkpoint
from forgetting.lineage.steps import Played
from forgetting.models.rows import Row


class Write(Protocol):
    """What the model answers to a prompt as it stands, in the form of the stream's task."""

    def __call__(self, prompt: str, draw: float | None = None) -> str:
        """The likeliest answer; with a number `draw` in [0, 1) one drawn by it."""

    def row(self, prompt: str, answer: str) -> Row:
        """A question with an answer to learn, its end included."""

    def choices(self, prompt: str) -> dict[str, Row]:
        """The question with each answer that there is, where they are known; else empty."""


class Listener(Protocol):
    """A System at work on one stream: it answers, is told what was right, and goes on.

    What it is follows from what it was told: a stream that was interrupted is told again, and not
    answered again. `used`, where there is one, says how many remembered answers stood in the last
    prompt.
    """

    def answer(self, prompt: str) -> str:
        """The answer to the next question of the stream."""

    def learn(self, prompt: str, answer: str, right: bool) -> None:
        """What became of the last answer: one bit, as a deployed model gets it."""


class Adaptation(Protocol):
    """A way of adapting: a frozen value, a file each in this package.

    One that moves weights has a `tune`, a tuning that has been applied to the model it begins with.
    """

    def recipe(self) -> dict[str, Any]:
        """What enters a key: the way's written-down kind, and its parameters."""

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Listener:
        """A listener at the beginning of a stream.

        `model` and `tokenizer` are the checkpoint's, loaded for this stream: a listener may change
        the weights, and nobody reads them after. `write` is what the model answers, greedily.
        """


def recipe_of(how: Any) -> dict[str, Any]:
    """The kind and the fields of a way of adapting; what has a recipe is that."""
    values = {each.name: getattr(how, each.name) for each in fields(how)}
    plain = {n: v.recipe() if hasattr(v, "recipe") else v for n, v in values.items()}
    return {"kind": how.kind, **plain}


def require_steps(tune: Any, learning_rate: float) -> None:
    """Raise `BadValue` for no tuning, and for a rate that is no share."""
    instance("tune", tune, "apply", "recipe")
    if not 0 < learning_rate < 1:
        raise BadValue(f"learning_rate={learning_rate}: one between 0 and 1 is needed")


def system(of: Checkpoint, how: Adaptation, stream: Played | None = None) -> Checkpoint:
    """`of`, adapting by `how` while it is asked; with a `stream`, as that one leaves it."""
    return Checkpoint(Adapt(of, how, stream))
