"""How far a tuned model's next-token distributions lie from the original's.

The forward divergence KL(original ‖ tuned) on the *new* task's inputs is what RL's Razor (Shenfeld
et al. 2026, arXiv 2509.04259) finds to predict forgetting. All in nats per supervised token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from forgetting.models.family import family_of
from forgetting.models.rows import Row, supervised

CHUNK = 128  # tokens whose distributions, (tokens, vocabulary), exist at once, some six tensors


@dataclass(frozen=True)
class Divergence:
    """Means over each row's supervised tokens, a value a row, and how many tokens that were.

    `forward` is KL(original ‖ tuned), `reverse` KL(tuned ‖ original), both in nats per token;
    `agreement` is the share of tokens for which both models' likeliest token is the same;
    `greedy` is the tuned model's cross-entropy on the original's likeliest token, nats per token:
    the forgetting of Kalajdzievski (2024, arXiv 2401.05605); `nats` that on the tokens themselves.
    """

    forward: list[float]
    reverse: list[float]
    agreement: list[float]
    greedy: list[float]
    nats: list[float]
    tokens: list[int]


@dataclass(frozen=True)
class Reading:
    """A model's states at the tokens that predict supervised ones, a (tokens, width) a row.

    `head` turns them into logits. Where states are hidden states, a reading is a thousandth of the
    logits' size: one of the original serves the comparison with many tuned models.
    """

    head: torch.nn.Module
    hidden: list[torch.Tensor]


@torch.no_grad()
def read(model: PreTrainedModel, rows: Sequence[Row]) -> Reading:
    """Read token rows, as `rows.pretrain_rows` makes them, one at a time.

    Raises `ValueError` for a model in training mode, where dropout moves it.
    """
    if model.training:
        raise ValueError("model: is in training mode, where dropout moves it; call model.eval()")
    family = family_of(model)
    return Reading(family.head(model), [family.states(model, [row]) for row in rows])


@torch.no_grad()
def divergence(before: Reading, after: Reading, rows: Sequence[Row]) -> Divergence:
    """Compare two models' readings of token rows, each with a supervised token or more."""
    values = []
    for *states, row in zip(before.hidden, after.hidden, rows, strict=True):
        gold = row["labels"][1:][supervised(row)]
        sums = torch.zeros(5, dtype=torch.float64)
        parts = (part.split(CHUNK) for part in (*states, gold))
        for of_original, of_tuned, tokens in zip(*parts, strict=True):
            p = before.head(of_original)
            q = after.head(of_tuned).to(p.device)
            targets = torch.stack([p.argmax(dim=-1), tokens.to(p.device)], dim=-1)
            nats = -q.float().log_softmax(dim=-1).gather(1, targets)
            sums += torch.stack(
                [x.double().sum() for x in (*token_divergence(p, q), *nats.T)]
            ).cpu()
        values.append((*(sums / len(gold)).tolist(), len(gold)))
    return Divergence(*(list(column) for column in zip(*values, strict=True)))


def token_divergence(
    original: torch.Tensor, tuned: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """KL(p ‖ q), KL(q ‖ p) and whether the likeliest token is the same, of each token.

    `original` and `tuned` are logits (tokens, vocabulary) of p and q; the results are (tokens,):
    Σ_v p_v·(log p_v - log q_v) over the whole vocabulary, float32, nats. Tokens with p_v = 0 add
    nothing. A divergence is infinite where only q_v is 0.
    """
    log_p = original.float().log_softmax(dim=-1)
    log_q = tuned.float().log_softmax(dim=-1)
    same = log_p.argmax(dim=-1) == log_q.argmax(dim=-1)
    return _kl(log_p, log_q), _kl(log_q, log_p), same


def _kl(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    p = log_p.exp()
    terms = torch.where(p == 0, 0.0, p * (log_p - log_q))
    return terms.sum(dim=-1).clamp_min(0)  # rounding alone makes it negative, by some 1e-7
