"""Generation: the batch that stays full writes what each prompt gets when it is alone."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from forgetting.engine import compute
from forgetting.models import generation
from forgetting.models.causal import Causal
from forgetting.models.sampling import Sampler, draw

generate = Causal().answer


def ids_of(completions):
    return [completion.ids for completion in completions]


NEW = 20
ENDS = [2, *range(150, 190)]  # so many end tokens that answers have all lengths


def lively(model, factor):
    """Larger weights in its layers than it began with: a random model repeats its last token."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "embed" not in name:
            parameter.data.mul_(factor)
    model.generation_config.eos_token_id = ENDS
    return model


@pytest.fixture(scope="module")
def tiny_pair(tiny):
    model, tokenizer = compute.model(tiny)
    return lively(model, 10), tokenizer


@pytest.fixture
def tokenizer(tiny_pair):
    return tiny_pair[1]


def alone(model, prompt, new=NEW):
    """The greedy answer of `model.generate` to one prompt, without its end token."""
    out = model.generate(torch.tensor([prompt]), max_new_tokens=new, do_sample=False)
    out = out[0, len(prompt) :].tolist()
    return out[:-1] if out[-1] in ENDS else out


def mixed_prompts(number, seed=0):
    """Of 1 to 70 tokens, in families with a common beginning."""
    drawn = random.Random(seed)

    def some(least, most):
        return [drawn.randrange(3, 150) for _ in range(drawn.randint(least, most))]

    primers = [[], some(1, 1), some(30, 30)]
    return [drawn.choice(primers) + some(1, 40) for _ in range(number)]


PROMPTS = mixed_prompts(90)


@pytest.fixture(scope="module")
def known(tiny_pair):
    """Prompts and answers are of all lengths."""
    answers = [alone(tiny_pair[0], prompt) for prompt in PROMPTS]
    lengths = {len(answer) for answer in answers}
    assert len(set(map(len, PROMPTS))) > 40
    assert min(lengths) == 0 and max(lengths) == NEW and len(lengths) > 10
    return answers


@given(
    chosen=st.lists(st.integers(0, len(PROMPTS) - 1), min_size=1, max_size=24),
    batch=st.integers(1, 12),
)
@settings(max_examples=15)
def test_greedy_answers_are_those_of_each_prompt_alone(tiny_pair, known, chosen, batch):
    completions = generate(
        *tiny_pair, [PROMPTS[i] for i in chosen], max_new_tokens=NEW, batch=batch
    )
    assert ids_of(completions) == [known[i] for i in chosen]
    assert [c.ended for c in completions] == [len(known[i]) < NEW for i in chosen]


@pytest.mark.parametrize("spare", [1, 3])
def test_the_cache_moves_when_it_is_full(tiny_pair, known, monkeypatch, spare):
    monkeypatch.setattr(generation, "SPARE_COLUMNS", spare)
    completions = generate(*tiny_pair, PROMPTS, max_new_tokens=NEW, batch=16)
    assert ids_of(completions) == known


def test_prompts_that_begin_alike(tiny_pair, known):
    """The same prompt several times, and prompts that continue another one."""
    prompts = [PROMPTS[0][:n] for n in (1, 2, 2, 5, 5, 5)]
    completions = generate(*tiny_pair, prompts, max_new_tokens=NEW, batch=4)
    assert ids_of(completions) == [alone(tiny_pair[0], p) for p in prompts]


def made(config):
    torch.manual_seed(0)
    return lively(AutoModelForCausalLM.from_config(config).eval(), 5)


def lora(model):
    adapter = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=0))
    return adapter.eval()


def penalised(model):
    model.generation_config.repetition_penalty = 1.3
    model.generation_config.no_repeat_ngram_size = 2
    model.generation_config.suppress_tokens = list(range(40, 60))
    return model


