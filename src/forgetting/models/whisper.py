"""Whisper: sound in the encoder, in log-mel features; a transcript from the decoder.

A row's sound is a waveform, (samples, 1) at 16 kHz in -1 … 1; its tokens are the decoder's: those
that say the language and what to do, then what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationMixin,
    PreTrainedModel,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from forgetting.models.causal import padded
from forgetting.models.family import on_device
from forgetting.models.rows import Row, supervised
from forgetting.models.seq2seq import Seq2Seq

RATE = 16_000  # samples a second
FRAMES = 50  # the encoder's states a second
SAMPLES = RATE // FRAMES


class TooLong(ValueError):
    """A sound that is longer than the encoder hears."""


class Recogniser(WhisperForConditionalGeneration):
    """transformers' Whisper, which writes what it is told and adds no tokens of its own."""

    generate = GenerationMixin.generate  # type: ignore[assignment]
    from_config = WhisperForConditionalGeneration._from_config


class Whisper(Seq2Seq):
    """One sound a row."""

    auto = Recogniser

    def knows(self, config: Any) -> bool:
        return config.model_type == "whisper"

    def collate(self, model: Any, rows: Sequence[Row]) -> tuple[dict[str, Any], torch.Tensor]:
        at = [functional.pad(supervised(row), (0, 1), value=False) for row in rows]
        inputs = self._heard(model, rows) | {
            "decoder_input_ids": pad_sequence([r["input_ids"] for r in rows], batch_first=True)
        }
        return inputs, pad_sequence(at, batch_first=True)

    def begin(self, model: Any, rows: Sequence[Row]) -> tuple[PreTrainedModel, dict[str, Any]]:
        read = padded([row["input_ids"] for row in rows], side="left")
        decoder = {f"decoder_{name}": tensor for name, tensor in read.items()}
        return model, on_device(self._heard(model, rows) | decoder, model)

    def _heard(self, model: Any, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        for row in rows:
            if len(row.get("frames", ())) != 1:
                count = len(row.get("frames", ()))
                raise ValueError(f"frames={count}: Whisper hears one sound a row")
        window = model.config.max_source_positions
        features = [log_mel(row["frames"][0], model.config, window) for row in rows]
        return {"input_features": torch.stack(features)}


def log_mel(wave: Any, config: Any, positions: int | None = None) -> torch.Tensor:
    """(mels, 2 * positions): log-mel features of a waveform, silence after its end.

    `positions` are the encoder's states, 50 a second; by default as many as the sound lasts.
    Raises `TooLong`.
    """
    samples = np.asarray(wave, dtype=np.float32).reshape(-1)
    needed = -(-len(samples) // SAMPLES)
    if needed > config.max_source_positions:
        longest = config.max_source_positions / FRAMES
        raise TooLong(
            f"{len(samples) / RATE:.1f} s of sound: {config.model_type} hears {longest:g} s; cut it"
        )
    length = (needed if positions is None else positions) * SAMPLES
    extractor = _extractor(config.num_mel_bins)
    features = extractor(
        samples, sampling_rate=RATE, padding="max_length", max_length=length, return_tensors="pt"
    )
    return features.input_features[0]


@lru_cache
def _extractor(mels: int) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=mels)


def states(encoder: Any, features: torch.Tensor) -> list[torch.Tensor]:
    """What an encoder makes of (sounds, mels, 2n) features, after its convolutions and each block.

    Each is (sounds, n, width), the last after the norm. `encoder(features)` insists on the whole
    window; n may be smaller here, which is as much faster.
    """
    hidden = functional.gelu(encoder.conv1(features))
    hidden = functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    found = [hidden]
    for layer in encoder.layers:
        found.append(layer(found[-1], None))
    return [*found[:-1], encoder.layer_norm(found[-1])]
