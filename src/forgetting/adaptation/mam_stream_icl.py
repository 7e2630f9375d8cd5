"""MAM-StreamICL: several agents take turns at answering, and share one memory of right answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.adaptation.base import Write, recipe_of
from forgetting.adaptation.memory import Memory, Retrieval, checked, nearness
from forgetting.method import method


@method(
    title="Several agents, one memory (MAM-StreamICL)",
    idea="Agents take turns, and what one of them answered rightly all of them read. An agent that "
    "errs otherwise than its fellows finds right answers that they would never have given.",
    equation=r"\hat y_t \sim \pi_{t \bmod K}(\cdot \mid m_t, x_t), \qquad m_t = k \text{ of } "
    r"\{(x_s, \hat y_s) : s < t,\; r_s = 1\}",
    cost="As StreamICL: one agent answers each question.",
    use="Where several models are at hand, and one is often wrong in the same way.",
    citations=("wu2024streambench",),
    colour="#009E73",
    marker="H",
)
@dataclass(frozen=True)
class MAMStreamICL:
    """As StreamICL, question t before agent t mod K (Wu et al. 2024, arXiv 2406.08747, K 3).

    The paper's agents are three models. Here they are one model under several openings, each of
    which stands right before the question: on a machine that holds one model they are what differs.
    """

    kind: ClassVar[str] = "MAMStreamICL"

    k: int = 8
    retrieval: Retrieval = "tfidf"
    openings: tuple[str, ...] = ("", "Read this again, then answer.\n", "What would others say?\n")

    def __post_init__(self) -> None:
        checked(self.kind, self.k, self.retrieval)
        if len(self.openings) < 2:
            raise ValueError(f"openings={self.openings!r}: at least two agents take turns")

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Memory:
        near = nearness(self.retrieval, model, tokenizer)
        agents = self.openings
        return Memory(write, self.k, "right", near, before=lambda told: agents[told % len(agents)])
