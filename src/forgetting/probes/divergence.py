"""How far a tuned model's next-token distributions lie from the original's.

The forward divergence KL(original ‖ tuned) on the *new* task's inputs is what RL's Razor (Shenfeld
et al. 2026, arXiv 2509.04259) finds to predict forgetting. All in nats per supervised token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel

from forgetting.models.family import family_of, unwrapped
from forgetting.models.rows import Row, supervised

Measure = Literal["forward", "reverse", "agreement", "greedy", "nats"]


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

    def mean(self, measure: Measure = "forward") -> float:
        """The mean over all supervised tokens: rows count by their tokens."""
        values = getattr(self, measure)
        total = sum(v * n for v, n in zip(values, self.tokens, strict=True))
        return total / sum(self.tokens)


@dataclass(frozen=True)
class Reading:
    """A model's states at the tokens that predict supervised ones, a (tokens, width) a row.

    `head` turns them into logits. Where states are hidden states, a reading is a thousandth of the
    logits' size: one of the original serves the comparison with many tuned models.
    """

    head: torch.nn.Module
    hidden: list[torch.Tensor]


def divergence(
    original: PreTrainedModel | Reading,
    tuned: PreTrainedModel,
    rows: Sequence[Row],
    chunk: int = 128,
) -> Divergence:
    """Compare two models on token rows, as `rows.pretrain_rows` makes them.

    Rows are read one at a time: states are (tokens, width), and distributions exist for `chunk`
    tokens at once, (chunk, vocabulary) in float32, about six such tensors. Results do not depend on
    `chunk` beyond rounding. `original` may be a `read` of the same rows.

    Raises `ValueError` for models of different vocabularies or in training mode (dropout), and for
    a row without a supervised token.
    """
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: must be at least one token")
    if not rows:
        raise ValueError("rows: none given; make some with rows.pretrain_rows")
    before = original if isinstance(original, Reading) else read(original, rows, "original")
    ours = len(before.head(before.hidden[0][0]))
    theirs = unwrapped(tuned).config.get_text_config().vocab_size
    if ours != theirs:
        raise ValueError(
            f"tuned: vocabulary of {theirs} tokens, original of {ours}; "
            "compare models of one tokenizer"
        )
    after = read(tuned, rows, "tuned")
    found = [_row_divergence(before, after, row, number, chunk) for number, row in enumerate(rows)]
    return Divergence(*(list(column) for column in zip(*found, strict=True)))


@torch.no_grad()
def read(model: PreTrainedModel, rows: Sequence[Row], name: str = "model") -> Reading:
    """Read token rows, one at a time. Raises `ValueError` as `divergence` does."""
    if model.training:
        raise ValueError(f"{name}: is in training mode, where dropout moves it; call {name}.eval()")
    for number, row in enumerate(rows):
        if not supervised(row).any():
            raise ValueError(f"rows[{number}]: no supervised token; leave the row out")
    family = family_of(model)
    return Reading(family.head(model), [family.states(model, [row]) for row in rows])


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


@torch.no_grad()
def _row_divergence(
    before: Reading, after: Reading, row: Row, number: int, chunk: int
) -> tuple[float | int, ...]:
    """A value a measure of `Divergence`, in its order, and the number of tokens."""
    wanted = row["labels"][1:][supervised(row)]
    sums = torch.zeros(5, dtype=torch.float64)
    parts = (before.hidden[number], after.hidden[number], wanted)
    for of_original, of_tuned, gold in zip(*(part.split(chunk) for part in parts), strict=True):
        p = before.head(of_original)
        q = after.head(of_tuned).to(p.device)
        log_q = q.float().log_softmax(dim=-1)
        taken = torch.stack([p.argmax(dim=-1), gold.to(p.device)], dim=-1)
        values = (*token_divergence(p, q), *(-log_q.gather(1, taken)).T)
        sums += torch.stack([x.double().sum() for x in values]).cpu()
    return *(sums / len(wanted)).tolist(), len(wanted)
