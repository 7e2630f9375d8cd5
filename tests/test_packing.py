"""Packed rows: the numbers of rows read alone, and frozen blocks that are read once."""

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from forgetting import FreezeFirst, Full, LoRA, OnlyLast
from forgetting.models import packing
from forgetting.models.packing import Reader, attention_by_row, readable

SHAPE = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
GPT2 = {"vocab_size": 61, "n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 64}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}
CONFIGS = [
    LlamaConfig(**SHAPE, tie_word_embeddings=True),
    LlamaConfig(**SHAPE, tie_word_embeddings=False),
    Qwen2Config(**SHAPE),
    Qwen3Config(**SHAPE),
    GPT2Config(**GPT2, **NO_DROPOUT, **ENDS),
]
LENGTHS = [5, 1, 9, 2]


def states(reader, parts):
    """What a reader makes of rows of these ids."""
    packed = [{"input_ids": ids, "labels": ids} for ids in parts]
    return reader.states(None, reader.collate(packed)[0])


def made(config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()


def rows():
    torch.manual_seed(1)
    return [torch.randint(0, 61, (length,)) for length in LENGTHS]


def alone(model):
    """Hidden states of each row in a forward pass of its own."""
    return torch.cat([model.base_model(row[None]).last_hidden_state[0] for row in rows()])


def every_config(test):
    return pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)(test)


@every_config
def test_packed_rows_are_read_as_if_alone(config):
    model = made(config)
    expected = alone(model)
    assert readable(model)
    with attention_by_row(model):
        read = states(Reader(model, keep=False), rows())
    torch.testing.assert_close(read, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(alone(model), expected)  # and the model is as before


@every_config
@pytest.mark.parametrize("k", [1, 3])
def test_gradients_behind_frozen_blocks_are_those_of_the_whole_model(config, k):
    model = OnlyLast(k).apply(made(config))
    weights = torch.randn(sum(LENGTHS), 16)
    (alone(model) * weights).sum().backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    with attention_by_row(model):
        reader = Reader(model, keep=True)
        for _ in range(2):  # the second time from memory
            model.zero_grad()
            (states(reader, rows()) * weights).sum().backward()
    for name, p in model.named_parameters():
        if p.requires_grad and expected[name] is not None:
            torch.testing.assert_close(p.grad, expected[name], atol=1e-5, rtol=1e-4, msg=name)
        else:
            assert p.grad is None, name


def readings(model, block, steps, keep=True):
    """Tokens that pass the block in each of `steps` (lists of indices of `rows`)."""
    seen = []
    handle = model.base_model.layers[block].register_forward_hook(
        lambda module, given, out: seen.append(given[0].shape[1])
    )
    with attention_by_row(model):
        reader = Reader(model, keep=keep)
        for step in steps:
            states(reader, [rows()[index] for index in step])
    handle.remove()
    return seen


def test_frozen_blocks_read_each_row_once(tiny_model):
    model = OnlyLast(1).apply(tiny_model[0])
    steps = [[0, 1], [2, 3], [2, 0], [1, 3]]  # two epochs; rows have 5, 1, 9 and 2 tokens
    assert readings(model, 0, steps) == [6, 11]
    assert readings(model, 1, steps) == [6, 11, 14, 3]
    assert readings(model, 0, steps, keep=False) == [6, 11, 14, 3]
    assert readings(model, 0, [[0, 2, 0], [3, 2]]) == [14, 2]  # twice in a step: read once


def test_what_has_no_room_is_read_again(tiny_model, monkeypatch):
    model = OnlyLast(1).apply(tiny_model[0])
    monkeypatch.setattr(packing, "KEPT_BYTES", 12 * 32 * 4)  # 12 tokens of 32 floats
    assert readings(model, 0, [[0, 1], [2, 3], [2, 0], [1, 3]]) == [6, 11, 9, 2]


def test_blocks_behind_moving_embeddings_or_dropout_are_not_frozen(tiny_model):
    model, _ = tiny_model
    steps = [[0], [0]]
    assert readings(FreezeFirst(1).apply(model), 0, steps) == [5, 5]
    dropping = made(LlamaConfig(**SHAPE, attention_dropout=0.1))
    assert readings(OnlyLast(1).apply(dropping), 0, steps) == [5, 5]
    assert readings(OnlyLast(1).apply(made(CONFIGS[0])), 0, steps) == [5]


def test_frozen_weights_get_no_gradient_from_adapters(tiny_model):
    wrapped = LoRA(dropout=0.0).apply(tiny_model[0])
    with attention_by_row(wrapped):
        reader = Reader(wrapped, keep=True)
        states(reader, rows()).sum().backward()
    given = {name for name, p in wrapped.named_parameters() if p.grad is not None}
    assert given and all("lora_" in name for name in given)


def test_models_that_are_read_otherwise_are_told_apart(tiny_model):
    model, _ = tiny_model
    assert readable(Full().apply(model))
    assert readable(LoRA().apply(made(CONFIGS[0])))
    assert not readable(LoRA(modules=("lm_head",)).apply(made(CONFIGS[1])))
    assert not readable(made(MistralConfig(**SHAPE)))
    sliding = Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=4, max_window_layers=1)
    assert not readable(made(sliding))
    eager = AutoModelForCausalLM.from_config(CONFIGS[0], attn_implementation="eager")
    assert not readable(eager)
    model.lm_head = nn.Linear(32, 259, bias=True)
    assert not readable(model)
