"""Whether a faster way of reading or writing gives a model's own numbers: tried, not believed.

Two short rows go each way, once for a kind of model, by which its configuration is meant, on a
device. What does not agree is left to the plain way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig, LogitsProcessor

from forgetting.models import generation, packing, shared_prefix
from forgetting.models.family import unwrapped
from forgetting.models.rows import IGNORED, whole_row
from forgetting.models.sampling import Draft, told_alone

TOLERANCE = 1e-4  # of the largest logit; rounding in float32 is a hundredth of it
SHARED = 5  # tokens that the rows begin with alike
_known: dict[tuple[str, str, str], bool] = {}


def fast(model: Any) -> bool:
    """Whether rows may be packed, answers share their prompt, and a batch stay full."""
    return packing.readable(model) and _once(model, _fast)


def side_by_side(model: Any) -> bool:
    """Whether `model.generate` goes on from prompts padded on the left as from each alone."""
    return _once(model, _side_by_side)


def has_plain_head(model: Any) -> bool:
    """Whether the logits are the output embedding of the last hidden state, and no more."""
    return packing.readable(model) or _once(model, _plain_head)


def _once(model: Any, holds: Callable[[Any], bool]) -> bool:
    causal = unwrapped(model)
    key = holds.__name__, causal.config.to_json_string(use_diff=False), str(causal.device)
    if key not in _known:
        with torch.no_grad(), _without_dropout(causal):
            _known[key] = holds(causal)
    return _known[key]


def _fast(model: Any) -> bool:
    rows = _rows(model)
    alone = _alone(model, rows)
    return all(_close(way(model, rows), alone) for way in (_packed, _shared, _kept_full))


def _side_by_side(model: Any) -> bool:
    rows = _rows(model)
    return _close(_padded(model, rows), _alone(model, rows))


def _plain_head(model: Any) -> bool:
    """The head is made to say numbers of any size: a cap or a factor would change these."""
    head, base = model.get_output_embeddings(), model.base_model
    if not isinstance(head, nn.Module) or base is model:
        return False
    said, states = list[torch.Tensor](), list[Any]()

    def replace(module: nn.Module, given: tuple[torch.Tensor], logits: torch.Tensor) -> Any:
        states.append(given[0])
        said.append(torch.linspace(-99, 99, logits.numel()).view_as(logits).to(logits))
        return said[0]

    def keep(module: nn.Module, given: Any, read: Any) -> None:
        states.append(getattr(read, "last_hidden_state", None))

    hooks = base.register_forward_hook(keep), head.register_forward_hook(replace)
    try:
        logits = model(input_ids=_ids(model, _rows(model)[:1]), use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    found = len(states) == 2 and all(isinstance(each, torch.Tensor) for each in states)
    return found and torch.equal(*states) and torch.equal(logits, said[0])


def _alone(model: Any, rows: list[list[int]]) -> list[torch.Tensor]:
    """Logits, (tokens, vocabulary), of each row in a forward pass of its own."""
    return [model(input_ids=_ids(model, [row]), use_cache=False).logits[0] for row in rows]


def _packed(model: Any, rows: list[list[int]]) -> list[torch.Tensor]:
    reader = packing.Reader(model, keep=False)
    inputs, _ = reader.collate([whole_row(row, len(row)) for row in rows])
    inputs["input_ids"] = inputs["input_ids"].to(model.device)
    with packing.attention_by_row(model):
        logits = reader.head(reader.states(model, inputs))
    return list(logits.split(inputs["lengths"]))


def _shared(model: Any, rows: list[list[int]]) -> list[torch.Tensor]:
    """From the last token that rows share; what each is to write ends with some token more."""
    asked = [whole_row([*row, row[0]], len(row) + 1) for row in rows]
    for row in asked:
        row["labels"][:SHARED] = IGNORED
    lines = shared_prefix.lines(asked)
    logits = model.get_output_embeddings()(shared_prefix.states(model.base_model, lines))
    return list(logits.split([count for line in lines for _, count in line.members]))


def _kept_full(model: Any, rows: list[list[int]]) -> list[torch.Tensor]:
    """After all but the last token, and after that."""
    drafts = [Draft(row[:-1]) for row in rows]
    batch = generation.Batch(model, rows[0][:SHARED])
    read = batch.read(drafts)
    for draft, row in zip(drafts, rows, strict=True):
        draft.written.append(row[-1])
    return list(torch.stack([read, batch.step()], dim=1))


def _padded(model: Any, rows: list[list[int]]) -> list[torch.Tensor]:
    """After all but the last token, and after that."""
    begun = [torch.tensor(row[:-1], device=model.device) for row in rows]
    forced = _Forced(_ids(model, [row[-1:] for row in rows]))
    with told_alone(model):
        model.generate(
            input_ids=pad_sequence(begun, batch_first=True, padding_side="left"),
            attention_mask=pad_sequence(
                [torch.ones_like(row) for row in begun], batch_first=True, padding_side="left"
            ),
            generation_config=GenerationConfig(max_new_tokens=2, pad_token_id=0),
            logits_processor=[forced],
        )
    return list(torch.stack(forced.seen, dim=1))


class _Forced(LogitsProcessor):
    """Leaves one token to choose, (rows, 1), and keeps what the model would have said."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self.tokens, self.seen = tokens, list[torch.Tensor]()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.seen.append(scores)
        return torch.full_like(scores, -torch.inf).scatter(1, self.tokens, 0.0)


def _rows(model: Any) -> list[list[int]]:
    """The longer one first."""
    vocabulary = model.config.get_text_config().vocab_size
    ids = [(11 + 7919 * place) % vocabulary for place in range(SHARED + 10)]
    return [ids[: SHARED + 7], [*ids[:SHARED], *ids[SHARED + 7 :]]]


def _ids(model: Any, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    return torch.tensor(rows, device=model.device)


def _close(logits: list[torch.Tensor], alone: list[torch.Tensor]) -> bool:
    """Whether some of the rows' last logits are those of the rows alone."""
    ends = [plain[-len(ours) :] for ours, plain in zip(logits, alone, strict=True)]
    size = max(float(end.abs().nan_to_num().max()) for end in ends)
    return all(
        torch.allclose(ours, end, rtol=0.0, atol=TOLERANCE * size, equal_nan=True)
        for ours, end in zip(logits, ends, strict=True)
    )


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
