"""Chat vectors: what a model learned as it learned to chat, for one that learned a language."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from forgetting.merging.base import Merging, State, Tools, changes, shares, total
from forgetting.method import method


@method(title="Chat vector", see="weighted_sum", colour="#009E73", marker="<")
@dataclass(frozen=True)
class ChatVector(Merging):
    """θ = θ_new + Σ rⱼ(θ_chat,j - θ₀): Huang et al. 2024 (arXiv 2310.04799).

    θ₀ is the base; the first model is the one that learned something new, each other one is a chat
    model tuned from the base. `weights` are the r, one a chat model, by default 1; the authors take
    .5 each for two. With `skip_embed` embeddings and head stay the first model's. The sum is one
    in θ_new and θ_chat: it does not know which of the two was added. A difference from the wrong
    base, θ_new + (θ_chat - θ_new), is the chat model and nothing else.
    """

    least: ClassVar[int] = 2
    unweighted: ClassVar[int] = 1  # it learned something new, and counts once

    weights: tuple[float, ...] | None = None
    skip_embed: bool = False

    def coefficients(self, count: int) -> tuple[float, tuple[float, ...]] | None:
        ratios = shares(self.weights, count - 1)
        return None if self.skip_embed else (-sum(ratios), (1.0, *ratios))

    def survey(self, base: State, models: Sequence[State], tools: Tools | None) -> set[str]:
        """Names that are left out."""
        if not self.skip_embed:
            return set()
        asked = self.needs(tools)
        return {name for name in base if asked.part(name).kind in ("embedding", "head")}

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        new, *chats = models
        ratios = shares(self.weights, len(chats))
        return new.clone() if name in survey else new + total(ratios, changes(base, chats))
