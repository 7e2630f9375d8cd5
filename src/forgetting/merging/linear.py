"""Sums of weights: task vectors, chat vectors, averages."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from forgetting.merging.states import State, require_one_architecture


def weighted_sum(terms: Iterable[tuple[float, State]]) -> dict[str, torch.Tensor]:
    """θ = Σ cᵢ·θᵢ, in float32, term by term: two states are in memory at a time.

    With coefficients (1, λ, -λ) this is θ_cp + λ·(θ_chat - θ_base): a chat vector (Huang et al.
    2024, arXiv 2310.04799) or a task vector (Ilharco et al. 2023, arXiv 2212.04089).
    Raises `ValueError` where names or shapes differ.
    """
    total: dict[str, torch.Tensor] = {}
    for number, (factor, state) in enumerate(terms):
        if number == 0:
            total = {name: factor * tensor.float() for name, tensor in state.items()}
            continue
        require_one_architecture(total, state)
        for name, tensor in state.items():
            total[name].add_(tensor.float(), alpha=factor)
    return total
