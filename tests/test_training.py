"""Training: which rows, in which order, at which loss, and what stays as it was."""

import math
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from forgetting import (
    IA3,
    FreezeAttention,
    FreezeFirst,
    Full,
    LoRA,
    OnlyLast,
    OnlyMLP,
    Task,
    foundation,
    tasks,
)
from forgetting.engine import compute, training
from forgetting.engine.training import OrderedTrainer, steps_of
from forgetting.lineage import Settings
from forgetting.models import packing
from forgetting.models.causal import Causal
from forgetting.models.rows import IGNORED, TooLittleText, pretrain_rows, sft_rows
from forgetting.objectives import CrossEntropy, Step
from forgetting.objectives.cross_entropy import head_cross_entropy
from forgetting.tasks import Example

CHINESE = Task("zh_everyday")
END = 2  # <|im_end|>, the end token of `tiny`
FEW = Settings(tokens=256, length=32, batch=2, learning_rate=1e-3)  # 4 steps


def settings(**fields):
    return Settings(**({"length": 8, "batch": 1} | fields))


def cross_entropy(logits, labels):
    """The objective, given logits (rows, length, vocabulary) and labels (rows, length)."""
    supervised = labels[:, 1:] != IGNORED
    wanted = labels[:, 1:][supervised]
    ones = torch.ones(len(wanted))
    return CrossEntropy().loss(Step(logits[:, :-1][supervised], wanted, 0 * ones, ones, None))


def rows_of(rows, field="input_ids"):
    return [row[field].tolist() for row in rows]


@pytest.fixture
def corpus(monkeypatch):
    """Puts documents of the test's own in place of the training split of CHINESE."""

    def replace(*texts):
        documents = [{"text": text} for text in texts]
        monkeypatch.setattr(tasks.task, "_splits", lambda name: {"train": documents})

    return replace


@pytest.fixture
def letters(tiny_model):
    """The ids of a text's letters: `tiny` reads bytes."""
    _, tokenizer = tiny_model
    return lambda text: [tokenizer.convert_tokens_to_ids(letter) for letter in text]


def test_documents_are_joined_by_the_end_token_and_cut(corpus, tiny_model, letters):
    corpus("abcdefghij", "abcdefghij", "abcdefghij")
    rows = pretrain_rows(CHINESE, tiny_model[1], settings(tokens=32), seed=0)
    stream = [*letters("abcdefghij"), END] * 3  # 33 tokens: four rows of 8 and one left over
    assert rows_of(rows) == [stream[i : i + 8] for i in (0, 8, 16, 24)]
    assert rows_of(rows, "labels") == rows_of(rows)


def test_what_does_not_fill_a_row_is_dropped(corpus, tiny_model):
    corpus("abcdefghij", "abcdefghij", "abcdefghij")
    with pytest.raises(TooLittleText) as caught:
        pretrain_rows(CHINESE, tiny_model[1], settings(tokens=40), seed=0)
    assert str(caught.value) == (
        "tokens=40: zh_everyday has training text for 4 rows of 8 tokens, 5 are asked for; "
        "lower tokens or name a larger task"
    )


def test_the_seed_draws_the_order_of_documents(corpus, tiny_model, letters):
    corpus(*"abcdefgh")

    def order(seed):
        rows = pretrain_rows(CHINESE, tiny_model[1], settings(tokens=16), seed)
        return [token for row in rows_of(rows) for token in row if token != END]

    orders = [order(seed) for seed in range(4)]
    assert all(sorted(ids) == sorted(letters("abcdefgh")) for ids in orders)
    assert order(0) == orders[0]
    assert len({tuple(ids) for ids in orders}) == 4


def test_the_tasks_own_documents_stay_in_their_order():
    before = CHINESE.documents("train")
    list(CHINESE.training_texts(seed=1))
    assert CHINESE.documents("train") == before


def dialogue(*pairs, chat=True):
    examples = [Example.of(*pair, chat=chat) for pair in pairs]
    return SimpleNamespace(name="dialogue", training_examples=lambda seed: iter(examples))


PROMPT = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_sft_supervises_the_answer_and_its_end_alone(tiny_model, letters):
    _, tokenizer = tiny_model
    (row,) = sft_rows(dialogue(("hi", "ok")), tokenizer, settings(length=64, tokens=64), seed=0)
    prompt = tokenizer(PROMPT, add_special_tokens=False).input_ids
    assert row["input_ids"].tolist() == [*prompt, *letters("ok"), END]
    assert row["labels"].tolist() == [IGNORED] * len(prompt) + [*letters("ok"), END]


