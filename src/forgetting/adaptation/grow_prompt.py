"""GrowPrompt: the last answers stand in the prompt, with whether they were right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.adaptation.base import Write, recipe_of
from forgetting.adaptation.memory import Memory, checked, with_feedback
from forgetting.method import method


@method(
    title="The last answers in the prompt (GrowPrompt)",
    idea="The model reads its last answers before the next question, right ones and wrong ones, "
    "and in words which were which.",
    equation=r"m_t = \{(x_s, \hat y_s, r_s) : t - k \le s < t\}",
    cost="A longer prompt for every question; no gradient.",
    use="As the simplest memory: it asks of the model that it learns from its mistakes in words.",
    citations=("wu2024streambench",),
    colour="#CC79A7",
    marker="H",
)
@dataclass(frozen=True)
class GrowPrompt:
    """The last `k` questions, answers and verdicts (Wu et al. 2024, arXiv 2406.08747: k 16)."""

    kind: ClassVar[str] = "GrowPrompt"

    k: int = 8

    def __post_init__(self) -> None:
        checked(self.kind, self.k)

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Memory:
        return Memory(write, self.k, "all", tell=with_feedback)
