"""Which changes are kept, and which agree."""

import torch


def largest(values: torch.Tensor, density: float) -> torch.Tensor:
    """(n,) booleans: the ⌊density · n⌋ values of largest size, but at least one, and no more.

    Of equal sizes at the border some are kept. A comparison with a threshold would keep all of
    them: with most values exactly zero, everything.
    """
    count = max(1, int(density * values.numel()))
    kept = torch.zeros(values.numel(), dtype=torch.bool)
    kept[values.abs().topk(count, sorted=False).indices] = True
    return kept


def agreeing(changes: torch.Tensor) -> torch.Tensor:
    """(models, …) booleans: which changes have the sign of their sum; + where that is 0."""
    elected = torch.where(changes.sum(dim=0) >= 0, 1.0, -1.0)
    return changes.sign() == elected
