"""Models of 2 layers with random weights, over bytes: every code path in milliseconds.

One of each kind that the tests take through the book. Their tokenizer is the same, but that
`tiny-gemma`'s puts a beginning-of-text token before every text, as its template does, and
`tiny-t5`'s an end after it, and none before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from forgetting.models.template import GIVEN

TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SEED = 20241
SHAPE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
SHAPE |= {"num_attention_heads": 4, "num_key_value_heads": 2}
ENDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}


def write(name: str, folder: Path) -> None:
    """The model and the tokenizer of that name, into an empty folder."""
    tokenizer = byte_tokenizer(begins=name == "tiny-gemma", ends=name == "tiny-t5")
    tokenizer.save_pretrained(folder)
    state = torch.random.get_rng_state()
    torch.manual_seed(SEED)
    model = MODELS[name](len(tokenizer))
    torch.random.set_rng_state(state)
    model.config.save_pretrained(folder)
    tensors = {name: p.detach().clone() for name, p in model.named_parameters()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def byte_tokenizer(*, begins: bool, ends: bool) -> PreTrainedTokenizerFast:
    """A token a byte and three special ones, of which some stand before or after every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([TEXT, START, END, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.add_special_tokens([TEXT, START, END])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if begins or ends:
        whole = [TEXT] * begins + ["$A"] + [END] * ends
        special = [(token, vocabulary[token]) for token in (TEXT, END)]
        backend.post_processor = processors.TemplateProcessing(whole, special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=TEXT if begins else None if ends else START,
        eos_token=END,
        pad_token=END,
        unk_token=TEXT,
    )
    tokenizer.chat_template = "{{ bos_token }}" * begins + GIVEN["chatml"].text
    return tokenizer


def _llama(vocabulary: int) -> Any:
    fields: dict[str, Any] = {"tie_word_embeddings": True, "max_position_embeddings": 4096}
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **fields, **SHAPE, **ENDS))


def _gpt2(vocabulary: int) -> Any:
    shape: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024}
    rates: dict[str, Any] = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, **shape, **rates, **ENDS))


def _gemma(vocabulary: int) -> Any:
    """A layer whose tokens see 16 before them, and one whose tokens see all."""
    fields: dict[str, Any] = {"head_dim": 8, "sliding_window": 16, "max_position_embeddings": 4096}
    fields |= {"layer_types": ["sliding_attention", "full_attention"]}
    fields |= SHAPE | ENDS | {"bos_token_id": 0}
    return Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=vocabulary, **fields))


def _t5(vocabulary: int) -> Any:
    shape: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    ends: dict[str, Any] = {"eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 0}
    return T5ForConditionalGeneration(
        T5Config(vocab_size=vocabulary, dropout_rate=0.0, **shape, **ends)
    )


def _frames(vocabulary: int) -> Any:
    from forgetting.models.frames import FramesConfig, FramesLM

    text = _llama(vocabulary).config.to_dict() | {"tie_word_embeddings": False}
    return FramesLM(FramesConfig(text_config=text, channels=4, stride=2, width=16))


def _whisper(vocabulary: int) -> Any:
    """Hears at most ten seconds."""
    shape: dict[str, Any] = {"d_model": 32, "num_mel_bins": 80, "max_source_positions": 500}
    for stack in ("encoder", "decoder"):
        shape |= {f"{stack}_layers": 2, f"{stack}_ffn_dim": 64, f"{stack}_attention_heads": 4}
    ends = ENDS | {"decoder_start_token_id": 1, "begin_suppress_tokens": [2, 35]}
    return WhisperForConditionalGeneration(
        WhisperConfig(vocab_size=vocabulary, max_target_positions=128, **shape, **ends)
    )


MODELS: dict[str, Callable[[int], Any]] = {
    "tiny": _llama,
    "tiny-gpt2": _gpt2,
    "tiny-gemma": _gemma,
    "tiny-t5": _t5,
    "tiny-frames": _frames,
    "tiny-whisper": _whisper,
}
