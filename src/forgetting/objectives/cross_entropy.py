"""Cross-entropy: the next token, or the answer's, and nothing else."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from forgetting.method import method
from forgetting.objectives.base import Objective, Step, require_any

# Tokens whose logits stand in memory together: 25 MB for a vocabulary of 49 thousand. The C library
# asks the system for every tensor above 32 MB anew, which costs as much as filling it.
TOKENS_AT_ONCE = 128


@method(
    title="Cross-entropy",
    see="Gold",
    colour="#D55E00",
    marker="o",
)
@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Mean negative log-likelihood of all supervised tokens: next token, or the answer's."""

    def loss(self, step: Step) -> torch.Tensor:
        require_any(step.wanted)
        return functional.cross_entropy(step.logits.float(), step.wanted)


def head_cross_entropy(
    hidden: torch.Tensor, head: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """`CrossEntropy` of the logits `hidden @ head.T`, which never stand in memory whole.

    `hidden` is (tokens, width), supervised tokens alone; `head` (vocabulary, width); `wanted`
    (tokens,), the token that each should predict. Raises `ValueError` where there is none.
    """
    require_any(wanted)
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
            read, token = hidden[part].to(head.dtype), wanted[part]
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