def test_a_task_that_is_tested_without_the_chat_template_is_taught_without_it(tiny_model):
    """lm-eval puts a space between question and answer; so does what is learned."""
    _, tokenizer = tiny_model
    question, answer = (tokenizer(t, add_special_tokens=False).input_ids for t in ("hi:", " ok"))
    plain = dialogue(("hi:", "ok"), chat=False)
    (row,) = sft_rows(plain, tokenizer, settings(length=64, tokens=64), seed=0)
    assert row["input_ids"].tolist() == [*question, *answer, END]
    assert row["labels"].tolist() == [IGNORED] * 3 + [*answer, END]


def test_sft_cuts_long_answers_and_cycles_through_the_data(tiny_model, letters):
    _, tokenizer = tiny_model
    size = len(tokenizer(PROMPT, add_special_tokens=False).input_ids)
    pairs = [("hi", "abcdef"), ("hi" * 99, "no room for an answer"), ("hi", "x")]
    wanted = settings(length=size + 3, tokens=5 * (size + 3))
    rows = sft_rows(dialogue(*pairs), tokenizer, wanted, seed=0)
    answers = [[t for t in labels if t != IGNORED] for labels in rows_of(rows, "labels")]
    cut, short = letters("abc"), [*letters("x"), END]
    assert answers == [cut, short, cut, short, cut]


def test_sft_without_room_for_any_answer_is_one_line(tiny_model):
    with pytest.raises(TooLittleText, match=r"^length=8: no example of dialogue leaves room"):
        sft_rows(dialogue(("hi", "ok")), tiny_model[1], settings(tokens=16), seed=0)


def test_examples_are_different_ones(tiny_model):
    pairs = dialogue(("hi", "a"), ("hi" * 99, "no room"), ("hi", "b"), ("hi", "c"))
    _, tokenizer = tiny_model
    two = sft_rows(pairs, tokenizer, settings(length=64, examples=2), seed=0)
    assert len({tuple(ids) for ids in rows_of(two)}) == 2
    with pytest.raises(TooLittleText) as caught:
        sft_rows(pairs, tokenizer, settings(length=64, examples=4), seed=0)
    assert str(caught.value) == (
        "examples=4: dialogue has 3 whose answer fits in 64 tokens; lower examples or raise length"
    )
    with pytest.raises(TooLittleText, match=r"^examples=9999: zh_everyday .* lower examples or"):
        pretrain_rows(CHINESE, tokenizer, settings(examples=9999, length=256), seed=0)


def test_every_epoch_has_an_order_of_its_own_and_no_step_has_two():
    def epochs(count, seed=0):
        wanted = Settings(examples=9, epochs=count, batch=4)
        return steps_of(list(range(9)), wanted, seed)

    four = epochs(4)
    assert [len(step) for step in four] == [4, 4, 1] * 4
    orders = [[*four[i], *four[i + 1], *four[i + 2]] for i in (0, 3, 6, 9)]
    assert orders[0] == list(range(9))  # as drawn
    assert all(sorted(order) == list(range(9)) for order in orders)
    assert len(set(map(tuple, orders))) == 4
    assert epochs(2) == four[:6] and epochs(4, seed=1)[3:] != four[3:]


TWO_ROWS = [
    {"input_ids": torch.tensor([5, 6]), "labels": torch.tensor([IGNORED, 6])},
    {"input_ids": torch.tensor([7, 8, 9]), "labels": torch.tensor([7, 8, 9])},
]


