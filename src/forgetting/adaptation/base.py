"""What a way of adapting must be able to do."""

from collections.abc import Callable
from typing import Any, Protocol

from forgetting.lineage import Adapt, Checkpoint

Write = Callable[[str], str]  # what the model answers to a prompt as it stands


class Listener(Protocol):
    """A System at work on one stream: it answers, is told what was right, and goes on."""

    def answer(self, prompt: str) -> str:
        """The answer to the next question of the stream."""

    def learn(self, prompt: str, answer: str, right: bool) -> None:
        """What became of the last answer: one bit, as a deployed model gets it."""


class Adaptation(Protocol):
    """A way of adapting: a frozen value, a file each in this package."""

    def recipe(self) -> dict[str, Any]:
        """What enters a key: the way's written-down kind, and its parameters."""

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Listener:
        """A listener at the beginning of a stream.

        `model` and `tokenizer` are the checkpoint's, loaded for this stream: a listener may change
        the weights, and nobody reads them after. `write` is what the model answers, greedily.
        """


def system(of: Checkpoint, how: Adaptation) -> Checkpoint:
    """`of`, adapting by `how` while it is asked."""
    return Checkpoint(Adapt(of, how))
