"""Sums of weights: task vectors, chat vectors, averages."""

from collections.abc import Iterable

import torch

from forgetting.merging.states import State, require_one_architecture
from forgetting.method import method


@method(
    name="task-arithmetic",
    title="Task arithmetic",
    idea="What a training changed is a difference of weights. Such differences are scaled, added "
    "to a model and taken from it, without any more training: a task vector, or, of a model that "
    "learned to chat, a chat vector.",
    equation=r"\theta = \sum_i c_i\, \theta_i, \qquad \text{as } \theta_{\text{new}} + \lambda\, "
    r"(\theta_{\text{chat}} - \theta_{\text{base}})",
    cost="One pass over the weights of each model; no data and no gradient.",
    use="Where models of one architecture learned apart what one model shall have. The strength "
    "must be tuned.",
    citations=("ilharco2023editing", "huang2024chatvector"),
    colour="#009E73",
    marker="P",
)
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
