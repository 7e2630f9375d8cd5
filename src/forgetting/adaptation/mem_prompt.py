"""MemPrompt: the nearest earlier answers stand in the prompt, with whether they were right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.adaptation.base import Write, recipe_of
from forgetting.adaptation.memory import Memory, Retrieval, checked, nearness, with_feedback
from forgetting.method import method


@method(
    title="The nearest answers in the prompt (MemPrompt)",
    idea="The model remembers all that it answered and which of it was right. Before the next "
    "question it reads what is nearest to it.",
    equation=r"m_t = k \text{ nearest to } x_t \text{ of } \{(x_s, \hat y_s, r_s) : s < t\}",
    cost="A longer prompt for every question, and a search; no gradient.",
    use="Where questions come back; a wrong answer near by may mislead.",
    citations=("wu2024streambench",),
    colour="#E69F00",
    marker="H",
)
@dataclass(frozen=True)
class MemPrompt:
    """The `k` nearest of all questions, answers and verdicts (Wu et al. 2024, arXiv 2406.08747)."""

    kind: ClassVar[str] = "MemPrompt"

    k: int = 8
    retrieval: Retrieval = "tfidf"

    def __post_init__(self) -> None:
        checked(self.kind, self.k, self.retrieval)

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Memory:
        near = nearness(self.retrieval, model, tokenizer)
        return Memory(write, self.k, "all", near, with_feedback)
