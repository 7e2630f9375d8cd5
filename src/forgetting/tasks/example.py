"""An example: the turns that lead to an answer, and the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant"]
HEARD = "<audio>"  # lm-eval's mark in a text for what is heard there


class Turn(NamedTuple):
    """What one side says. Each `HEARD` in `text` stands for one of `frames`.

    Frames are numbers, (frames, channels): features of a recording, or any measurements.
    """

    role: Role
    text: str
    frames: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Example:
    """Turns, and the answer to the last of them.

    `chat` says whether it is asked in the model's chat template; where not, the texts of the turns
    are read as they are, and `delimiter` stands between them and the answer.
    """

    turns: tuple[Turn, ...]
    answer: str
    chat: bool = True
    delimiter: str = " "

    @classmethod
    def of(cls, question: str, answer: str, **fields: Any) -> Example:
        """One question of a user, and its answer."""
        return cls((Turn("user", question),), answer, **fields)

    @property
    def question(self) -> str:
        """The text of the last turn."""
        return self.turns[-1].text

    def asking(self, question: str) -> Example:
        """The same turns with another text in the last."""
        return replace(self, turns=(*self.turns[:-1], self.turns[-1]._replace(text=question)))

    def answered(self, answer: str) -> Example:
        """The same turns with another answer."""
        return replace(self, answer=answer)