def test_a_batch_is_padded_on_the_right():
    inputs, at = Causal().collate(None, TWO_ROWS)
    assert inputs["input_ids"].tolist() == [[5, 6, 0], [7, 8, 9]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert at.tolist() == [[True, False, False], [True, True, False]]


def test_packed_rows_stand_one_after_another():
    """Token t is to predict t + 1 of its own row: a row's last token predicts nothing."""
    inputs, at = packing.Reader.collate(TWO_ROWS)
    assert inputs["input_ids"].tolist() == [5, 6, 7, 8, 9]
    assert inputs["lengths"] == [2, 3]
    assert at.tolist() == [True, False, True, True, False]


def test_cross_entropy_by_hand():
    """Two tokens are predicted: one with probability 3/4, one with 1/2."""
    logits = torch.tensor([[[math.log(3.0), 0.0], [0.0, 0.0], [9.0, -9.0]]])
    by_hand = (math.log(4 / 3) + math.log(2)) / 2
    assert cross_entropy(logits, torch.tensor([[1, 0, 1]])).item() == pytest.approx(by_hand)
    only_last = torch.tensor([[1, IGNORED, 1]])
    assert cross_entropy(logits, only_last).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("at_once", [1, 3, 7, 256])
@pytest.mark.parametrize("frozen_head", [False, True])
def test_the_loss_of_hidden_states_is_that_of_their_logits(monkeypatch, at_once, frozen_head):
    """Value and both gradients against autograd, whatever part of the logits stands in memory."""
    monkeypatch.setattr("forgetting.objectives.cross_entropy.TOKENS_AT_ONCE", at_once)
    torch.manual_seed(0)
    hidden = torch.randn(7, 4, requires_grad=True)
    head = torch.randn(11, 4, requires_grad=not frozen_head)
    wanted = torch.randint(0, 11, (7,))
    expected = functional.cross_entropy(hidden @ head.T, wanted)
    loss = head_cross_entropy(hidden, head, wanted)
    torch.testing.assert_close(loss, expected)
    moving = [hidden] if frozen_head else [hidden, head]
    theirs = torch.autograd.grad(3 * expected, moving)
    torch.testing.assert_close(torch.autograd.grad(3 * loss, moving), theirs)


def test_nothing_supervised_is_an_error_and_no_nan():
    labels = torch.full((1, 4), IGNORED)
    labels[0, 0] = 3  # the first token is never predicted
    for loss in (
        lambda: cross_entropy(torch.zeros(1, 4, 5), labels),
        lambda: head_cross_entropy(torch.zeros(0, 4), torch.zeros(5, 4), torch.zeros(0).long()),
    ):
        with pytest.raises(ValueError, match="no supervised token"):
            loss()


def trained(tiny, tuning, seed, wanted=FEW):
    """Weights that may move, after training, and the losses."""
    model, tokenizer = compute.model(tiny)
    torch.manual_seed(seed)
    tuned = tuning.apply(model)
    losses = training.train(tuned, tokenizer, CHINESE, wanted, seed)
    return {n: p.detach() for n, p in tuned.named_parameters() if p.requires_grad}, losses


@pytest.mark.parametrize("tuning", [Full(), LoRA()], ids=["Full", "LoRA"])
def test_one_seed_gives_the_same_bits_and_another_seed_others(tuning, tiny):
    (one, losses), (again, same_losses) = (trained(tiny, tuning, seed=1) for _ in range(2))
    assert losses == same_losses and len(losses) == 4
    assert all(torch.equal(one[name], again[name]) for name in one)
    other, other_losses = trained(tiny, tuning, seed=2)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert losses != other_losses


UNEVEN = [("hi", "ok"), ("how are you?", "fine"), ("1 + 1", "2"), ("a b c", "d e f g h"), ("x", "")]


@pytest.mark.parametrize(
    ("name", "tuning"),
    [
        ("tiny-gpt2", Full()),
        ("tiny", FreezeFirst(1)),
        ("tiny", OnlyLast(1)),
        ("tiny", LoRA(dropout=0.0)),
        ("tiny", IA3()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_packed_training_is_padded_training(name, tuning, session_home, monkeypatch):
    """The same rows in the same steps: losses and weights agree up to rounding."""
    wanted = Settings(style="sft", examples=5, epochs=3, length=64, batch=2, learning_rate=1e-3)

    def fit():
        model, tokenizer = compute.model(foundation(name))
        torch.manual_seed(0)
        tuned = tuning.apply(model)
        losses = training.train(tuned, tokenizer, dialogue(*UNEVEN), wanted, seed=0)
        assert model.config._attn_implementation == "sdpa"
        return {n: p.detach() for n, p in tuned.named_parameters() if p.requires_grad}, losses

    packed, losses = fit()
    monkeypatch.setattr(packing, "readable", lambda model: False)
    padded, expected = fit()
    assert losses == pytest.approx(expected, rel=1e-5)
    for name in padded:
        torch.testing.assert_close(packed[name], padded[name], atol=2e-5, rtol=0, msg=name)


@pytest.mark.parametrize("packed", [True, False])
def test_products_in_bfloat16_leave_weights_in_float32(packed, tiny, monkeypatch):
    """Eight bits of mantissa: losses differ, by less than a hundredth; nothing else is rounded."""
    wanted = Settings(style="sft", examples=5, epochs=2, length=64, batch=2, learning_rate=1e-3)
    if not packed:
        monkeypatch.setattr(packing, "readable", lambda model: False)

    def fit(precision):
        model, tokenizer = compute.model(tiny)
        mixed = wanted.model_copy(update={"precision": precision})
        losses = training.train(model, tokenizer, dialogue(*UNEVEN), mixed, seed=0)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        return losses

    rounded, exact = fit("bfloat16"), fit("float32")
    assert rounded == pytest.approx(exact, rel=1e-2)
    assert rounded != exact


def test_a_loss_that_is_no_number_is_not_hidden(tiny):
    model, tokenizer = compute.model(tiny)
    model.model.norm.weight.data.fill_(math.nan)
    losses = training.train(model, tokenizer, CHINESE, FEW, seed=0)
    assert all(math.isnan(loss) for loss in losses)


def test_a_task_that_cannot_be_learned_is_named(tiny):
    model, tokenizer = compute.model(tiny)
    with pytest.raises(ValueError, match="english"):
        training.train(model, tokenizer, Task("english"), FEW, seed=0)


def decays(name):
    """Weight decay is for matrices: the Trainer spares norms."""
    return "norm" not in name


def test_the_first_step_of_adamw_by_hand(tiny):
    """Both moments are one gradient old: w ← w - η·d·w - η·g/(|g| + ε), g clipped to norm 1."""
    one_step = Settings(tokens=64, length=32, batch=2, learning_rate=1e-2)
    model, tokenizer = compute.model(tiny)
    rows = pretrain_rows(CHINESE, tokenizer, one_step, seed=0)
    ids = torch.stack([row["input_ids"] for row in rows])
    cross_entropy(model(input_ids=ids).logits, ids).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients.values()))
    moved, _ = trained(tiny, Full(), seed=0, wanted=one_step)
    for name, p in model.named_parameters():
        g = gradients[name] * min(1, 1 / norm)
        kept = 1 - 1e-2 * 0.1 * decays(name)
        expected = kept * p.detach() - 1e-2 * g / (g.abs() + 1e-5)
        torch.testing.assert_close(moved[name], expected, atol=2e-6, rtol=1e-4, msg=name)


def test_a_plain_torch_loop_gives_the_same_losses_and_weights(tiny):
    """The same rows, without `transformers.Trainer`."""
    model, tokenizer = compute.model(tiny)
    model.train()
    rows = pretrain_rows(CHINESE, tokenizer, FEW, seed=3)
    groups = [
        {"params": [p for n, p in model.named_parameters() if decays(n)], "weight_decay": 0.1},
        {"params": [p for n, p in model.named_parameters() if not decays(n)], "weight_decay": 0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-5)
    expected = []
    for step in range(4):
        ids = torch.stack([row["input_ids"] for row in rows[2 * step : 2 * step + 2]])
        logits = model(input_ids=ids).logits[:, :-1]
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        expected.append(loss.item())
    moved, losses = trained(tiny, Full(), seed=3)
    assert losses == pytest.approx(expected, abs=1e-5)
    assert losses[-1] < losses[0]
    for name, p in model.named_parameters():
        torch.testing.assert_close(moved[name], p.detach(), atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize(
    ("tuning", "changes"),
    [
        (FreezeAttention(), lambda name: "self_attn" not in name),
        (OnlyMLP(), lambda name: ".mlp." in name),
        (OnlyLast(1), lambda name: ".layers.1." in name or name == "model.norm.weight"),
        (IA3(), lambda name: "k_proj" in name or "v_proj" in name or "down_proj" in name),
    ],
    ids=lambda value: type(value).__name__,
)
def test_frozen_tensors_are_bit_identical_and_the_others_move(tuning, changes, tiny):
    quick = {"tokens": 128, "length": 32, "batch": 2, "learning_rate": 1e-2}
    before = compute.state(tiny)
    after = compute.state(tiny.train(CHINESE, tune=tuning, seed=5, **quick))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if changes(name)}


def test_the_rate_rises_and_falls_in_lines(tiny_model, monkeypatch):
    """Ten steps, two of them to rise: 0, ½, then 1 down to 1/8; constant after the rise without."""
    rates = []
    step = OrderedTrainer.training_step

    def watched(self, *given, **more):
        rates.append(self.lr_scheduler.get_last_lr()[0])
        return step(self, *given, **more)

    monkeypatch.setattr(OrderedTrainer, "training_step", watched)
    given = {"examples": 10, "length": 16, "batch": 1, "learning_rate": 1.0e-3, "warmup": 0.2}
    for decay, last in ((True, [1 - n / 8 for n in range(8)]), (False, [1.0] * 8)):
        rates.clear()
        training.train(*tiny_model, CHINESE, Settings(**given, decay=decay), 0)
        assert rates == pytest.approx([1e-3 * share for share in (0.0, 0.5, *last)])


MEMORY = """
import psutil, resource, torch
from forgetting.engine.training import give_freed_memory_back, keep_freed_memory
assert keep_freed_memory()
def faults():
    torch.zeros(16 << 20).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def held():
    return psutil.Process().memory_info().rss >> 20
before = held()
faults(), faults()  # the first may extend the heap
again = -faults() + faults()
torch.ones(128 << 20).sum()
kept = held()
give_freed_memory_back()
print(again, kept - before, held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no switch")
def test_memory_that_was_freed_is_not_asked_for_again_and_can_be_given_back():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    faults, kept, left = map(int, done.stdout.split())
    assert faults < 1000  # of 16,384 pages
    assert kept > 500 and left < 50  # of 512 MiB
