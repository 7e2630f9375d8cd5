"""Architectures: whatever is done with a tiny model of each is what plain transformers does.

Or it is refused, and the words of the refusal are asserted.
"""

from functools import cache

import peft
import pytest
import torch
import transformers
from lm_eval.api.instance import Instance
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from forgetting import (
    IA3,
    DoRA,
    FreezeAttention,
    FreezeFirst,
    FreezeLast,
    FreezeMLP,
    Full,
    LoRA,
    OnlyAttention,
    OnlyLast,
    OnlyMLP,
    Task,
    chapters,
    foundation,
)
from forgetting.engine import compute, training
from forgetting.models import agreement, packing
from forgetting.models.family import family_of
from forgetting.models.rows import continued, prompt_row
from forgetting.models.tiny import byte_tokenizer
from forgetting.objectives.cross_entropy import CrossEntropy
from forgetting.probes.evaluation import FamilyLM
from forgetting.tuning.attention_dropout import AttentionDropout

SHAPE = {"vocab_size": 259, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPE |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
LLAMA = SHAPE | {"intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 512}
GEMMA = LLAMA | {"head_dim": 8}
WINDOW = {"sliding_window": 8}  # shorter than what is read here
LAYERS = {"layer_types": ["sliding_attention", "full_attention"]}
NO_DROPOUT = {"attention_dropout": 0.0, "hidden_dropout": 0.0}
CONFIGS = {
    "llama": (transformers.LlamaConfig, LLAMA),
    "qwen2": (transformers.Qwen2Config, LLAMA | {"tie_word_embeddings": True}),
    "qwen3": (transformers.Qwen3Config, GEMMA),
    "gemma": (transformers.GemmaConfig, GEMMA),
    "gemma2": (transformers.Gemma2Config, GEMMA | WINDOW | LAYERS | {"query_pre_attn_scalar": 8}),
    "gemma3": (transformers.Gemma3TextConfig, GEMMA | WINDOW | LAYERS),
    "mistral": (transformers.MistralConfig, LLAMA | WINDOW),
    "gpt2": (
        transformers.GPT2Config,
        {"vocab_size": 259, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
        | {"bos_token_id": 1, "eos_token_id": 2}
        | dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    ),
    "opt": (
        transformers.OPTConfig,
        SHAPE
        | {"ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 512, "dropout": 0},
    ),
    "phi": (transformers.PhiConfig, LLAMA),
    "olmo2": (transformers.Olmo2Config, LLAMA),
    "granite": (
        transformers.GraniteConfig,
        LLAMA | {"logits_scaling": 8.0, "residual_multiplier": 0.3, "attention_multiplier": 0.2},
    ),
    "cohere": (transformers.CohereConfig, LLAMA | {"logit_scale": 0.0625}),
    "gpt_neox": (
        transformers.GPTNeoXConfig,
        SHAPE | NO_DROPOUT | {"intermediate_size": 64, "max_position_embeddings": 512},
    ),
    "falcon": (transformers.FalconConfig, SHAPE | NO_DROPOUT),
    "falcon alibi": (transformers.FalconConfig, SHAPE | NO_DROPOUT | {"alibi": True}),
    "bloom": (transformers.BloomConfig, SHAPE | NO_DROPOUT),
    "lfm2": (transformers.Lfm2Config, LLAMA | {"layer_types": ["conv", "full_attention"]}),
    "mamba": (transformers.MambaConfig, SHAPE | {"state_size": 4}),
}
FAST = {"llama", "qwen2", "qwen3", "gpt2"}
CAPPED = {"gemma2", "granite", "cohere"}  # or scaled: the head's output is not the logits


@pytest.fixture(scope="module", params=CONFIGS)
def name(request):
    return request.param


@cache
def tokenizer():
    return byte_tokenizer(begins=False, ends=False)


@cache
def network(name):
    """Random weights, large enough that every token before one matters to it."""
    kind, fields = CONFIGS[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(kind(**fields)).float().eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.3)
    model.tie_weights()
    return model.requires_grad_(True)


def copied(name):
    model = AutoModelForCausalLM.from_config(network(name).config).float().eval()
    model.load_state_dict(network(name).state_dict())
    return model


def ids(text):
    return tokenizer()(text, add_special_tokens=False).input_ids


ASKED = [
    ("Which of these two birds sings at night?\nAnswer:", " the owl"),
    ("Which of these two birds sings at night?\nAnswer:", " a nightingale"),
    ("Is it day?\nAnswer:", " maybe so"),
]


@torch.no_grad()
def test_log_likelihoods(name):
    model = network(name)
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(ASKED)]
    ours = [nats for nats, _ in FamilyLM(model, tokenizer()).loglikelihood(requests)]
    for our, (context, answer) in zip(ours, ASKED, strict=True):
        log_p = model(torch.tensor([ids(context + answer)])).logits[0].log_softmax(-1)
        read = log_p[len(ids(context)) - 1 : -1]
        plain = read.gather(1, torch.tensor(ids(answer))[:, None]).sum().item()
        assert our == pytest.approx(plain, rel=1e-5)


def test_loss_and_gradients(name):
    rows = [continued(prompt_row(ids(context), None), ids(answer)) for context, answer in ASKED]
    ours, plain = copied(name), copied(name)
    family = family_of(ours)
    with family.reader(ours, keep=False, alone=True) as reader:
        loss = training.loss_of(ours, reader, CrossEntropy(), training.batch_of(rows, reader), None)
        loss.backward()
    each = [
        cross_entropy(
            plain(row["input_ids"][None]).logits[0, :-1], row["labels"][1:], reduction="sum"
        )
        for row in rows
    ]
    expected = sum(each) / sum(len(ids(answer)) for _, answer in ASKED)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    size = max(w.grad.abs().max().item() for w in plain.parameters() if w.grad is not None)
    for (n, our), (_, their) in zip(ours.named_parameters(), plain.named_parameters(), strict=True):
        assert (our.grad is None) == (their.grad is None), n
        if our.grad is not None:
            # That of a key's bias is 0, but for rounding: attention does not see it.
            least = max(their.grad.abs().max().item(), 1e-2 * size)
            torch.testing.assert_close(our.grad, their.grad, rtol=0.0, atol=1e-5 * least, msg=n)


def test_greedy_answers(name):
    """Several prompts of unlike length side by side, and each alone by `model.generate`."""
    model, prompts = network(name), [ids(context) for context, _ in ASKED] + [ids("hi")]
    answers = family_of(model).answer(model, tokenizer(), prompts, max_new_tokens=12, batch=3)
    for prompt, answer in zip(prompts, answers, strict=True):
        out = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)
        assert [*answer.ids, *[2] * answer.ended] == out[0, len(prompt) :].tolist()


# What each calls its blocks' parts, where it is not self_attn and mlp.
ATTENTION = {"gpt2": "attn", "gpt_neox": "attention"}
ATTENTION |= dict.fromkeys(("falcon", "falcon alibi", "bloom"), "self_attention")
MLP = {"opt": ("fc1", "fc2"), "lfm2": ("feed_forward",)}


def by_hand(name, tuning):
    """Names of the parameters that a tuning of two blocks' parts names."""

    def is_part(name, parts):
        return bool(set(name.split(".")) & set(parts))

    def block(name):
        return next((int(piece) for piece in name.split(".") if piece.isdigit()), None)

    attention, mlp = (ATTENTION.get(name, "self_attn"),), MLP.get(name, ("mlp",))
    ends = ("norm", "final_layernorm", "final_layer_norm", "final_norm", "norm_f", "ln_f")
    ends += ("lm_head", "embed_out", "embedding_norm")
    rules = {
        Full(): lambda n: True,
        FreezeFirst(1): lambda n: block(n) != 0,
        FreezeLast(1): lambda n: block(n) != 1,
        OnlyLast(1): lambda n: block(n) == 1 or (block(n) is None and is_part(n, ends)),
        FreezeAttention(): lambda n: not is_part(n, attention),
        OnlyAttention(): lambda n: is_part(n, attention),
        FreezeMLP(): lambda n: not is_part(n, mlp),
        OnlyMLP(): lambda n: is_part(n, mlp),
    }
    return {n for n, _ in network(name).named_parameters() if rules[tuning](n)}


OF_PARTS = [FreezeFirst(1), FreezeLast(1), OnlyLast(1)]
OF_PARTS += [FreezeAttention(), OnlyAttention(), FreezeMLP(), OnlyMLP()]
# Of these a block is more than attention and an MLP: its parts have no name here.
OTHER_PARTS = {"lfm2": "model.layers.0.conv.conv.weight", "mamba": "backbone.layers.0.mixer.A_log"}


def moving(tuning, model):
    return {n for n, p in tuning.apply(model).named_parameters() if p.requires_grad}


@pytest.mark.parametrize("tuning", [Full(), *OF_PARTS], ids=repr)
def test_a_tuning_moves_the_parts_that_it_names(name, tuning):
    model = copied(name)
    if name in OTHER_PARTS and tuning != Full():
        with pytest.raises(ValueError, match=f"parameter {OTHER_PARTS[name]!r}: of no kind"):
            tuning.apply(model)
        return
    assert moving(tuning, model) == by_hand(name, tuning)


ADAPTERS = {
    LoRA(): peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj"]),
    DoRA(): peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj"], use_dora=True),
    IA3(): peft.IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
}


@pytest.mark.parametrize("tuning", ADAPTERS, ids=repr)
def test_an_adapter_stands_beside_all_that_it_names_or_nowhere(name, tuning):
    asked = set(ADAPTERS[tuning].target_modules)
    lacking = asked - {n.rpartition(".")[2] for n, _ in network(name).named_modules()}
    if lacking:
        with pytest.raises(ValueError, match=f"modules='{min(lacking)}': .* has none, and"):
            tuning.apply(copied(name))
        return
    theirs = peft.get_peft_model(copied(name), ADAPTERS[tuning])
    names = {n for n, p in theirs.named_parameters() if p.requires_grad}
    assert moving(tuning, copied(name)) == names
    assert {module for module in asked for n in names if f".{module}." in n} == asked


@pytest.mark.parametrize("modules", [("k_proj", "v_proj", "fc2")], ids=str)
def test_an_adapter_may_be_told_other_names(modules):
    for name in ("phi", "opt"):
        names = moving(IA3(modules=modules, feedforward=modules[-1:]), copied(name))
        assert {m: sum(f".{m}." in n for n in names) for m in modules} == dict.fromkeys(modules, 2)


# Those whose attention drops nothing, or calls it otherwise.
WITHOUT_DROPOUT = {"gpt2", "opt", "falcon", "falcon alibi", "bloom", "mamba", "lfm2"}


@torch.no_grad()
def test_attention_dropout_drops_or_is_refused(name):
    model, row = copied(name), torch.tensor([ids("a token or two")])
    if name in WITHOUT_DROPOUT:
        with pytest.raises(ValueError, match="has no attention_dropout to set"):
            AttentionDropout().apply(model)
        return
    tuned = AttentionDropout(p=0.5).apply(model).train()
    assert not torch.allclose(tuned(row).logits, tuned(row).logits)
    torch.testing.assert_close(tuned.eval()(row).logits, network(name)(row).logits)


def test_a_linear_merge(own_home, tmp_path, name):
    """Trained a step, stored, laid over the weights, halved; a tied head stays tied."""
    network(name).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    base = foundation(str(tmp_path))
    settings = {"style": "sft", "examples": 2, "batch": 2, "length": 256, "learning_rate": 1e-2}
    trained = base.train(Task("mini_sentiment"), **settings)
    before, after = (dict(compute.model(one)[0].named_parameters()) for one in (base, trained))
    half, _ = compute.model(base + 0.5 * (trained - base))
    plain = copied(name)
    plain.load_state_dict({n: w.lerp(after[n], 0.5) for n, w in before.items()}, strict=False)
    plain.tie_weights()
    moved = [n for n in before if not torch.equal(before[n], after[n])]
    assert len(moved) > len(before) / 2
    with torch.no_grad():
        row = torch.tensor([ids(ASKED[0][0])])
        torch.testing.assert_close(half(row).logits, plain(row).logits, rtol=0.0, atol=1e-4)
        assert not torch.allclose(half(row).logits, network(name)(row).logits, atol=1e-1)


# Blocks and the norm after them, by name, where Llama's reading could be tried on them.
LAYOUTS = dict.fromkeys(sorted(CONFIGS.keys() - {"gemma2", "opt", "lfm2", "mamba"}), packing.LLAMA)
LAYOUTS |= dict.fromkeys(("gpt2", "falcon", "falcon alibi", "bloom"), packing.GPT2)
LAYOUTS |= {"phi": ("layers", "final_layernorm"), "gpt_neox": ("layers", "final_layer_norm")}
ALIKE = FAST | {"gemma", "phi", "olmo2", "gpt_neox"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_fast_path_that_gives_other_numbers_is_not_taken(name, monkeypatch):
    """Though it believes that it knows them all. Some it could read: nobody needs it yet."""
    model = network(name)
    monkeypatch.setattr(packing, "readable", lambda model: True)
    monkeypatch.setitem(packing.KNOWN, model.config.model_type, LAYOUTS[name])
    monkeypatch.setattr(agreement, "_known", {})
    assert agreement.fast(model) == (name in ALIKE)


def test_logits_that_are_more_than_the_head_says_are_told_apart(name, monkeypatch):
    """Gemma 2 caps, Granite divides, Cohere multiplies them; OPT passes by its base model."""
    monkeypatch.setattr(packing, "readable", lambda model: False)
    monkeypatch.setattr(agreement, "_known", {})
    assert agreement.has_plain_head(network(name)) == (name not in CAPPED | {"opt"})


class Unmasked(transformers.MistralForCausalLM):
    """Reads padding as if it were text, as models without a mask do."""

    def forward(self, input_ids, attention_mask=None, position_ids=None, **more):
        return super().forward(input_ids, **more)


def test_prompts_that_cannot_be_padded_are_answered_one_by_one(monkeypatch):
    monkeypatch.setattr(agreement, "_known", {})
    model = Unmasked(network("mistral").config).eval()
    model.load_state_dict(network("mistral").state_dict())
    assert not agreement.side_by_side(model)
    prompts = [ids(context) for context, _ in ASKED]
    together = family_of(model).answer(model, tokenizer(), prompts, max_new_tokens=8, batch=3)
    plain = network("mistral")
    alone = family_of(plain).answer(plain, tokenizer(), prompts, max_new_tokens=8, batch=1)
    assert [answer.ids for answer in together] == [answer.ids for answer in alone]


# -- models that the book names -----------------------------------------------------------------


def test_paper_tiers_name_kinds_of_model_that_are_tried_here():
    """By a hub's name, so that no reader is told of a model that is nowhere."""
    kinds = {"openai-community/gpt2": "gpt2", "google/gemma-2-2b-it": "gemma2"}
    llamas = ("Llama-2-7b-hf", "Llama-2-7b-chat-hf", "Llama-3.1-8B-Instruct")
    llamas += ("Meta-Llama-3-8B-Instruct",)
    kinds |= {f"meta-llama/{llama}": "llama" for llama in llamas}
    named = {chapters.experiment(chapter).budgets["paper"].model for chapter in chapters.names()}
    assert named - {"smollm2-135m"} == kinds.keys() and set(kinds.values()) <= CONFIGS.keys()


def test_gpt2_as_the_hub_has_it(own_home, tmp_path):
    """Its tensors lack a prefix, and masks lie among them; its configuration says n_layer."""
    network("gpt2").save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    tensors = {n.removeprefix("transformer."): p for n, p in network("gpt2").named_parameters()}
    masks = {f"h.{block}.attn.bias": torch.ones(1, 1, 512, 512).tril() for block in (0, 1)}
    plain = {n: p.detach().clone() for n, p in tensors.items()} | masks
    save_file(plain, tmp_path / "model.safetensors", metadata={"format": "pt"})
    base = foundation(str(tmp_path))
    assert base.layers == 2
    settings = {"style": "sft", "examples": 2, "batch": 2, "length": 256, "learning_rate": 1e-3}
    trained = base.train(Task("mini_sentiment"), **settings)
    before, after, half = (compute.state(c) for c in (base, trained, base + 0.5 * (trained - base)))
    assert before.keys() == after.keys() == dict(network("gpt2").named_parameters()).keys()
    for n, weight in half.items():
        torch.testing.assert_close(weight, before[n].lerp(after[n], 0.5))
    compute.model(trained)
