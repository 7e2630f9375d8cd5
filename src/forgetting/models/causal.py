"""Causal language models: decoders alone, of Llama's, GPT-2's or Gemma's names.

Where tokens meet in attention alone, rows are trained packed, prompts are read once for all their
answers, and answers come from a batch that stays full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from forgetting.lineage.samples import Completion
from forgetting.models import generation, packing, shared_prefix
from forgetting.models.family import Family, Reader, Scored, Sizes, score, split, unwrapped
from forgetting.models.parts import Part
from forgetting.models.rows import Row, supervised

BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
KINDS = {
    "head": re.compile(r"(?:^|\.)(?:lm_head|embed_out)\."),
    "attention": re.compile(r"\.(?:self_attn|attn|attention|self_attention)\."),
    "mlp": re.compile(r"\.(?:mlp|ffn|feed_forward|fc1|fc2)\."),
    "norm": re.compile(r"norm|(?:^|\.)ln_"),
    "embedding": re.compile(r"(?:^|\.)(?:embed_\w+|word_embeddings|wte|wpe)\."),
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

    def part(self, name: str) -> Part:
        kinds = (kind for kind, pattern in KINDS.items() if pattern.search(name))
        kind = next(kinds, None)
        if kind is None:
            raise ValueError(f"parameter {name!r}: of no kind; name its kind in models/causal.py")
        block = BLOCK.search(name)
        return Part(kind, int(block[1]) if block else None)

    def saved(self, config: Any, moved: Sequence[str]) -> int:
        """Counted for Llama's and GPT-2's blocks, from the first that something moves in."""
        config = config.get_text_config()
        sizes = Sizes.of(config)
        blocks: dict[int, list[str]] = {}
        for name in moved:
            if found := BLOCK.search(name):
                blocks.setdefault(int(found[1]), []).append(name)
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
        inputs = padded([row["input_ids"] for row in rows], side="left")
        return model, {name: tensor.to(model.device) for name, tensor in inputs.items()}

    # -- the faster ways -------------------------------------------------------------------------

    @contextmanager
    def reader(self, model: Any, *, keep: bool, alone: bool) -> Iterator[Reader]:
        if not alone or not packing.readable(model):
            with super().reader(model, keep=keep, alone=alone) as plain:
                yield plain
            return
        packed = packing.Reader(model, keep=keep)
        with packing.attention_by_row(model):
            yield packed

    def head(self, model: Any) -> nn.Module:
        return unwrapped(model).get_output_embeddings() if has_plain_head(model) else nn.Identity()

    def states(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """The last hidden states, where the head alone makes logits of them."""
        if not has_plain_head(model):
            return super().states(model, rows)
        inputs, at = self.collate(model, rows)
        there = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        hidden = unwrapped(model).base_model(**there, use_cache=False).last_hidden_state
        return hidden[at.to(model.device)]

    @torch.no_grad()
    def log_likelihoods(self, model: Any, rows: Sequence[Row]) -> list[Scored]:
        if not packing.readable(model):
            return super().log_likelihoods(model, rows)
        causal, found = unwrapped(model), {}
        for batch in shared_prefix.by_tokens(shared_prefix.lines(rows)):
            states = shared_prefix.states(causal.base_model, batch)
            targets = torch.tensor([token for line in batch for token in line.targets])
            scored = score(states, causal.get_output_embeddings(), targets)
            numbers, counts = zip(*(m for line in batch for m in line.members), strict=True)
            found |= dict(zip(numbers, split(scored, counts), strict=True))
        return [found[number] for number in range(len(rows))]

    def answer(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[Any],
        **decoding: Any,
    ) -> list[Completion]:
        if not packing.meets_in_attention(unwrapped(model).config):
            return super().answer(model, tokenizer, prompts, **decoding)
        texts = [p["input_ids"].tolist() if isinstance(p, dict) else p for p in prompts]
        return generation.generate(model, tokenizer, texts, **decoding)


def padded(ids: Sequence[torch.Tensor], side: str = "right") -> dict[str, torch.Tensor]:
    """`input_ids`, (rows, longest), filled up with 0, and `attention_mask`, which tells where."""
    ones = [torch.ones_like(each) for each in ids]
    return {
        name: pad_sequence(list(each), batch_first=True, padding_side=side)
        for name, each in (("input_ids", ids), ("attention_mask", ones))
    }


_PLAIN_HEADS: WeakKeyDictionary[nn.Module, tuple[nn.Module, bool]] = WeakKeyDictionary()


@torch.no_grad()
def has_plain_head(model: Any) -> bool:
    """Whether the logits are the output embedding of the last hidden state, and no more.

    Of kinds that are not known it is tried, once a model: some scale or cap their logits.
    """
    if packing.readable(model):
        return True
    causal = unwrapped(model)
    head, (tried, plain) = causal.get_output_embeddings(), _PLAIN_HEADS.get(causal, (None, False))
    if head is tried:
        return plain
    if model.training:  # dropout: two readings differ
        return False
    ids = torch.tensor([[0, 1]], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits
    ours = head(causal.base_model(input_ids=ids, use_cache=False).last_hidden_state)
    plain = torch.allclose(logits, ours, rtol=1e-5, atol=1e-6, equal_nan=True)
    _PLAIN_HEADS[causal] = head, plain
    return plain
