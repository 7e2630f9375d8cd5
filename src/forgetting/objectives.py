"""What it is asked for: objectives map (logits, labels) to a scalar.

Logits are (batch, length, vocabulary) as the model gives them; labels are (batch, length) with
-100 at unsupervised positions. Token t's logits predict token t + 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

IGNORED = -100
# Tokens whose logits stand in memory together: 25 MB for a vocabulary of 49 thousand. The C library
# asks the system for every tensor above 32 MB anew, which costs as much as filling it.
TOKENS_AT_ONCE = 128


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood, nats per supervised token.

    Pre-train style labels every token, SFT style the answer's tokens alone; the loss is the same.
    Raises `ValueError` where no position is supervised (the mean would be nan).
    """
    predicted, wanted = logits[:, :-1], labels[:, 1:]
    supervised = wanted != IGNORED
    _require_any(wanted[supervised])
    return functional.cross_entropy(predicted[supervised].float(), wanted[supervised])


def head_cross_entropy(
    hidden: torch.Tensor, head: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """`cross_entropy` of the logits `hidden @ head.T`, which never stand in memory whole.

    `hidden` is (tokens, width), supervised tokens alone; `head` (vocabulary, width); `wanted`
    (tokens,), the token that each should predict. Raises `ValueError` where there is none.
    """
    _require_any(wanted)
    return _HeadCrossEntropy.apply(hidden, head, wanted)


class _HeadCrossEntropy(torch.autograd.Function):
    """Each part's gradient is made while its logits are at hand: (softmax - one-hot) / tokens."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, wanted: torch.Tensor
    ) -> torch.Tensor:
        by_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        by_head = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(wanted), TOKENS_AT_ONCE):
            part = slice(start, start + TOKENS_AT_ONCE)
            read, token = hidden[part], wanted[part]
            at_wanted = torch.arange(len(token), device=token.device), token
            log_p = torch.log_softmax((read @ head.T).float(), dim=1)
            total -= log_p[at_wanted].sum()
            gradient = log_p.exp_()
            gradient[at_wanted] -= 1
            gradient = gradient.to(head.dtype)
            if by_hidden is not None:
                by_hidden[part] = gradient @ head / len(wanted)
            if by_head is not None:
                by_head.addmm_(gradient.T, read, alpha=1 / len(wanted))
        ctx.gradients = by_hidden, by_head
        return total / len(wanted)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *above: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        by_hidden, by_head = ctx.gradients
        if above[0] != 1:
            by_hidden, by_head = (g if g is None else g * above[0] for g in ctx.gradients)
        return by_hidden, by_head, None


def _require_any(wanted: torch.Tensor) -> None:
    if not len(wanted):
        raise ValueError("labels: no supervised token in this batch; lengthen `length`")
