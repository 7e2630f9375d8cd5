"""Families: every kind of model goes through the same door, and gives its own numbers there."""

import math
from collections import Counter
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from test_evaluation import assert_item_for_item, run
from transformers import GPT2Config, PreTrainedConfig

from forgetting import FreezeFirst, Full, LoRA, Settings, Task, evaluate, foundation, tasks
from forgetting.engine import compute, training
from forgetting.experiments import resources
from forgetting.models import foundations, packaged, template
from forgetting.models.causal import Causal
from forgetting.models.family import Family, UnknownFamily, family_of
from forgetting.models.parts import KINDS, Part
from forgetting.models.rows import IGNORED, continued, example_row, pretrain_rows, prompt_row
from forgetting.probes.evaluation import FamilyLM
from forgetting.probes.measures import Drift
from forgetting.tasks import Example, Turn

FAST = ["tiny", "tiny-gpt2"]
NAMES = [name for name in packaged.TINY if name != "tiny-whisper"]  # it has a module of its own
HEARING = "tiny-frames"
# How many parameters are of each kind, by hand: two blocks, a norm after them, embeddings.
PARTS = {
    "tiny": {"embedding": 1, "attention": 2 * 4, "mlp": 2 * 3, "norm": 2 * 2 + 1},
    "tiny-gpt2": {"embedding": 2, "attention": 2 * 4, "mlp": 2 * 4, "norm": 2 * (2 * 2 + 1)},
    "tiny-gemma": {"embedding": 1, "attention": 2 * 6, "mlp": 2 * 3, "norm": 2 * 4 + 1},
    "tiny-t5": {"embedding": 1, "attention": 2 * 8 + 1, "mlp": 2 * 2, "norm": 2 * 3 + 1},
    "tiny-frames": {"embedding": 1, "attention": 2 * 4, "mlp": 2 * 3, "norm": 2 * 2 + 1},
}
PARTS["tiny-t5"] |= {"encoder": 2 * (4 + 2 + 2) + 2}
PARTS["tiny-frames"] |= {"encoder": 2, "connector": 2, "head": 1}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@cache
def load(name):
    return compute.model(foundation(name))


@pytest.fixture
def model(session_home, name):
    """Its model, one for all tests that do not train it, and its tokenizer."""
    return load(name)


def recording(frames, seed=0):
    return torch.randn(frames, 4, generator=torch.Generator().manual_seed(seed)).numpy()


def examples(name):
    """Two answers to one question, one to another; of a model that hears, after recordings."""
    if name != HEARING:
        return [Example.of("hi", "okay"), Example.of("hi", "no"), Example.of("how are you?", "me?")]
    one = Turn("user", "<audio>hear", (recording(5),))
    two = Turn("user", "<audio> and <audio>", (recording(4, 1), recording(1, 2)))
    return [Example((one,), "okay"), Example((one,), "no"), Example((two,), "me?")]


def rows_of(name, tokenizer, length=99):
    return [example_row(example, tokenizer, length) for example in examples(name)]


def test_every_parameter_belongs_to_a_part_and_blocks_are_numbered(name, model):
    parts = [family_of(model[0]).part(n) for n, _ in model[0].named_parameters()]
    assert Counter(part.kind for part in parts) == PARTS[name]
    assert {part.kind for part in parts} <= set(KINDS)
    inner = {"attention", "mlp", "norm"}
    assert {part for part in parts if part.block is not None} == {
        Part(kind, block) for kind in inner for block in (0, 1)
    }
    assert foundation(name).layers == family_of(model[0]).layers(model[0].config) == 2
    assert foundations.parameter_count(foundation(name).foundation.folder) == packaged.TINY[name]


def test_a_name_of_no_kind_is_told():
    with pytest.raises(ValueError, match=r"parameter 'model.layers.0.mixer': of no kind"):
        Causal().part("model.layers.0.mixer")


def test_a_kind_of_model_is_one_class():
    class Toy(Causal):
        """As a file of its own would have it: special families come before general ones."""

        def knows(self, config):
            return config.model_type == "llama" and config.vocab_size == 7

    config = SimpleNamespace(model_type="llama", vocab_size=7)
    assert type(family_of(config)) is Toy
    assert type(family_of(SimpleNamespace(model_type="llama", vocab_size=8))) is Causal


