"""Which changes are kept, and which agree."""

import numpy as np
import torch


def largest(values: torch.Tensor, density: float) -> torch.Tensor:
    """(n,) booleans: the ⌊density · n⌋ values of largest size, but at least one, and no more.

    Of equal sizes at the border the first are kept. A comparison with a threshold would keep all of
    them: with most values exactly zero, everything.
    """
    sizes = values.abs()
    count = max(1, int(density * len(sizes)))
    border = np.partition(sizes.numpy(), len(sizes) - count)[len(sizes) - count]
    kept = sizes > float(border)
    equal = (sizes == float(border)).nonzero()[:, 0]
    kept[equal[: count - int(kept.sum())]] = True
    return kept


def agreeing(changes: torch.Tensor) -> torch.Tensor:
    """(models, …) booleans: which changes have the sign of their sum; + where that is 0."""
    return torch.where(changes.sum(dim=0) >= 0, changes > 0, changes < 0)
