"""What a model's `generation_config` asks of answers beside their likelihood: done, or refused."""

from __future__ import annotations

from functools import partial
from typing import Any

from transformers import (
    LogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

HONOURED = {
    "repetition_penalty": RepetitionPenaltyLogitsProcessor,
    "no_repeat_ngram_size": NoRepeatNGramLogitsProcessor,
    "suppress_tokens": SuppressTokensLogitsProcessor,
}
# Of a decoder whose prompt counts as one token: where it begins is known.
DECODERS = {"begin_suppress_tokens": partial(SuppressTokensAtBeginLogitsProcessor, begin_index=1)}
REFUSED = (
    "num_beams",
    "penalty_alpha",
    "dola_layers",
    "guidance_scale",
    "encoder_repetition_penalty",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "sequence_bias",
    "min_length",
    "min_new_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "begin_suppress_tokens",
    "exponential_decay_length_penalty",
    "watermarking_config",
    "stop_strings",
)
FACTORS = ("num_beams", "guidance_scale", "repetition_penalty", "encoder_repetition_penalty")


def of(config: Any) -> list[LogitsProcessor]:
    """What makes its penalties, in the order of `model.generate`. Raises `ValueError`."""
    decoder = getattr(config, "decoder_start_token_id", None) is not None
    honoured: dict[str, Any] = HONOURED | (DECODERS if decoder else {})
    asked = {name: getattr(config, name, None) for name in (*HONOURED, *REFUSED)}
    asked = {n: value for n, value in asked.items() if value and not (n in FACTORS and value == 1)}
    for name in REFUSED:
        if name in asked.keys() - honoured:
            raise ValueError(
                f"generation_config: {name}={asked[name]!r}: answers are greedy or drawn, with no "
                f"more than {', '.join(HONOURED)}; take it out of generation_config.json"
            )
    return [kind(asked[name]) for name, kind in honoured.items() if name in asked]