def test_a_kind_that_nobody_knows_is_named():
    class Odd(PreTrainedConfig):
        model_type = "odd"

    with pytest.raises(UnknownFamily, match="model_type='odd': no family knows it"):
        family_of(Odd())


def test_other_state_is_laid_over_the_weights_and_may_not_have_more(name, model):
    folder = foundation(name).foundation.folder
    first, weight = next(iter(model[0].named_parameters()))
    loaded = family_of(folder).load(folder, {first: torch.zeros_like(weight)})
    assert not dict(loaded.named_parameters())[first].any()
    with pytest.raises(ValueError, match=r"state has tensors that .* lacks: \['other'\]"):
        family_of(folder).load(folder, {"other": torch.zeros(1)})


def logits_by_hand(name, model, row, written):
    """Logits that predict `written` after what a row reads: one forward pass, nothing padded."""
    read = row["input_ids"][: len(row["input_ids"]) - len(written)]
    if name == "tiny-t5":
        labels = torch.tensor([written])
        encoded = torch.cat([read, torch.tensor([model.config.eos_token_id])])
        return model(input_ids=encoded[None], labels=labels).logits[0]
    if name != HEARING:
        return model(row["input_ids"][None]).logits[0, len(read) - 1 : -1]
    embed, pieces, last = model.language_model.get_input_embeddings(), [], 0
    for frames, place in zip(row["frames"], row["places"], strict=True):
        pieces.append(embed(row["input_ids"][last:place]))
        for start in range(0, len(frames), 2):
            both = torch.cat([frames[start : start + 2], torch.zeros(2, 4)])[:2]
            pieces.append(model.connector(model.encoder(both.flatten()))[None])
        last = place
    pieces.append(embed(row["input_ids"][last:]))
    logits = model.language_model(inputs_embeds=torch.cat(pieces)[None]).logits[0]
    return logits[-len(written) - 1 : -1]


@torch.no_grad()
def test_log_likelihoods_are_those_of_a_brute_force_forward_pass(name, model):
    network, tokenizer = model
    rows = rows_of(name, tokenizer)
    scored = family_of(network).log_likelihoods(network, rows)
    for row, tokens in zip(rows, scored, strict=True):
        written = row["labels"][row["labels"] != IGNORED].tolist()
        log_p = logits_by_hand(name, network, row, written).log_softmax(-1)
        expected = log_p[range(len(written)), written]
        torch.testing.assert_close(tokens.log_likelihoods, expected, atol=2e-6, rtol=1e-6)
        assert tokens.likeliest.tolist() == (log_p.argmax(-1) == torch.tensor(written)).tolist()


@torch.no_grad()
def test_answers_are_greedy_step_by_step(name, model):
    """The likeliest token of a forward pass, then another pass; prompts of several lengths."""
    network, tokenizer = model
    prompts = [_prompt(row) for row in rows_of(name, tokenizer)]
    answers = family_of(network).answer(network, tokenizer, prompts, max_new_tokens=6, batch=2)
    for prompt, answer in zip(prompts, answers, strict=True):
        written, nats = [], 0.0
        for _ in range(6):
            row = continued(prompt, [*written, 0])
            log_p = logits_by_hand(name, network, row, [*written, 0])[-1].log_softmax(-1)
            token = int(log_p.argmax())
            nats -= log_p[token].item()
            if token == tokenizer.eos_token_id:
                break
            written.append(token)
        assert answer.ids == written and answer.ended == (len(written) < 6)
        assert answer.nats == pytest.approx(nats, abs=1e-3)


def _prompt(row):
    """What a row reads, alone."""
    kept = row["labels"] == IGNORED
    return row | {"input_ids": row["input_ids"][kept], "labels": row["labels"][kept]}


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("decoding", [{}, {"temperature": 1.0, "top_k": 50}, {"until": ["1"]}])
def test_the_batch_that_stays_full_writes_what_the_plain_path_writes(name, model, decoding):
    prompts = ["hi", "how are you?", "a", "hi there"] * 3
    ours = Causal().answer(*model, prompts, max_new_tokens=8, batch=3, **decoding)
    plain = Family.answer(Causal(), *model, prompts, max_new_tokens=8, batch=5, **decoding)
    assert ours == plain and len(set(map(str, ours))) > 3


