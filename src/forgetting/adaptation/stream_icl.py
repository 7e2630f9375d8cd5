"""Self-StreamICL: what was answered rightly stands in the prompt of what follows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar

from forgetting.adaptation.base import Write
from forgetting.method import method


@method(
    title="Right answers in the prompt (Self-StreamICL)",
    idea="The model remembers the last questions that it answered rightly, and reads them with its "
    "answers before the next one. Nothing moves in the weights.",
    equation=r"\hat y_t \sim \pi(\cdot \mid m_t, x_t), \qquad m_t = \text{the last } k \text{ of } "
    r"\{(x_s, \hat y_s) : s < t,\; r_s = 1\}",
    cost="A longer prompt for every question; no gradient.",
    use="Where a deployed model is told after each answer whether it was right.",
    citations=("wu2024streambench",),
    colour="#56B4E9",
    marker="H",
)
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
