"""Objectives that hold the weights where old tasks need them: EWC, MAS, GEM.

Each is cross-entropy on the new examples, and something that is done to its gradient before every
optimiser step. They read examples of the old tasks when a training begins (EWC, MAS) or at every
step (GEM); the models that had just learned these are ancestors of the one that is trained.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.optimize import nnls
from torch.nn import functional

from forgetting.lineage import Checkpoint, Drawn, Recipe, Settings
from forgetting.models import causal
from forgetting.objectives import CrossEntropy, Objective, Read, Step, Weights
from forgetting.tasks import Task

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Old:
    """Examples of an old task, and the checkpoint that had just learned it."""

    shown: Task | Recipe
    of: Checkpoint
    examples: int
    length: int
    seed: int = 0

    def recipe(self) -> dict[str, Any]:
        """What they depend on."""
        own = {"of": self.of.key, "examples": self.examples, "length": self.length}
        return {"shown": self.shown.recipe(), **own, "seed": self.seed}

    def rows(self, tokenizer: Any, drawn: Drawn) -> list[causal.Example]:
        """One row an example."""
        settings = Settings(style="sft", examples=self.examples, length=self.length)
        return causal.rows_of(self.shown, tokenizer, settings, self.seed, drawn)


@dataclass(frozen=True)
class Anchored(CrossEntropy):
    """CE + weight/2 · Σ_i Ω_i (θ_i - θ*_i)²: what old tasks need may move little.

    θ* are the weights as the training begins; Ω is the sum over old tasks of each weight's
    `importance`, computed at the weights that had just learned the task. (With an anchor and an Ω
    for each old task it would be the sum of as many parabolas: the authors' EWC. Anchoring the sum
    at the last weights is Huszár's correction, arXiv 1712.03847, and what MAS does.) The recorded
    loss is the cross-entropy alone. Needs a tuning that trains the model's own weights.
    """

    old: tuple[Old, ...]
    weight: float = 1.0
    mean: ClassVar[bool] = False

    def recipe(self) -> dict[str, Any]:
        old = [one.recipe() for one in self.old]
        return {"objective": type(self).__name__, "weight": self.weight, "old": old}

    @abstractmethod
    def importance(self, moving: Tensors, rows: Sequence[causal.Example], read: Read) -> Tensors:
        """Ω of one old task, for each weight that moves."""

    def begin(
        self, model: Any, tokenizer: Any, read: Read, weights: Weights, drawn: Drawn
    ) -> Callable[[], None]:
        moving = _moving(model)
        start = {name: p.detach().clone() for name, p in moving.items()}
        total = {name: torch.zeros_like(p) for name, p in moving.items()}
        model.eval()
        for one in self.old:
            _lay(moving, weights(one.of))
            for name, each in self.importance(moving, one.rows(tokenizer, drawn), read).items():
                total[name] += each
        _lay(moving, start)
        model.train()

        def pull() -> None:
            for name, p in moving.items():
                if p.grad is not None:
                    p.grad.addcmul_(total[name], p.detach() - start[name], value=self.weight)

        return pull


@dataclass(frozen=True)
class EWC(Anchored):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796).

    Ω = 1/N Σ_n (∂ log p(y_n | x_n) / ∂θ)²: the diagonal of the empirical Fisher information, where
    log p is the whole answer's. LAMOL's comparison has weight 1.
    """

    def importance(self, moving: Tensors, rows: Sequence[causal.Example], read: Read) -> Tensors:
        return _mean_gradient(moving, rows, read, AnswerNats(), torch.square)


@dataclass(frozen=True)
class MAS(Anchored):
    """Memory-aware synapses (Aljundi et al. 2018, arXiv 1711.09601).

    Ω = 1/N Σ_n |∂ F_n / ∂θ|, F_n the mean square of the logits at the answer's tokens: it asks how
    much the outputs would change, not the loss, and needs no right answers. (The paper has the sum
    of squares; a mean does not grow with the vocabulary.)
    """

    def importance(self, moving: Tensors, rows: Sequence[causal.Example], read: Read) -> Tensors:
        return _mean_gradient(moving, rows, read, SquaredLogits(), torch.abs)


@dataclass(frozen=True)
class GEM(CrossEntropy):
    """Gradient episodic memory (Lopez-Paz & Ranzato 2017, arXiv 1706.08840).

    At every step the gradient g is replaced by the nearest g̃ that hurts no old task to first order,
    ⟨g̃, g_k⟩ ≥ 0 where g_k is the gradient on the old examples of task k. `margin` strengthens the
    constraint as in the authors' code (the multipliers are at least that; LAMOL: 0.5).
    """

    old: tuple[Old, ...]
    margin: float = 0.5
    mean: ClassVar[bool] = False

    def recipe(self) -> dict[str, Any]:
        old = [one.recipe() for one in self.old]
        return {"objective": type(self).__name__, "margin": self.margin, "old": old}

    def begin(
        self, model: Any, tokenizer: Any, read: Read, weights: Weights, drawn: Drawn
    ) -> Callable[[], None]:
        moving = _moving(model)
        memory = [one.rows(tokenizer, drawn) for one in self.old]

        def turn() -> None:
            now = [p.grad if p.grad is not None else torch.zeros_like(p) for p in moving.values()]
            old = [_gradient(moving, read(rows, CrossEntropy())) for rows in memory]
            inner = _inner([now, *old])
            multipliers = gem_multipliers(inner[1:, 1:], inner[1:, 0], self.margin)
            for factor, gradient in zip(multipliers, old, strict=True):
                for g, g_k in zip(now, gradient, strict=True):
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
    wanted = np.linalg.solve(lower, violations + products @ least)
    return nnls(lower.T, -wanted)[0] + least


@dataclass(frozen=True)
class AnswerNats(Objective):
    """-log p of all supervised tokens together."""

    def loss(self, step: Step) -> torch.Tensor:
        return functional.cross_entropy(step.logits.float(), step.wanted, reduction="sum")


@dataclass(frozen=True)
class SquaredLogits(Objective):
    """The mean square of the logits at supervised tokens."""

    def loss(self, step: Step) -> torch.Tensor:
        return step.logits.float().square().mean()


def _mean_gradient(
    moving: Tensors,
    rows: Sequence[causal.Example],
    read: Read,
    objective: Objective,
    of: Callable[[torch.Tensor], torch.Tensor],
) -> Tensors:
    """The mean over rows of `of` the gradient of each row's objective."""
    total = {name: torch.zeros_like(p) for name, p in moving.items()}
    for row in rows:
        gradient = _gradient(moving, read([row], objective))
        for held, each in zip(total.values(), gradient, strict=True):
            held.add_(of(each), alpha=1 / len(rows))
    return total


def _gradient(moving: Tensors, value: torch.Tensor) -> list[torch.Tensor]:
    found = torch.autograd.grad(value, list(moving.values()), allow_unused=True)
    pairs = zip(found, moving.values(), strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]


def _inner(gradients: Sequence[Sequence[torch.Tensor]]) -> np.ndarray:
    """(count, count) inner products of gradients."""
    count = len(gradients)
    found = np.zeros((count, count))
    for i in range(count):
        for j in range(i, count):
            pairs = zip(gradients[i], gradients[j], strict=True)
            found[i, j] = found[j, i] = sum(
                float((a * b).sum(dtype=torch.float64)) for a, b in pairs
            )
    return found


def _moving(model: Any) -> Tensors:
    """What trains, by name. Raises `ValueError` where an adapter does: old weights lack it."""
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if adapters := [name for name in found if "lora_" in name or "ia3_" in name]:
        raise ValueError(f"tune: {adapters[0]} is an adapter's; EWC, MAS and GEM train the weights")
    return found


@torch.no_grad()
def _lay(moving: Tensors, state: Mapping[str, torch.Tensor]) -> None:
    for name, p in moving.items():
        p.copy_(state[name])
