"""Tunings: which parameters move, by name, and how many weights that is."""

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import GPT2Config, LlamaConfig

from forgetting import (
    IA3,
    FreezeAttention,
    FreezeEmbeddings,
    FreezeFirst,
    FreezeLast,
    FreezeMLP,
    Full,
    LoRA,
    OnlyAttention,
    OnlyLast,
    OnlyMLP,
)
from forgetting.engine import compute
from forgetting.models.family import family_of
from forgetting.tuning import Tuning

SMOLLM2 = LlamaConfig(
    hidden_size=576,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    intermediate_size=1536,
    vocab_size=49152,
    tie_word_embeddings=True,
)

EMBEDDING = {"model.embed_tokens.weight"}
LAST_NORM = {"model.norm.weight"}


def attention(layer):
    return {f"model.layers.{layer}.self_attn.{p}_proj.weight" for p in "qkvo"}


def mlp(layer):
    return {f"model.layers.{layer}.mlp.{p}_proj.weight" for p in ("gate", "up", "down")}


def norms(layer):
    kinds = ("input_layernorm", "post_attention_layernorm")
    return {f"model.layers.{layer}.{kind}.weight" for kind in kinds}


def block(layer):
    return attention(layer) | mlp(layer) | norms(layer)


def moving(tuning, model):
    return {name for name, p in tuning.apply(model).named_parameters() if p.requires_grad}


def moving_count(tuning, config):
    """Weights that move, counted on a model without weights."""
    with torch.device("meta"):
        model = tuning.apply(family_of(config).outline(config))
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("tuning", "names"),
    [
        (Full(), EMBEDDING | block(0) | block(1) | LAST_NORM),
        (FreezeFirst(1), EMBEDDING | block(1) | LAST_NORM),
        (FreezeFirst(2), EMBEDDING | LAST_NORM),
        (FreezeLast(1), EMBEDDING | block(0) | LAST_NORM),
        (
            FreezeAttention(),
            EMBEDDING | mlp(0) | mlp(1) | norms(0) | norms(1) | LAST_NORM,
        ),
        (OnlyAttention(), attention(0) | attention(1)),
        (
            FreezeMLP(),
            EMBEDDING | attention(0) | attention(1) | norms(0) | norms(1) | LAST_NORM,
        ),
        (OnlyMLP(), mlp(0) | mlp(1)),
        (FreezeEmbeddings(), block(0) | block(1) | LAST_NORM),
        (OnlyLast(1), block(1) | LAST_NORM),
        (OnlyLast(2), block(0) | block(1) | LAST_NORM),
    ],
    ids=lambda value: repr(value) if isinstance(value, Tuning) else "",
)
def test_exactly_these_parameters_train(tuning, names, tiny_model):
    model, _ = tiny_model
    assert moving(tuning, model) == names


@pytest.fixture
def tiny_config(tiny):
    return compute.configuration(tiny)


def test_a_tuning_undoes_what_an_earlier_one_froze(tiny_model):
    model, _ = tiny_model
    OnlyMLP().apply(model)
    assert moving(Full(), model) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("tuning", "suffixes"),
    [
        (LoRA(), {f"self_attn.{p}_proj.lora_{m}" for p in "qv" for m in "AB"}),
        (LoRA(modules=("o_proj",)), {"self_attn.o_proj.lora_A", "self_attn.o_proj.lora_B"}),
        (
            IA3(),
            {"self_attn.k_proj.ia3_l", "self_attn.v_proj.ia3_l", "mlp.down_proj.ia3_l"},
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, Tuning) else "",
)
def test_an_adapter_trains_its_own_parameters_alone(tuning, suffixes, tiny_model):
    model, _ = tiny_model
    names = {name.partition(".layers.")[2].replace(".weight", "") for name in moving(tuning, model)}
    names = {name.removesuffix(".default") for name in names}
    assert names == {f"{layer}.{suffix}" for layer in (0, 1) for suffix in suffixes}