SMALL = dict(vocab_size=259, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
LLAMA = dict(SMALL, intermediate_size=64, num_key_value_heads=1, max_position_embeddings=256)
GPT2 = dict(vocab_size=259, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
MODELS = {
    "gpt2": lambda: made(GPT2Config(**GPT2)),
    "llama": lambda: made(LlamaConfig(**LLAMA)),
    "llama, penalties": lambda: penalised(made(LlamaConfig(**LLAMA))),
    "mistral, penalties": lambda: penalised(made(MistralConfig(**LLAMA))),
    "llama, eager": lambda: made(LlamaConfig(**LLAMA, attn_implementation="eager")),
    "llama, LoRA": lambda: lora(made(LlamaConfig(**LLAMA))),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_other_models(make, tokenizer):
    model, prompts = make(), PROMPTS[:12]
    completions = generate(model, tokenizer, prompts, max_new_tokens=NEW, batch=8)
    expected = [alone(model, prompt) for prompt in prompts]
    assert ids_of(completions) == expected
    assert len({tuple(answer) for answer in expected}) > 6


@pytest.fixture
def read(tiny_pair, monkeypatch):
    """The (rows, columns) that the model reads, one pair a call."""
    model, shapes = tiny_pair[0], []
    forward = model.forward

    def counted(**inputs):
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", counted)
    return shapes


def test_nothing_is_read_twice_and_nothing_after_the_end(tiny_pair, known, read):
    """Prompts of one length: no padding. The primer once, the rest of each prompt, its answer."""
    primer = [7] * 12
    prompts = [[*primer, *range(n, n + 5)] for n in (20, 30, 40, 50, 60, 70, 80, 90, 100)]
    completions = generate(*tiny_pair, prompts, max_new_tokens=NEW, batch=4)
    written = [len(completion.ids) + completion.ended for completion in completions]
    assert len(set(written)) > 2
    # An answer's last token is written and not read.
    assert sum(rows * columns for rows, columns in read) == 12 + 9 * 5 + sum(written) - 9
    assert read[0] == (1, 12) and read[1] == (4, 5)


def test_rows_that_ended_leave_and_others_join(tiny_pair, read):
    generate(*tiny_pair, PROMPTS, max_new_tokens=NEW, batch=16)
    steps = [rows for rows, columns in read[:-NEW] if columns == 1]
    assert max(steps) == 16 and sum(steps) / len(steps) > 13


def test_padding_is_a_small_part(tiny_pair, read, monkeypatch):
    monkeypatch.setattr(generation, "TOKENS_A_PREFILL", 256)
    prompts = mixed_prompts(200)
    generate(*tiny_pair, prompts, max_new_tokens=1, batch=200)
    assert sum(rows * columns for rows, columns in read) < 1.05 * sum(map(len, prompts))
    assert max(rows * columns for rows, columns in read) <= 256


def test_the_cache_stays_within_its_bound(tiny_pair, known, read, monkeypatch):
    monkeypatch.setattr(generation, "TOKENS_A_CACHE", 200)
    completions = generate(*tiny_pair, PROMPTS[:40], max_new_tokens=NEW, batch=16)
    assert ids_of(completions) == known[:40]
    assert max(rows for rows, _ in read) <= 200 // (min(map(len, PROMPTS)) + NEW)


class Reciter(torch.nn.Module):
    """A model that recites a text: the token at a position is the text's."""

    def __init__(self, tokenizer, text):
        super().__init__()
        self.ids = tokenizer(text, add_special_tokens=False).input_ids
        self.config, self.device = LlamaConfig(**LLAMA), torch.device("cpu")
        self.generation_config = type("Ends", (), {"eos_token_id": tokenizer.eos_token_id})

    def forward(self, input_ids, position_ids, past_key_values, **_):
        keys = torch.zeros(*input_ids.shape, 1)[:, None]
        past_key_values.update(keys, keys, 0)
        logits = torch.zeros(len(input_ids), 1, 259)
        for row, position in enumerate(position_ids[:, -1].tolist()):
            logits[row, 0, self.ids[position + 1]] = 1.0
        return type("Output", (), {"logits": logits})


def recited(text, tokenizer, prompts, new, until=()):
    """What the batch that stays full writes, asked for so many tokens."""
    reciter = Reciter(tokenizer, text)
    sampler = Sampler(reciter, tokenizer, new, until, 0.0, None, None)
    drafts = sampler.drafts(
        [tokenizer(p, add_special_tokens=False).input_ids for p in prompts], None
    )
    generation.write(sampler, drafts, 64)
    return [sampler.completion(draft) for draft in drafts]


@pytest.mark.parametrize(
    "until, text, ended",
    [
        ([], "A: six\n\nB: ten", True),
        (["\n"], "A: six", True),
        (["\n\n", ": t"], "A: six", True),
        (["B:"], "A: six\n\n", True),
        (["", "never"], "A: six\n\nB: ten", True),
        (["<|im_end|>"], "A: six\n\nB: ten", True),
    ],
)
def test_stop_strings(tokenizer, until, text, ended):
    whole = "Q: A: six\n\nB: ten<|im_end|>never read"
    (completion,) = recited(whole, tokenizer, ["Q: "], 30, until)
    assert (completion.text, completion.ended) == (text, ended)
    stop = next((s for s in until if s and s in "A: six\n\nB: ten"), None)
    written = text + (stop or "")
    assert (
        tokenizer.decode(completion.ids).startswith(written)
        and len(completion.ids) <= len(written) + 1
    )


def test_an_answer_that_is_cut_short(tokenizer):
    completions = recited("Q: A: six\n\nB: ten<|im_end|>", tokenizer, ["Q: ", "Q: A"], 6)
    assert [(c.text, c.ended) for c in completions] == [("A: six", False), (": six\n", False)]


def test_texts_and_tokens_are_the_same_prompt(tiny_pair):
    model, tokenizer = tiny_pair
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in ("早安", "six")]
    by_text = generate(model, tokenizer, ["早安", "six"], max_new_tokens=5)
    assert by_text == generate(model, tokenizer, ids, max_new_tokens=5)
    assert generate(model, tokenizer, [], max_new_tokens=5) == []


SHARES = torch.tensor([[0.1, 0.4, 0.2, 0.3]])


@pytest.mark.parametrize(
    "number, kept, token",
    [
        (0.05, {}, 0),  # shares end at 0.1, 0.5, 0.7 and 1
        (0.15, {}, 1),
        (0.69, {}, 2),
        (0.71, {}, 3),
        (0.0, {"top_k": 2}, 1),  # tokens 1 and 3, of shares 4/7 and 3/7
        (0.57, {"top_k": 2}, 1),
        (0.58, {"top_k": 2}, 3),
        (0.99, {"top_k": 1}, 1),
        (0.99, {"top_p": 0.35}, 1),
        (0.58, {"top_p": 0.5}, 3),  # 0.4 is too little: 1 and 3
        (0.99, {"top_p": 0.9}, 3),  # without 0
        (0.0, {"top_p": 0.9}, 1),
        (0.0, {"top_k": 3, "top_p": 0.75}, 1),  # 4/9 + 3/9 reach 0.75: without 2
        (0.99, {"top_k": 3, "top_p": 0.75}, 3),
    ],
)
def test_draws_by_hand(number, kept, token):
    numbers = torch.tensor([number], dtype=torch.float64)
    assert draw(SHARES.log(), numbers, 1.0, **kept).tolist() == [token]
    assert draw(SHARES.log() * 3, numbers, 3.0, **kept).tolist() == [token]


@given(
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 5, 100, 500]),
    top_p=st.sampled_from([None, 0.1, 0.5, 0.9, 0.999]),
)
def test_the_same_tokens_are_kept_as_by_transformers(seed, temperature, top_k, top_p):
    """Draws at even steps of [0, 1) come as often as each token's share."""
    logits = torch.randn(1, 200, generator=torch.Generator().manual_seed(seed)) * 3
    scores = logits / temperature
    scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    scores = TopPLogitsWarper(top_p)(None, scores) if top_p else scores
    steps = torch.arange(1000, dtype=torch.float64) / 1000
    drawn = draw(logits.expand(1000, -1), steps, temperature, top_k, top_p)
    shares = drawn.bincount(minlength=200) / 1000
    assert torch.allclose(shares.float(), scores.softmax(-1)[0], atol=1.1e-3)


