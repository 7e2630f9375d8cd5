"""How far the weights moved, and in how many directions: ΔW = W_after - W_before, by matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch

State = Mapping[str, torch.Tensor]


class Change(NamedTuple):
    """How a matrix moved.

    `relative` is ‖ΔW‖_F / ‖W_before‖_F, infinite where a zero matrix moved; `rank` the number of
    singular values of ΔW above rounding, `rank_90` how many of them hold 90 % of the squared energy
    (Biderman et al. 2024, arXiv 2405.09673, ask this of ΔW).
    """

    relative: float
    rank: int
    effective_rank: float
    rank_90: int


def weight_change(before: State, after: State) -> dict[str, Change]:
    """The change of each matrix of `before`, by its name in both. Computed in float64.

    A weight plus an update is rounded when it is stored, so that ΔW is the update and a little
    noise in every direction. Singular values below eps·max(‖W_before‖_F, ‖W_after‖_F)·
    (1/√m + 1/√n), about five times the spectral norm of such noise in an m×n matrix, count as zero
    in the ranks; eps is that of the coarser of the two matrices' types.

    Raises `ValueError` where a weight is not finite.
    """
    return {name: _change(name, matrix, after[name]) for name, matrix in before.items()}


def effective_rank(singular_values: torch.Tensor) -> float:
    """exp(-Σ p_i·log p_i) with p_i = σ_i / Σσ: how many directions there are, unequal ones less.

    Roy & Vetterli 2007. Between 1 and the number of positive σ, all of them when they are equal; 0
    without any.
    """
    total = singular_values.sum()
    return math.exp(float(torch.special.entr(singular_values / total).sum())) if total > 0 else 0.0


def rank_90(singular_values: torch.Tensor) -> int:
    """The least k whose k largest σ have 90 % of Σσ²; 0 without any positive σ."""
    energy = singular_values.sort(descending=True).values.square().cumsum(dim=0)
    if not len(energy) or energy[-1] == 0:
        return 0
    share = 0.9 * energy[-1] * (1 - 1e-12)  # nine of ten equal ones hold 90 %
    return int((energy < share).sum()) + 1


def _change(name: str, before: torch.Tensor, after: torch.Tensor) -> Change:
    for side, matrix in (("before", before), ("after", after)):
        if not matrix.isfinite().all():
            raise ValueError(f"{name}: {side} holds nan or inf; the training diverged, repeat it")
    old, new = before.double(), after.double()
    norm, moved = float(old.norm()), float((new - old).norm())
    values = torch.linalg.svdvals(new - old)
    eps = max(torch.finfo(matrix.dtype).eps for matrix in (before, after))
    m, n = before.shape
    noise = eps * max(norm, float(new.norm())) * (1 / math.sqrt(m) + 1 / math.sqrt(n))
    above = values[values > noise]
    relative = moved / norm if norm else math.inf if moved else 0.0
    return Change(relative, len(above), effective_rank(above), rank_90(above))