def test_counts_of_tiny_by_hand(tiny_config):
    """32 wide, 64 inside the MLP, 4 heads of 8 with 2 for keys and values, 259 tokens, 2 layers."""
    embedding, att, inner, norm = 259 * 32, 2 * 32 * 32 + 2 * 16 * 32, 3 * 32 * 64, 2 * 32
    assert (embedding, att, inner, norm) == (8288, 3072, 6144, 64)
    by_hand = {
        Full(): 26880,
        FreezeFirst(1): 17600,
        FreezeFirst(2): 8320,
        FreezeLast(1): 17600,
        FreezeAttention(): 20736,
        OnlyAttention(): 6144,
        FreezeMLP(): 14592,
        OnlyMLP(): 12288,
        FreezeEmbeddings(): 26880 - 8288,
        OnlyLast(1): 3072 + 6144 + 64 + 32,
        LoRA(): 2 * 8 * ((32 + 32) + (32 + 16)),
        IA3(): 2 * (16 + 16 + 64),
    }
    assert {tuning: moving_count(tuning, tiny_config) for tuning in by_hand} == by_hand


def test_counts_of_smollm2_by_formula():
    d, layers, kv, inner, vocabulary = 576, 30, 3 * 64, 1536, 49152
    embedding, last_norm = vocabulary * d, d
    att, mlps, both_norms = 2 * d * d + 2 * d * kv, 3 * d * inner, 2 * d
    block = att + mlps + both_norms
    by_formula = {
        Full(): embedding + layers * block + last_norm,
        FreezeFirst(10): embedding + (layers - 10) * block + last_norm,
        FreezeLast(10): embedding + (layers - 10) * block + last_norm,
        FreezeAttention(): embedding + layers * (mlps + both_norms) + last_norm,
        OnlyAttention(): layers * att,
        FreezeMLP(): embedding + layers * (att + both_norms) + last_norm,
        OnlyMLP(): layers * mlps,
        FreezeEmbeddings(): layers * block + last_norm,
        LoRA(): layers * 8 * ((d + d) + (d + kv)),
        IA3(): layers * (kv + kv + inner),
    }
    assert by_formula[Full()] == 134_515_008  # what the model's card says
    assert {tuning: moving_count(tuning, SMOLLM2) for tuning in by_formula} == by_formula


@pytest.mark.parametrize(
    ("ours", "pefts"),
    [
        (LoRA(rank=4, modules=("q_proj", "down_proj")),
         LoraConfig(r=4, target_modules=["q_proj", "down_proj"])),
        (IA3(), IA3Config(target_modules=["k_proj", "v_proj", "down_proj"],
                          feedforward_modules=["down_proj"])),
    ],
    ids=["LoRA", "IA3"],
)  # fmt: skip
def test_peft_counts_the_same(ours, pefts, tiny_config):
    wrapped = get_peft_model(family_of(tiny_config).outline(tiny_config), pefts)
    assert moving_count(ours, tiny_config) == wrapped.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize("tuning", [FreezeFirst(3), FreezeLast(3)], ids=repr)
def test_more_layers_than_there_are_is_one_line(tuning, tiny_model):
    model, _ = tiny_model
    with pytest.raises(ValueError) as caught:
        tuning.apply(model)
    assert str(caught.value) == "k=3: the model has 2 layers; freeze at most that many"


@pytest.mark.parametrize("tuning", [FreezeFirst(1), FreezeAttention()], ids=repr)
def test_a_model_with_other_names_is_not_trained_in_full(tuning):
    """GPT-2 calls its blocks h.0, h.1, … and their attention attn: nothing would be frozen."""
    config = GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=50)
    assert moving_count(tuning, config) < moving_count(Full(), config)


def test_a_tuning_is_a_value():
    assert FreezeFirst(10) == FreezeFirst(k=10) != FreezeFirst(11)
    assert FreezeFirst(10).recipe() == {"kind": "FreezeFirst", "k": 10}
    assert FreezeFirst(10).recipe() != FreezeLast(10).recipe()
    assert len({LoRA(), LoRA(rank=8), LoRA(modules=["q_proj", "v_proj"])}) == 1