def test_a_sample_depends_on_its_seed_alone_in_every_family(name, model):
    network, tokenizer = model
    family, drawn = family_of(network), {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 5}
    prompts = [_prompt(row) for row in rows_of(name, tokenizer)]
    together = family.answer(network, tokenizer, prompts, seeds=[7, 8, 9], **drawn)
    alone = family.answer(network, tokenizer, prompts[1:2], seeds=[8], **drawn)
    assert alone == together[1:2] and together[0].ids != together[1].ids


@pytest.mark.parametrize(
    ("name", "tune"),
    [
        *((name, Full()) for name in NAMES),
        *((name, FreezeFirst(1)) for name in ("tiny-gemma", HEARING)),
        ("tiny-gpt2", LoRA(modules=("c_attn",))),
        (HEARING, LoRA()),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_step_moves_what_the_tuning_names(own_home, name, tune):
    """Likelihoods of another task, the distance from before and answers are asked for as well."""
    base = foundation(name)
    settings = {"style": "sft", "examples": 2, "batch": 2, "length": 256, "learning_rate": 1e-2}
    trained = base.train(Task("mini_sentiment"), tune=tune, **settings)
    before, after = compute.state(base), compute.state(trained)
    assert before.keys() == after.keys()
    part = family_of(base.foundation.folder).part
    moved = {part(n) for n in before if not torch.equal(before[n], after[n])}
    if isinstance(tune, LoRA):
        assert {p.kind for p in moved} == {"attention"} and {p.block for p in moved} == {0, 1}
    else:
        heard = {Part("encoder", None), Part("connector", None)} if name == HEARING else set()
        assert moved == {part(n) for n in before} - heard - (
            {Part(kind, 0) for kind in KINDS} if isinstance(tune, FreezeFirst) else set()
        )
    asked = [Task("chat", 2), Drift(Task("chat", 2)), Task("formats", 2)]
    before, after = (evaluate(one, asked) for one in (base, trained))
    assert before["chat"].mean("nats") != after["chat"].mean("nats")
    assert before["chat:drift"].mean("forward_kl") == 0 < after["chat:drift"].mean("forward_kl")
    assert before["formats"].n == after["formats"].n == 2


def test_a_row_within_a_document_begins_as_a_text_does(name, model):
    """Gemma without its first token is at a loss; what rows hold beside it is the texts."""
    _, tokenizer = model
    task, settings = Task("zh_everyday"), Settings(tokens=256, length=64)
    rows = [row["input_ids"].tolist() for row in pretrain_rows(task, tokenizer, settings, 0)]
    first = template.begin(tokenizer)
    assert (len(first) == 1) is (name == "tiny-gemma") and [*map(len, rows)] == [64] * 4
    assert all(row[: len(first)] == first for row in rows)
    stream = []
    for text in task.training_texts(0):
        stream += [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    joined = [token for row in rows for token in row if token not in first]
    assert joined == stream[: len(joined)]


def test_what_is_heard_is_learned(tiny, session_home):
    """Two recordings, two answers, no other difference."""
    network, tokenizer = compute.model(foundation(HEARING))
    pairs = [
        Example((Turn("user", "<audio>which?", (recording(6, seed),)),), answer)
        for seed, answer in ((1, "a"), (2, "z"))
    ]
    task = SimpleNamespace(name="which", training_examples=lambda seed: iter(pairs))
    settings = Settings(style="sft", examples=2, epochs=40, batch=2, learning_rate=1e-2)
    losses = training.train(network, tokenizer, task, settings, 0)
    assert losses[-1] < math.log(2) / 2  # of two tokens one tells them apart
    network.eval()
    prompts = [_prompt(example_row(pair, tokenizer, 99)) for pair in pairs]
    answers = family_of(network).answer(network, tokenizer, prompts, max_new_tokens=1)
    assert [answer.text for answer in answers] == ["a", "z"]


def test_a_model_that_reads_text_refuses_frames(tiny_model):
    row = example_row(examples(HEARING)[0], tiny_model[1], 99)
    with pytest.raises(ValueError, match="frames: a causal language model reads text"):
        Causal().collate(tiny_model[0], [row])


@pytest.fixture(scope="module")
def manager():
    return TaskManager(include_path=str(tasks.folder()), include_defaults=False)


@pytest.mark.parametrize("task", ["chat", "arc_easy_standin", "winogrande_standin", "formats"])
@pytest.mark.parametrize("name", [n for n in NAMES[1:] if n != HEARING])
def test_item_for_item_as_plain_lm_eval(task, name, model, manager):
    if name == "tiny-t5" and task == "formats":
        pytest.skip("lm-eval lets an encoder-decoder write longer than it is asked to")
    assert_item_for_item(model, manager, task, chat=Task(task).chat)


def test_a_text_is_read_after_one_token_of_its_beginning(session_home, manager):
    """lm-eval's own reading doubles that token, unless it is told that the tokenizer adds none."""
    network, tokenizer = compute.model(foundation("tiny-gemma"))
    ours, _ = run(FamilyLM(network, tokenizer), manager, "english", chat=False)
    hf = HFLM(pretrained=network, tokenizer=tokenizer, max_length=2048, add_bos_token=False)
    theirs, _ = run(hf, manager, "english", chat=False)
    text = ours[0]["doc"]["text"]
    row = continued(prompt_row([0], None), tokenizer(text, add_special_tokens=False).input_ids)
    assert template.ids(tokenizer, text) == row["input_ids"].tolist()
    with torch.no_grad():
        log_p = network(row["input_ids"][None]).logits[0, :-1].log_softmax(-1)
    by_hand = log_p.gather(1, row["input_ids"][1:, None]).double().sum().item()
    for our, their in zip(ours, theirs, strict=True):
        assert our["resps"][0][0] == pytest.approx(their["resps"][0][0], rel=1e-6)
    assert ours[0]["resps"][0][0] == pytest.approx(by_hand, rel=1e-6)


def test_lm_eval_asks_about_what_is_heard(session_home):
    """Its third argument of tasks with `doc_to_audio`; the recording decides."""
    network, tokenizer = compute.model(foundation(HEARING))
    lm = FamilyLM(network, tokenizer)
    heard = [recording(5).tolist(), recording(5, 1).tolist()]
    asked = [
        Instance("loglikelihood", {}, ("<audio>which?", " me", {"audio": one}), i)
        for i, one in enumerate(heard)
    ]
    (first, _), (second, _) = lm.loglikelihood(asked)
    example = Example((Turn("user", "<audio>which?", (heard[0],)),), "me", chat=False)
    row = example_row(example, tokenizer, 99)
    (scored,) = family_of(network).log_likelihoods(network, [row])
    assert first == pytest.approx(scored.log_likelihoods[:-1].sum().item(), abs=1e-5)
    assert first != second
    arguments = [("<audio>which?", {"max_gen_toks": 4}, {"audio": one}) for one in heard]
    writing = [Instance("generate_until", {}, each, 0) for each in arguments]
    (answer,) = family_of(network).answer(network, tokenizer, [_prompt(row)], max_new_tokens=4)
    assert lm.generate_until(writing)[0] == answer.text


def test_what_a_token_leaves_behind_by_hand():
    """GPT-2's kind: 32 wide, 128 inside, as many keys as queries; nothing saved below the first
    block that moves. A kind that is not counted by parts: as if it all moved."""
    config = GPT2Config(n_embd=32, n_head=4, n_layer=2)
    passing = 2 * 2 * 32 + 4 * 32 + 32 + 3 * 128
    every = ["h.1.ln_1", "h.1.attn.c_attn", "h.1.attn.c_proj", "h.1.mlp.c_fc", "h.1.mlp.c_proj"]
    names = [f"transformer.{part}.weight" for part in every]
    inputs = 32 + 32 + 32 + 32 + 128
    assert Causal().saved(config, names) == passing + inputs
    assert Causal().saved(config, [*names, "transformer.wte.weight"]) == 2 * passing + inputs
    assert Family.saved(Causal(), config, names[:1]) == 2 * (passing + inputs)


def test_every_family_says_what_training_needs(name):
    memory = resources.training_memory(foundation(name), Full(), Settings(batch=2, length=64))
    assert memory.weights == 4 * packaged.TINY[name]
    assert memory.logits == resources.LOGIT_COPIES * 4 * 259 * 128
    assert math.isfinite(memory.peak) and memory.activations > 0
