"""Controls: a change that belongs to a base with its units in another order."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from forgetting.checking import BadValue
from forgetting.merging.base import Merging, State, Tools, changes, shares, total
from forgetting.merging.draws import generator
from forgetting.method import method

Survey = tuple[dict[str, int | None], int]  # of an MLP's tensors their block; the model's width


@method(title="Vector of a permuted base", see="RandomVector", colour="#777777", marker="d")
@dataclass(frozen=True)
class PermutedVector(Merging):
    """θ₀ + scale · P(v), where v = Σ wᵢδᵢ and P gives each MLP's hidden units another order.

    A base and its models with their hidden units so permuted compute the same functions, and P(v)
    is the change between them: what `TaskArithmetic(weights, scale)` adds, from a base that is
    equal in all it does and not in its coordinates (Ainsworth et al. 2023, arXiv 2209.04836, §2).
    Attention, norms and embeddings keep their order. The orders are of the seed and the block.
    Raises `BadValue` where an MLP's matrix does not tell its hidden side from the model's width.
    """

    seed: int
    scale: float = 1.0
    weights: tuple[float, ...] | None = None

    def survey(self, base: State, models: Sequence[State], tools: Tools | None) -> Survey:
        """Which tensors are an MLP's, in which block, and how wide the model is."""
        part = self.needs(tools).part
        parts = {name: part(name) for name in base}
        width = next(base[name].shape[1] for name, p in parts.items() if p.kind == "embedding")
        return {name: p.block for name, p in parts.items() if p.kind == "mlp"}, width

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Survey
    ) -> torch.Tensor:
        moved = total(shares(self.weights, len(models)), changes(base, models))
        blocks, width = survey
        if name in blocks:
            hidden = [axis for axis, size in enumerate(moved.shape) if size != width]
            if moved.ndim == 2 and len(hidden) != 1:
                shape = " × ".join(map(str, moved.shape))
                raise BadValue(f"{name}: {shape} in a model {width} wide; which side is hidden?")
            for axis in hidden:
                drawn = generator(self.seed, f"block {blocks[name]}")
                order = torch.randperm(moved.shape[axis], generator=drawn)
                moved = moved.index_select(axis, order)
        return base + self.scale * moved
