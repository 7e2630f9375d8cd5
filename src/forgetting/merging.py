"""What is done to the weights after: pure functions on state dicts.

A state dict maps parameter names to tensors. Merges need the same names and shapes throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

State = Mapping[str, torch.Tensor]


def weighted_sum(terms: Iterable[tuple[float, State]]) -> dict[str, torch.Tensor]:
    """θ = Σ cᵢ·θᵢ, in float32, term by term.

    With coefficients (1, λ, -λ) this is θ_cp + λ·(θ_chat - θ_base): a chat vector (Huang et al.
    2024, arXiv 2310.04799) or a task vector (Ilharco et al. 2023, arXiv 2212.04089).
    Raises `ValueError` where names or shapes differ.
    """
    total: dict[str, torch.Tensor] = {}
    for number, (factor, state) in enumerate(terms):
        if number == 0:
            total = {name: factor * tensor.float() for name, tensor in state.items()}
            continue
        if total.keys() != state.keys():
            odd = sorted(total.keys() ^ state.keys())
            raise ValueError(f"models differ in parameters, first: {odd[0]}")
        for name, tensor in state.items():
            if total[name].shape != tensor.shape:
                shapes = f"{tuple(total[name].shape)} and {tuple(tensor.shape)}"
                raise ValueError(f"{name} has shapes {shapes}; merges need one architecture")
            total[name].add_(tensor.float(), alpha=factor)
    return total
