"""Encoder-decoder models, such as T5: what is read stands in the encoder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from forgetting.models.causal import padded
from forgetting.models.family import Family, Sizes, on_device
from forgetting.models.parts import Part, part_of
from forgetting.models.rows import Row, read_tokens, supervised

BLOCK = re.compile(r"(?:^|\.)decoder\.(?:block|layers)\.(\d+)\.")
KINDS = {
    "encoder": re.compile(r"(?:^|\.)encoder\."),
    "head": re.compile(r"(?:^|\.)lm_head\."),
    "norm": re.compile("norm"),
    "attention": re.compile(r"Attention\.|_attn\."),
    "mlp": re.compile(r"\.DenseReluDense\.|\.fc[12]\."),
    "embedding": re.compile(r"(?:^|\.)(?:shared|embed_\w+)\."),
}


class Seq2Seq(Family):
    """The encoder reads a row's first tokens and the end token, the decoder writes the others."""

    auto: ClassVar[Any] = AutoModelForSeq2SeqLM

    def knows(self, config: Any) -> bool:
        return bool(getattr(config, "is_encoder_decoder", False))

    def part(self, name: str) -> Part:
        """An encoder's block is of kind `encoder`; numbers count the decoder's."""
        return part_of(name, KINDS, BLOCK, "seq2seq.py")

    def layers(self, config: Any) -> int:
        return getattr(config, "num_decoder_layers", None) or config.decoder_layers

    def saved(self, config: Any, moved: Sequence[str]) -> int:
        """As if both stacks moved whole, and were read at every token."""
        sizes = Sizes.of(config)
        layers = config.num_hidden_layers + self.layers(config)
        return layers * (sizes.passing + sizes.inputs)

    def collate(self, model: Any, rows: Sequence[Row]) -> tuple[dict[str, Any], torch.Tensor]:
        """As T5 does it: the end token after what is read; the decoder sees its start token and
        what was written so far."""
        config = model.config
        read, written, at = [], [], []
        for row in rows:
            ids, count = row["input_ids"], read_tokens(row)
            read.append(_ended(ids[:count], config.eos_token_id))
            begun = functional.pad(ids[count:], (1, 0), value=config.decoder_start_token_id)
            written.append(begun[:-1])
            at.append(supervised(row)[count - 1 :])
        decoder = pad_sequence(written, batch_first=True)
        return padded(read) | {"decoder_input_ids": decoder}, pad_sequence(at, batch_first=True)

    def begin(self, model: Any, rows: Sequence[Row]) -> tuple[PreTrainedModel, dict[str, Any]]:
        read = [_ended(row["input_ids"], model.config.eos_token_id) for row in rows]
        return model, on_device(padded(read), model)


def _ended(ids: torch.Tensor, end: int) -> torch.Tensor:
    """Ids with the end token after them, once."""
    return ids if len(ids) and ids[-1] == end else functional.pad(ids, (0, 1), value=end)
