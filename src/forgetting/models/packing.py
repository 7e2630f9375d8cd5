"""Rows of uneven length, read side by side: nothing is padded, and no row sees another.

Of a model whose first blocks are frozen, each row is read through them once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from forgetting.models.family import unwrapped
from forgetting.models.rows import Row, supervised

# Kinds of model whose logits are the head of the last hidden state and whose tokens meet in
# attention alone; the names of their blocks and of the norm after these.
LLAMA, GPT2 = ("layers", "norm"), ("h", "ln_f")
KNOWN = {"llama": LLAMA, "qwen2": LLAMA, "qwen3": LLAMA, "gpt2": GPT2}
BY_LENGTH = ("dynamic", "longrope")  # rotations that depend on the longest row beside a token
KEPT_BYTES = 2**30


class Reader:
    """The hidden states that `model`, which peft may wrap, gives packed rows.

    With `keep`, what frozen blocks make of a row is remembered, up to `KEPT_BYTES` in all: for
    rows that come again.
    """

    def __init__(self, model: Any, *, keep: bool) -> None:
        causal = unwrapped(model)
        self.head = causal.get_output_embeddings()
        base = causal.base_model
        blocks, norm = KNOWN[causal.config.model_type]
        every = getattr(base, blocks)
        frozen = _frozen_blocks(base, blocks, norm)
        self._first = _part(base, **{blocks: every[:frozen], norm: nn.Identity()})
        # Behind frozen blocks GPT-2's table of places has been read already.
        places = {"wpe": _Nowhere()} if hasattr(base, "wpe") else {}
        self._rest = _part(base, **{blocks: every[frozen:]}, **places) if frozen else base
        self._frozen = frozen
        self._kept: dict[bytes, torch.Tensor] = {}
        self._room = KEPT_BYTES if keep else 0

    @staticmethod
    def collate(rows: Sequence[Row]) -> tuple[dict[str, Any], torch.Tensor]:
        """The rows' ids one after another, (tokens,), and their lengths; which predict a
        supervised token: a row's last predicts nothing."""
        end = torch.tensor([False])
        return {
            "input_ids": torch.cat([row["input_ids"] for row in rows]),
            "lengths": [len(row["input_ids"]) for row in rows],
        }, torch.cat([part for row in rows for part in (supervised(row), end)])

    def states(self, model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
        """(tokens, width): the hidden states of all rows."""
        ids, lengths = inputs["input_ids"], inputs["lengths"]
        if not self._frozen:
            return _read(self._rest, lengths, input_ids=ids[None])
        return _read(self._rest, lengths, inputs_embeds=self._begun(ids.split(lengths))[None])

    @torch.no_grad()
    def _begun(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """What the frozen blocks make of each row, remembered or read now; (tokens, width)."""
        keys = [row.cpu().numpy().tobytes() for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._kept}
        states = self._kept
        if new:
            lengths = [len(row) for row in new.values()]
            read = _read(self._first, lengths, input_ids=torch.cat([*new.values()])[None]).cpu()
            states = states | dict(zip(new, read.split(lengths), strict=True))
            if read.nbytes <= self._room:
                self._room -= read.nbytes
                self._kept = states
        return torch.cat([states[key] for key in keys]).to(rows[0].device)


def readable(model: Any) -> bool:
    """Whether `Reader` knows models of this kind; `agreement` tries whether it reads them right."""
    causal = unwrapped(model)
    config, head = causal.config, causal.get_output_embeddings()
    return (
        config.model_type in KNOWN
        and set(getattr(config, "layer_types", None) or ()) <= {"full_attention"}
        and (getattr(config, "rope_parameters", None) or {}).get("rope_type") not in BY_LENGTH
        and config._attn_implementation == "sdpa"
        and type(head) is nn.Linear
        and head.bias is None
    )


@contextmanager
def attention_by_row(model: Any) -> Iterator[None]:
    """Within it, `model` reads packed rows: attention stays within each row."""
    causal = unwrapped(model)
    before = causal.config._attn_implementation
    causal.set_attn_implementation("by_row")
    try:
        yield
    finally:
        causal.set_attn_implementation(before)


def _attend_by_row(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    lengths: list[int],
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each of the rows that (1, heads, tokens, width) tensors hold."""
    rows = zip(*(each.split(lengths, dim=2) for each in (query, key, value)), strict=True)
    read = [sdpa_attention_forward(module, q, k, v, None, **options)[0] for q, k, v in rows]
    return torch.cat(read, dim=1), None


AttentionInterface.register("by_row", _attend_by_row)


def _read(part: nn.Module, lengths: list[int], **given: torch.Tensor) -> torch.Tensor:
    (tokens,) = given.values()
    places = torch.cat([torch.arange(length) for length in lengths])[None].to(tokens.device)
    read = part(**given, position_ids=places, lengths=lengths, use_cache=False)
    return read.last_hidden_state[0]


def _frozen_blocks(base: nn.Module, blocks: str, norm: str) -> int:
    """How many blocks from the first give a row the same output in every epoch."""
    beside = [module for name, module in base.named_children() if name not in (blocks, norm)]
    if not all(map(_is_fixed, beside)):
        return 0
    return sum(1 for _ in takewhile(_is_fixed, getattr(base, blocks)))


def _is_fixed(module: nn.Module) -> bool:
    """Nothing in it trains, and it drops nothing out."""
    rates = [
        part.p if isinstance(part, nn.Dropout) else getattr(part, "attention_dropout", 0)
        for part in module.modules()
    ]
    return not any(rates) and not any(p.requires_grad for p in module.parameters())


def _part(base: nn.Module, **modules: nn.Module) -> nn.Module:
    """`base` with other modules under some names; the weights are shared."""
    part = copy.copy(base)
    part._modules = {**base._modules, **modules}
    return part


class _Nowhere(nn.Module):
    def forward(self, places: torch.Tensor) -> torch.Tensor:
        return torch.zeros((), device=places.device)
