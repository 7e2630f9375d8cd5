"""Self-StreamICL: what was answered rightly stands in the prompt of what follows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar

from forgetting.adaptation.base import Write


@dataclass(frozen=True)
class StreamICL:
    """The last `k` questions with right answers stand before each question.

    Wu et al. 2024 (StreamBench, arXiv 2406.08747), who also show that wrong answers in the memory
    make it worse. Nothing moves in the weights, so nothing is forgotten by them.
    """

    kind: ClassVar[str] = "StreamICL"

    k: int = 4

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k={self.k}: StreamICL remembers at least 1 answer")

    def recipe(self) -> dict[str, Any]:
        return {"kind": self.kind, "k": self.k}

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Memory:
        return Memory(write, deque(maxlen=self.k))


@dataclass
class Memory:
    """A stream's right answers so far, the last `k` of them."""

    write: Write
    shown: deque[tuple[str, str]] = field(default_factory=deque)

    def answer(self, prompt: str) -> str:
        before = [f"{question} {answer}" for question, answer in self.shown]
        return self.write("\n\n".join([*before, prompt]))

    def learn(self, prompt: str, answer: str, right: bool) -> None:
        if right:
            self.shown.append((prompt, answer))
