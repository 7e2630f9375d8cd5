"""Causal language models: decoders alone, of Llama's, GPT-2's or Gemma's names.

Where tokens meet in attention alone, rows are trained packed, prompts are read once for all their
answers, and answers come from a batch that stays full; `agreement` tries this before it is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from forgetting.models import agreement, generation, loading, packing, shared_prefix
from forgetting.models.family import (
    Family,
    Plain,
    Reader,
    Scored,
    Sizes,
    State,
    on_device,
    score,
    split,
    unwrapped,
)
from forgetting.models.parts import Part, part_of
from forgetting.models.rows import Row, batches, supervised
from forgetting.models.sampling import Draft, Sampler

BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
KINDS = {
    "head": re.compile(r"(?:^|\.)(?:lm_head|embed_out)\."),
    "attention": re.compile(r"\.(?:self_attn|attn|attention|self_attention)\."),
    "mlp": re.compile(r"\.(?:mlp|ffn|feed_forward|fc1|fc2)\."),
    "embedding": re.compile(r"(?:^|\.)(?:embed_\w+|(?:word_)?embeddings\w*|wte|wpe)\."),
    "norm": re.compile(r"norm|(?:^|\.)ln_"),
}
# Linear maps whose input is kept where their weights move, by what it is; Llama's and GPT-2's.
# Queries share theirs with keys and values, a gate with its other half.
HIDDEN_READ = ("layernorm", "ln_", "q_proj", "c_attn", "gate_proj", "c_fc")
QUERIES_READ = ("o_proj", "attn.c_proj")
INNER_READ = ("down_proj", "mlp.c_proj")


class Causal(Family):
    """Decoder-only models."""

    auto = AutoModelForCausalLM

    def knows(self, config: Any) -> bool:
        return config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not getattr(
            config, "is_encoder_decoder", False
        )

    def load(self, folder: Path, state: State | None = None) -> Any:
        """Raises `loading.BadFolder` for an encoder too."""
        model = super().load(folder, state)
        if state is None:  # other weights lie over those of a folder that was looked at
            loading.require_causal(model, folder)
        return model

    def part(self, name: str) -> Part:
        return part_of(name, KINDS, BLOCK, "causal.py")

    def saved(self, config: Any, moved: Sequence[str]) -> int:
        """Counted for Llama's and GPT-2's blocks, from the first that something moves in."""
        config = config.get_text_config()
        sizes = Sizes.of(config)
        blocks: dict[int, list[str]] = {}
        for name in moved:
            if block := BLOCK.search(name):
                blocks.setdefault(int(block[1]), []).append(name)
        everywhere = any(not BLOCK.search(name) for name in moved)
        saved = sizes.passing * (self.layers(config) - (0 if everywhere else min(blocks)))
        widths = dict.fromkeys(HIDDEN_READ, sizes.hidden)
        widths |= dict.fromkeys(QUERIES_READ, sizes.queries)
        widths |= dict.fromkeys(INNER_READ, sizes.inner)
        for names in blocks.values():
            saved += sum(size for part, size in widths.items() if any(part in n for n in names))
            saved += sum(sizes.hidden * 5 // 4 for n in names if "lora_A" in n)  # dropout, mask
        return saved

    def collate(self, model: Any, rows: Sequence[Row]) -> tuple[dict[str, Any], torch.Tensor]:
        """Ids padded on the right with 0, (rows, length), and a mask."""
        for row in rows:
            if "frames" in row:
                raise ValueError("frames: a causal language model reads text; name one that hears")
        at = [functional.pad(supervised(row), (0, 1), value=False) for row in rows]
        return padded([row["input_ids"] for row in rows]), pad_sequence(at, batch_first=True)

    def begin(self, model: Any, rows: Sequence[Row]) -> tuple[PreTrainedModel, dict[str, Any]]:
        return model, on_device(padded([row["input_ids"] for row in rows], side="left"), model)

    @contextmanager
    def reader(self, model: Any, *, keep: bool, alone: bool) -> Iterator[Reader]:
        if alone and agreement.fast(model):
            packed = packing.Reader(model, keep=keep)
            with packing.attention_by_row(model):
                yield packed
        elif alone and agreement.has_plain_head(model):
            yield PlainHead(self, model)
        else:
            yield Plain(self, model)

    def head(self, model: Any) -> nn.Module:
        plain = agreement.has_plain_head(model)
        return unwrapped(model).get_output_embeddings() if plain else nn.Identity()

    def states(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """The last hidden states, where the head alone makes logits of them."""
        if not agreement.has_plain_head(model):
            return super().states(model, rows)
        inputs, at = self.collate(model, rows)
        base = unwrapped(model).base_model
        hidden = base(**on_device(inputs, model), use_cache=False).last_hidden_state
        return hidden[at.to(model.device)]

    @torch.no_grad()
    def log_likelihoods(self, model: Any, rows: Sequence[Row]) -> list[Scored]:
        if not agreement.fast(model):
            return super().log_likelihoods(model, rows)
        causal = unwrapped(model)
        by_number: dict[int, Scored] = {}
        for batch in batches(sorted(shared_prefix.lines(rows), key=len), len):
            states = shared_prefix.states(causal.base_model, batch)
            targets = torch.tensor([token for line in batch for token in line.targets])
            scored = score(states, causal.get_output_embeddings(), targets)
            numbers, counts = zip(*(m for line in batch for m in line.members), strict=True)
            by_number |= dict(zip(numbers, split(scored, counts), strict=True))
        return [by_number[number] for number in range(len(rows))]

    def write(self, sampler: Sampler, rows: list[Row], drafts: list[Draft], batch: int) -> None:
        if agreement.fast(sampler.model):
            generation.write(sampler, drafts, batch)
        else:
            side_by_side = agreement.side_by_side(sampler.model)
            super().write(sampler, rows, drafts, batch if side_by_side else 1)


class PlainHead(Plain):
    """A reader of padded rows that leaves logits to the head: of supervised tokens alone.

    Logits of a large vocabulary (Gemma's 262,144) at every token would be gigabytes.
    """

    def __init__(self, family: Causal, model: Any) -> None:
        super().__init__(family, model)
        self.head = family.head(model)

    def states(self, model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
        """(rows, length, width): the last hidden states."""
        return unwrapped(model).base_model(**inputs, use_cache=False).last_hidden_state


def padded(ids: Sequence[torch.Tensor], side: str = "right") -> dict[str, torch.Tensor]:
    """`input_ids`, (rows, longest), filled up with 0, and `attention_mask`, which tells where."""
    mask = [torch.ones_like(each) for each in ids]
    return {
        name: pad_sequence(list(each), batch_first=True, padding_side=side)
        for name, each in (("input_ids", ids), ("attention_mask", mask))
    }
