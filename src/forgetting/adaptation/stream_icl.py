"""Self-StreamICL: what was answered rightly stands in the prompt of what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.adaptation.base import Write
from forgetting.adaptation.memory import Keep, Memory, Retrieval, checked, nearness
from forgetting.method import method


@method(
    title="Right answers in the prompt (Self-StreamICL)",
    idea="The model remembers the questions that it answered rightly, and reads some of them with "
    "its answers before the next one. Nothing moves in the weights.",
    equation=r"\hat y_t \sim \pi(\cdot \mid m_t, x_t), \qquad m_t = k \text{ of } "
    r"\{(x_s, \hat y_s) : s < t,\; r_s = 1\}",
    cost="A longer prompt for every question; no gradient.",
    use="Where a deployed model is told after each answer whether it was right.",
    citations=("wu2024streambench",),
    colour="#56B4E9",
    marker="H",
)
@dataclass(frozen=True)
class StreamICL:
    """`k` questions with right answers stand before each question: the last, or the nearest ones.

    Wu et al. 2024 (StreamBench, arXiv 2406.08747, k 16, nearest by an embedding), who also show
    that wrong answers in the memory make it worse: `keep` says which are kept. Nothing moves in the
    weights, so nothing is forgotten by them. Raises `ValueError` for k < 1 and for other words.
    """

    kind: ClassVar[str] = "StreamICL"

    k: int = 4
    retrieval: Retrieval = "last"
    keep: Keep = "right"

    def __post_init__(self) -> None:
        checked(self.kind, self.k, self.retrieval, self.keep)

    def recipe(self) -> dict[str, Any]:
        more = {"retrieval": self.retrieval, "keep": self.keep}
        usual = {"retrieval": "last", "keep": "right"}
        return {"kind": self.kind, "k": self.k} | dict(more.items() - usual.items())

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Memory:
        return Memory(write, self.k, self.keep, nearness(self.retrieval, model, tokenizer))
