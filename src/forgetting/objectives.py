"""What it is asked for: objectives map (logits, labels) to a scalar.

Logits are (batch, length, vocabulary) as the model gives them; labels are (batch, length) with
-100 at unsupervised positions. Token t's logits predict token t + 1.
"""

from __future__ import annotations

import torch
from torch.nn import functional

IGNORED = -100


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood, nats per supervised token.

    Pre-train style labels every token, SFT style the answer's tokens alone; the loss is the same.
    Raises `ValueError` where no position is supervised (the mean would be nan).
    """
    predicted, wanted = logits[:, :-1], labels[:, 1:]
    supervised = wanted != IGNORED
    if not supervised.any():
        raise ValueError("labels: no supervised token in this batch; lengthen `length`")
    return functional.cross_entropy(predicted[supervised].float(), wanted[supervised])