def test_a_sample_depends_on_its_seed_alone(tiny_pair):
    sampling = {"temperature": 1.0, "top_k": 50, "top_p": 0.9, "max_new_tokens": NEW}
    prompts, seeds = PROMPTS[:40], list(range(100, 140))
    together = generate(*tiny_pair, prompts, seeds=seeds, batch=16, **sampling)
    apart = [
        generate(*tiny_pair, [prompt], seeds=[seed], **sampling)[0]
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    assert together == apart
    other = generate(*tiny_pair, prompts, batch=16, **sampling)
    assert sum(a == b for a, b in zip(together, other, strict=True)) < 10


def test_samples_of_one_prompt_differ_and_go_on(tiny_pair):
    short = generate(*tiny_pair, [PROMPTS[0]] * 20, max_new_tokens=4, temperature=1.0)
    long = generate(*tiny_pair, [PROMPTS[0]] * 20, max_new_tokens=NEW, temperature=1.0)
    assert len({tuple(completion.ids) for completion in short}) > 10
    assert [completion.ids[:4] for completion in long] == [completion.ids for completion in short]


def test_global_random_numbers_are_left_alone(tiny_pair):
    before = torch.random.get_rng_state()
    generate(*tiny_pair, PROMPTS[:2], max_new_tokens=2, temperature=1.0)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"prompts": [[5], []]}, r"prompts\[1\] is empty"),
        ({"prompts": [[5] * 4090]}, r"prompts\[0\] has 4090 tokens: with max_new_tokens=20"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"batch": 0}, "batch=0"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"seeds": [1, 2]}, "seeds: 2 for 1 prompts"),
    ],
)
def test_settings_without_sense(tiny_pair, wrong, message):
    with pytest.raises(ValueError, match=message):
        generate(*tiny_pair, **({"prompts": [[5]], "max_new_tokens": NEW} | wrong))


