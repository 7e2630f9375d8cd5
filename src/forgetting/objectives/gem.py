"""Gradient episodic memory (Lopez-Paz & Ranzato 2017, arXiv 1706.08840)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from forgetting.lineage import Drawn
from forgetting.method import method
from forgetting.objectives.base import Read, Weights
from forgetting.objectives.cross_entropy import CrossEntropy
from forgetting.objectives.old import WithOld, gradient, moving_weights


@method(
    title="Gradient episodic memory (GEM)",
    idea="At every step the gradients of some old examples are looked at too. Where the new "
    "gradient would raise an old loss, it is turned by the least that prevents it.",
    equation=r"\min_{\tilde g} \tfrac12 \lVert \tilde g - g \rVert^2 \quad \text{with} \quad "
    r"\langle \tilde g, g_k \rangle \ge 0 \text{ for every earlier } k",
    cost="One more gradient a step for every earlier task, and a small quadratic programme.",
    use="As the classic comparison that uses old examples without learning them.",
    citations=("lopezpaz2017gradient",),
    colour="#8C4A76",
    marker="o",
)
@dataclass(frozen=True)
class GEM(WithOld):
    """Gradient episodic memory (Lopez-Paz & Ranzato 2017, arXiv 1706.08840).

    At every step the gradient g is replaced by the nearest g̃ that hurts no old task to first order,
    ⟨g̃, g_k⟩ ≥ 0 where g_k is the gradient on the old examples of task k. `margin` strengthens the
    constraint as in the authors' code (the multipliers are at least that; LAMOL: 0.5).
    """

    margin: float = 0.5

    def begin(
        self, model: Any, tokenizer: Any, read: Read, weights: Weights, drawn: Drawn
    ) -> Callable[[], None]:
        moving = moving_weights(model)
        memory = [task.rows(tokenizer, drawn) for task in self.old]

        def turn() -> None:
            now = [p.grad if p.grad is not None else torch.zeros_like(p) for p in moving.values()]
            old = [gradient(moving, read(rows, CrossEntropy())) for rows in memory]
            inner = _inner([now, *old])
            multipliers = gem_multipliers(inner[1:, 1:], inner[1:, 0], self.margin)
            for factor, of_task in zip(multipliers, old, strict=True):
                for g, g_k in zip(now, of_task, strict=True):
                    g.add_(g_k, alpha=float(factor))

        return turn


def gem_multipliers(products: np.ndarray, violations: np.ndarray, margin: float) -> np.ndarray:
    """v of g̃ = g + Σ_k v_k g_k: zeros where nothing is hurt, else the dual's solution.

    min_v ½ vᵀ(GGᵀ)v + (Gg)ᵀv subject to v ≥ margin, with `products` GGᵀ (tasks, tasks) and
    `violations` Gg (tasks,), of which a negative one hurts (the paper's equation 11). With
    v = u + margin, GGᵀ = LLᵀ it is the non-negative least squares ‖Lᵀu + L⁻¹(Gg + GGᵀ·margin)‖².
    """
    if not len(violations) or (violations >= 0).all():
        return np.zeros(len(violations))
    size = np.trace(products) / len(products)
    lower = np.linalg.cholesky(products + 1e-8 * size * np.eye(len(products)))
    least = np.full(len(violations), margin)
    right = np.linalg.solve(lower, violations + products @ least)
    return nnls(lower.T, -right)[0] + least


def _inner(gradients: Sequence[Sequence[torch.Tensor]]) -> np.ndarray:
    """(count, count) inner products of gradients."""

    def product(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
        return sum(float((a * b).sum(dtype=torch.float64)) for a, b in zip(one, other, strict=True))

    return np.array([[product(one, other) for other in gradients] for one in gradients])
