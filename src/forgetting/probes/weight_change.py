"""How far the weights moved, and in how many directions: ΔW = W_after - W_before, by module.

A state dict maps parameter names to tensors. Both need the same names and shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

State = Mapping[str, torch.Tensor]


def weight_change(before: State, after: State) -> list[dict[str, Any]]:
    """One row a parameter tensor, in the order of `before`:

    `module`, `shape`; `change` ‖ΔW‖_F, `norm` ‖W_before‖_F and `relative`, their quotient (0 where
    nothing moved, infinite where a zero tensor moved); `spectral`, the largest singular value of
    ΔW. Then, None for vectors: `rank`, the number of singular values above rounding;
    `effective_rank`; `rank_90`, how many singular values hold 90 % of the squared energy (Biderman
    et al. 2024, arXiv 2405.09673, ask this of ΔW). Where nothing moved, all ranks are 0.

    Tensors of more than two dimensions are read as (first, all others). Computed in float64.

    A weight plus an update is rounded when it is stored, so that ΔW is the update and a little
    noise in every direction. Singular values below eps·max(‖W_before‖_F, ‖W_after‖_F)·
    (1/√m + 1/√n), about five times the spectral norm of such noise in an m×n matrix, count as zero
    in the three ranks; eps is that of the coarser of the two tensors' types.

    Raises `ValueError` where names or shapes differ, or a weight is not finite.
    """
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())
        raise ValueError(f"models differ in parameters, first: {odd[0]}; compare one architecture")
    return [_row(name, before[name], after[name]) for name in before]


def total_change(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """`change`, `norm` and `relative` over all rows of `weight_change`, as of one long vector."""
    change = math.hypot(*(row["change"] for row in rows))
    norm = math.hypot(*(row["norm"] for row in rows))
    return {"change": change, "norm": norm, "relative": _relative(change, norm)}


def effective_rank(singular_values: torch.Tensor) -> float:
    """exp(-Σ p_i·log p_i) with p_i = σ_i / Σσ: how many directions there are, unequal ones less.

    Roy & Vetterli 2007. Between 1 and the number of positive σ, all of them when they are equal; 0
    without any.
    """
    total = singular_values.sum()
    if not total > 0:
        return 0.0
    p = singular_values / total
    return math.exp(float(torch.special.entr(p).sum()))


def rank_at_energy(singular_values: torch.Tensor, share: float = 0.9) -> int:
    """The least k whose k largest σ have Σσ² ≥ share of the whole; 0 without any positive σ."""
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: must be above 0 and at most 1")
    energy = singular_values.sort(descending=True).values.square().cumsum(dim=0)
    if not len(energy) or energy[-1] == 0:
        return 0
    wanted = share * energy[-1] * (1 - 1e-12)  # nine of ten equal ones hold 90 %
    return int((energy < wanted).sum()) + 1


def _row(name: str, before: torch.Tensor, after: torch.Tensor) -> dict[str, Any]:
    if before.shape != after.shape:
        shapes = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"{name} has shapes {shapes}; compare one architecture")
    for side, tensor in (("before", before), ("after", after)):
        if not tensor.isfinite().all():
            raise ValueError(f"{name}: {side} holds nan or inf; the training diverged, repeat it")
    old, new = before.double(), after.double()
    delta, norm = new - old, float(old.norm())
    change = float(delta.norm())
    row = {
        "module": name,
        "shape": tuple(before.shape),
        "change": change,
        "norm": norm,
        "relative": _relative(change, norm),
        "spectral": change,  # of a vector
        "rank": None,
        "effective_rank": None,
        "rank_90": None,
    }
    if before.ndim < 2:
        return row
    matrix = delta.reshape(len(delta), -1)
    m, n = matrix.shape
    values = torch.linalg.svdvals(matrix)
    eps = max(torch.finfo(t.dtype).eps for t in (before, after))
    noise = eps * max(norm, float(new.norm())) * (1 / math.sqrt(m) + 1 / math.sqrt(n))
    above = values[values > noise]
    return row | {
        "spectral": float(values[0]),
        "rank": len(above),
        "effective_rank": effective_rank(above),
        "rank_90": rank_at_energy(above),
    }


def _relative(change: float, norm: float) -> float:
    if change == 0:
        return 0.0
    return change / norm if norm else math.inf