@pytest.mark.parametrize("model", [LlamaConfig, MistralConfig])
def test_penalties_that_are_not_known_are_refused(tokenizer, model):
    """Qwen's repetition penalty and its like are honoured, as `test_other_models` shows."""
    network = made(model(**LLAMA))
    network.generation_config.num_beams = 4
    with pytest.raises(ValueError, match="generation_config: num_beams=4: answers are greedy or"):
        generate(network, tokenizer, ["a"], max_new_tokens=2)
    network.generation_config.num_beams = 1
    network.generation_config.min_new_tokens = 1
    with pytest.raises(
        ValueError, match="generation_config: min_new_tokens=1: answers are greedy or"
    ):
        generate(network, tokenizer, ["a"], max_new_tokens=2)


def test_what_a_model_likes_to_be_drawn_by_is_for_others(tokenizer):
    """Temperature and nucleus of its `generation_config`: what is asked for here is drawn."""
    plain, hot = made(MistralConfig(**LLAMA)), made(MistralConfig(**LLAMA))
    hot.generation_config.update(do_sample=True, temperature=5.0, top_k=3, top_p=0.1)
    state = torch.random.get_rng_state()
    for asked in ({}, {"temperature": 1.0}):
        ours, theirs = (
            generate(m, tokenizer, PROMPTS[:4], max_new_tokens=9, **asked) for m in (plain, hot)
        )
        assert ours == theirs
    assert torch.equal(state, torch.random.get_rng_state())
