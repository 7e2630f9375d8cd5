"""How far a tuned model's next-token distributions lie from the original's.

The forward divergence KL(original ‖ tuned) on the *new* task's inputs is what RL's Razor (Shenfeld
et al. 2026, arXiv 2509.04259) finds to predict forgetting. All in nats per supervised token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from forgetting.objectives import IGNORED

Row = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Divergence:
    """Means over each row's supervised tokens, a value a row, and how many tokens that were.

    `forward` is KL(original ‖ tuned), `reverse` KL(tuned ‖ original), both in nats per token;
    `agreement` is the share of tokens for which both models' likeliest token is the same.
    """

    forward: list[float]
    reverse: list[float]
    agreement: list[float]
    tokens: list[int]

    def mean(self, measure: Literal["forward", "reverse", "agreement"] = "forward") -> float:
        """The mean over all supervised tokens: rows count by their tokens."""
        values = getattr(self, measure)
        total = sum(v * n for v, n in zip(values, self.tokens, strict=True))
        return total / sum(self.tokens)


def divergence(
    original: PreTrainedModel, tuned: PreTrainedModel, rows: Sequence[Row], chunk: int = 128
) -> Divergence:
    """Compare two causal language models on token rows, as `training.pretrain_rows` makes them.

    A row holds `input_ids` and `labels`, both (length,), unpadded; labels are -100 where a token is
    not supervised, and token t's logits predict token t + 1. Rows are read one at a time: hidden
    states are (length, width), logits exist for `chunk` tokens at once, (chunk, vocabulary) in
    float32, about six such tensors. Results do not depend on `chunk` beyond rounding.

    Raises `ValueError` for models of different vocabularies, in training mode (dropout), or whose
    logits are more than the output embedding of the last hidden state; and for a row without a
    supervised token.
    """
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: must be at least one token")
    if not rows:
        raise ValueError("rows: none given; make some with training.pretrain_rows")
    sizes = [model.get_output_embeddings().weight.shape[0] for model in (original, tuned)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"tuned: vocabulary of {sizes[1]} tokens, original of {sizes[0]}; "
            "compare models of one tokenizer"
        )
    for name, model in (("original", original), ("tuned", tuned)):
        _check(name, model)
    found = [
        _row_divergence(original, tuned, row, number, chunk) for number, row in enumerate(rows)
    ]
    forward, reverse, same, tokens = (list(column) for column in zip(*found, strict=True))
    return Divergence(forward, reverse, same, tokens)


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
    original: PreTrainedModel, tuned: PreTrainedModel, row: Row, number: int, chunk: int
) -> tuple[float, float, float, int]:
    ids, labels = row["input_ids"], row["labels"]
    at = (labels[1:] != IGNORED).nonzero()[:, 0]  # token t + 1 is predicted at t
    if not len(at):
        raise ValueError(f"rows[{number}]: no supervised token; leave the row out")
    hidden = [_hidden(model, ids)[at.to(model.device)] for model in (original, tuned)]
    sums = torch.zeros(3, dtype=torch.float64)
    for of_original, of_tuned in zip(*(states.split(chunk) for states in hidden), strict=True):
        p = original.get_output_embeddings()(of_original)
        q = tuned.get_output_embeddings()(of_tuned).to(p.device)
        sums += torch.stack([x.double().sum() for x in token_divergence(p, q)]).cpu()
    forward, reverse, same = (sums / len(at)).tolist()
    return forward, reverse, same, len(at)


def _hidden(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Last hidden states (length, width) of one row."""
    decoder: Any = model.get_decoder()
    return decoder(input_ids=ids[None].to(model.device), use_cache=False).last_hidden_state[0]


@torch.no_grad()
def _check(name: str, model: PreTrainedModel) -> None:
    if model.training:
        raise ValueError(f"{name}: is in training mode, where dropout moves it; call {name}.eval()")
    ids = torch.tensor([0, 1])
    whole = model(input_ids=ids[None].to(model.device), use_cache=False).logits[0]
    ours = model.get_output_embeddings()(_hidden(model, ids))
    if not torch.allclose(whole.float(), ours.float(), rtol=1e-4, atol=1e-4, equal_nan=True):
        raise ValueError(
            f"{name}: {type(model).__name__} scales or caps its logits after the output embedding, "
            "which is not supported; name another model"
        )
