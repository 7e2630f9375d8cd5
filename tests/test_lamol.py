"""LAMOL: its form of an example, its dreams and which of them it keeps, its two losses."""

import itertools
import math

import pytest
import torch
from tokenizers import AddedToken
from torch.nn import functional

from forgetting import Settings, Task
from forgetting.engine import compute, training
from forgetting.lineage import Completion, nothing_drawn
from forgetting.objectives import (
    OLD,
    TARGET,
    WHOLE,
    QuestionAndText,
    QuestionTextAndKept,
    Step,
)
from forgetting.probes.measures import Answered, ToldApart
from forgetting.recipes import InForm, Lamol, Together, lamol_form
from forgetting.recipes.dreams import gallery, similarity
from forgetting.recipes.lamol import Begun, share
from forgetting.recipes.lamol_form import Example

MOOD, ROLES, STATE = Task("mini_sentiment"), Task("mini_roles"), Task("mini_state")
TEN = Settings(style="sft", examples=10, length=384, batch=4)


@pytest.fixture
def tokenizer(tiny):
    return compute.foundations.load_tokenizer(tiny.foundation.folder)


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


# -- the form ----------------------------------------------------------------------------------


def test_marks_are_one_token_each_and_stand_in_no_text(tokenizer):
    marks = lamol_form.marks(tokenizer)
    assert len(set(marks)) == len(marks) >= 7  # an answer token, and one for each of five tasks
    assert all(len(ids(tokenizer, mark)) == 1 for mark in marks)
    for task in (MOOD, ROLES, STATE):
        examples = itertools.islice(task.training_examples(0), 200)
        text = "".join(example.question + example.answer for example in examples)
        assert not any(mark in text for mark in marks)


def test_unused_special_tokens_come_first():
    """What SmolLM2's tokenizer offers, and one that offers nothing."""

    class Fake:
        bos_token, eos_token, pad_token, unk_token = "<s>", "</s>", "</s>", None
        chat_template = "{{ '<turn>' + messages[0]['content'] }}"

        def __init__(self, control, added):
            tokens = [AddedToken(token, special=True) for token in added]
            self.control, self.added_tokens_decoder = control, dict(enumerate(tokens))

        def __call__(self, text, add_special_tokens):
            known = text in map(str, self.added_tokens_decoder.values()) or self.control
            return type("Ids", (), {"input_ids": [7] if known else [7, 8]})

    added = ["<s>", "</s>", "<turn>", "<file>", "<repo>"]
    assert lamol_form.marks(Fake(True, added))[:3] == ["<file>", "<repo>", "\x01"]
    assert lamol_form.marks(Fake(False, added)) == ["<file>", "<repo>"]
    with pytest.raises(ValueError, match="1 tokens that no text uses"):
        lamol_form.marks(Fake(False, added[:4]))


def test_tokens_that_texts_use_are_no_marks(tiny):
    """Pythia's and Phi's runs of spaces, Gemma's tags: added to the vocabulary, and not special."""
    tokenizer = compute.foundations.load_tokenizer(tiny.foundation.folder)
    marks = lamol_form.marks(tokenizer)
    added = [AddedToken(text, normalized=False, special=False) for text in ("    ", "\n\n", "<h1>")]
    assert tokenizer.add_tokens(added) == 3 and len(ids(tokenizer, "    ")) == 1
    assert lamol_form.marks(tokenizer) == marks


def test_an_example_is_asked_at_test_time_as_it_was_learned(tokenizer):
    document = MOOD.documents("train")[0]
    one = lamol_form.example(tokenizer, MOOD, document)
    row = lamol_form.answer_row(tokenizer, one, 384)
    asked = ids(tokenizer, lamol_form.prompt(tokenizer, MOOD, document))
    assert row["input_ids"].tolist()[: len(asked)] == asked
    assert tokenizer.decode(one.question) == f"{document['context']}\n{document['question']}"
    assert tokenizer.decode(one.answer) == document["answer"]


def test_both_rows_of_an_example_token_by_token(tokenizer):
    middle, begin = lamol_form.answer_token(tokenizer), lamol_form.marks(tokenizer)[1]
    end, first = tokenizer.eos_token_id, ids(tokenizer, begin)[0]
    one = Example([50, 51, 52], [60, 61])
    answer = lamol_form.answer_row(tokenizer, one, 16)
    assert answer["input_ids"].tolist() == [50, 51, 52, middle, 60, 61, end]
    assert answer["labels"].tolist() == [-100] * 4 + [60, 61, end]
    text = lamol_form.text_row(tokenizer, one, begin, 16)
    assert text["input_ids"].tolist() == [first, 50, 51, 52, middle, 60, 61, end]
    assert text["labels"].tolist() == [-100, 50, 51, 52, middle, 60, 61, end]
    assert text["weights"].tolist() == [1, 1, 1, 5, 1, 1, 1]
    assert (answer["part"], text["part"]) == (TARGET, WHOLE)


def test_a_long_question_loses_its_beginning_and_a_long_answer_its_place(tokenizer):
    one = Example(list(range(50, 60)), [70, 71])
    answer = lamol_form.answer_row(tokenizer, one, 8)
    text = lamol_form.text_row(tokenizer, one, lamol_form.marks(tokenizer)[1], 8)
    assert answer["input_ids"].tolist()[:3] == text["input_ids"].tolist()[1:4] == [57, 58, 59]
    assert len(text["input_ids"]) == 8
    assert lamol_form.answer_row(tokenizer, one, 5) is None


# -- dreams ------------------------------------------------------------------------------------


def test_dreams_are_kept_if_exactly_one_answer_token_splits_them():
    """All 1,093 texts of up to six tokens out of three, against splitting them as strings."""
    for size in range(7):
        for text in itertools.product("abA", repeat=size):
            parts = "".join(text).split("A")
            found = lamol_form.split([ord(c) for c in text], ord("A"))
            expected = (
                Example(*([ord(c) for c in part] for part in parts)) if len(parts) == 2 else None
            )
            assert found == expected


def test_gamma_is_a_budget_for_all_previous_tasks_together():
    """The authors' arithmetic: ⌈γ·new⌉, made a multiple of the tasks, divided among them."""
    for new, gamma, tasks in itertools.product((1, 7, 100, 6920), (0.01, 0.05, 0.2, 1), (1, 2, 4)):
        size = math.ceil(new * gamma)
        while size % tasks:
            size -= 1
        assert share(new, gamma, tasks) * tasks == size <= new * gamma + 1
    assert share(100, 0.2, 0) == 0
    # Nine more tasks, and each old one is dreamt of a tenth as often.
    assert share(6920, 0.2, 1) == 1384 and share(6920, 0.2, 10) == 138


def dreamt(*texts):
    """What every model is made to write: these token lists."""
    return lambda samples: [[Completion(list(text), "", True)] for text in texts]


def test_dreams_stand_among_the_examples_with_their_own_beginning(tiny, tokenizer):
    middle = lamol_form.answer_token(tokenizer)
    good, none, two = [50, 51, middle, 60], [50, 51], [50, middle, 60, middle, 61]
    drawn = dreamt(good, none, two, good)
    recipe = Lamol(STATE, (MOOD, ROLES), tiny, gamma=0.4, tokens="task")
    rows = recipe.rows(tokenizer, TEN, 0, drawn)
    assert len(rows) == 10 + 2
    begun = [row["also"][0]["input_ids"][0].item() for row in rows]
    first, second, third = (ids(tokenizer, m)[0] for m in lamol_form.marks(tokenizer)[1:4])
    assert sorted(begun) == sorted([first, second] + [third] * 10)
    (wanted,) = recipe.samples(TEN, 0)
    one, other = lamol_form.marks(tokenizer)[1:3]
    assert wanted.prompts.texts(tokenizer, nothing_drawn) == [one, one, other, other]
    assert wanted.prompts == Begun((1, 2), 2) and wanted.top_k == 20 and wanted.temperature == 1
    dream = next(row for row in rows if row["also"][0]["input_ids"][0] == first)
    assert dream["input_ids"].tolist() == [*good, tokenizer.eos_token_id]
    report = recipe.report(tokenizer, TEN, 0, drawn)
    assert (report["new"], report["old"], report["dreams"], report["valid"]) == (10, 2, 4, 2)
    assert report["refused"] == {"no answer token": 1, "several": 1}


def test_one_generation_token_serves_all_tasks(tiny, tokenizer):
    recipe = Lamol(STATE, (MOOD, ROLES), tiny, gamma=0.4)
    (wanted,) = recipe.samples(TEN, 0)
    assert wanted.prompts.texts(tokenizer, nothing_drawn) == [lamol_form.marks(tokenizer)[1]] * 4


def test_real_examples_in_the_same_budget(tokenizer):
    recipe = Lamol(STATE, (MOOD, ROLES), real=True, gamma=0.5)
    rows = recipe.rows(tokenizer, TEN, 3, nothing_drawn)
    assert len(rows) == 10 + 2 + 2
    assert not recipe.samples(TEN, 3) and not recipe.parents
    shown = {tuple(row["input_ids"].tolist()) for row in rows}
    for task in (MOOD, ROLES):
        own = InForm(task).rows(tokenizer, TEN, 3, nothing_drawn)
        assert sum(tuple(row["input_ids"].tolist()) in shown for row in own) == 2


def test_the_first_training_of_a_sequence_is_one_whatever_comes_later(tiny):
    settings = {"style": "sft", "examples": 10, "length": 384}
    first = [
        Lamol(MOOD),
        Lamol(MOOD, gamma=0.05),
        Lamol(MOOD, tokens="task"),
        Lamol(MOOD, real=True),
    ]
    assert len({tiny.train(recipe, **settings).key for recipe in first}) == 1
    later = [
        Lamol(ROLES, (MOOD,), tiny),
        Lamol(ROLES, (MOOD,), tiny, gamma=0.05),
        Lamol(ROLES, (MOOD,), tiny, tokens="task"),
        Lamol(ROLES, (MOOD,), tiny, top_k=5),
        Lamol(ROLES, (MOOD,), real=True),
    ]
    assert len({tiny.train(recipe, **settings).key for recipe in later}) == len(later)


def test_multitask_shows_as_much_of_each(tokenizer):
    rows = Together((InForm(MOOD), InForm(ROLES))).rows(tokenizer, TEN, 0, nothing_drawn)
    own = [InForm(task).rows(tokenizer, TEN, 0, nothing_drawn) for task in (MOOD, ROLES)]
    assert sorted(r["input_ids"].tolist() for r in rows) == sorted(
        r["input_ids"].tolist() for part in own for r in part
    )


# -- the gallery -------------------------------------------------------------------------------


def test_similarity_by_hand():
    assert similarity(("a b", "c"), ("b", "c d")) == 2 / 4
    assert similarity(("A", ""), ("a", "")) == 1


def test_the_gallery_says_what_dreams_are_worth():
    real = {"mood": [("good film", "praise"), ("bad film", "blame")], "roles": [("who ate", "x")]}
    dreams = [("good film", "praise"), ("good film", "praise"), ("a good book", "praise")]
    found = gallery(dreams, real)
    assert found["roles"] == {"dreams": 0, "real answers": {"x": 1.0}}
    mood = found["mood"]
    assert (mood["dreams"], mood["copies"], mood["distinct"]) == (3, 2, 0.667)
    assert mood["answers"] == {"praise": 1.0} and mood["real answers"]["praise"] == 0.5
    assert mood["novelty"] == round((0 + 0 + (1 - 2 / 5)) / 3, 3)
    assert len(mood["shown"]) == 2


# -- training and testing ----------------------------------------------------------------------


def test_both_readings_of_an_example_stand_in_one_step(tokenizer):
    rows = Lamol(MOOD).rows(tokenizer, TEN, 0, nothing_drawn)
    settings = TEN.model_copy(update={"epochs": 3})
    steps = [training.unfolded(step) for step in training.steps_of(rows, settings, 0)]
    assert [len(step) for step in steps] == [8, 8, 4] * 3
    for step in steps:
        for answer, text in zip(step[::2], step[1::2], strict=True):
            assert answer["input_ids"].tolist() == text["input_ids"].tolist()[1:]


def test_the_loss_is_the_authors(tiny, tiny_model, own_home):
    """L_QA + 0.25·L_LM of padded batches, the answer token weighed 5 by torch itself."""
    model, tokenizer = tiny_model
    settings = {"style": "sft", "examples": 4, "length": 384, "batch": 4, "learning_rate": 1e-4}
    taught = tiny.train(Lamol(MOOD), objective=QuestionAndText(0.25), **settings)
    compute.make(taught)
    rows = Lamol(MOOD).rows(tokenizer, Settings(**settings), 0, nothing_drawn)
    weight = torch.ones(model.config.vocab_size)
    weight[lamol_form.answer_token(tokenizer)] = 5
    total = 0.0
    for share_, part in ((1.0, rows), (0.25, [row["also"][0] for row in rows])):
        sums = [0.0, 0.0]
        for row in part:
            logits, labels = model(row["input_ids"][None]).logits[0, :-1], row["labels"][1:]
            sums[0] += functional.cross_entropy(logits, labels, weight=weight, reduction="sum")
            sums[1] += weight[labels[labels != -100]].sum()
        total += share_ * sums[0] / sums[1]
    assert compute.losses(taught) == [pytest.approx(total.item(), rel=1e-4)]


@pytest.fixture(scope="module")
def learned(tiny):
    """`tiny` after enough of two short examples' answers to give them back."""
    settings = {"examples": 24, "length": 256, "batch": 4, "epochs": 4, "learning_rate": 1e-2}
    return tiny.train(InForm(MOOD), style="sft", **settings)


def test_answers_are_asked_and_graded_one_by_one(learned):
    model, tokenizer = compute.model(learned)
    measure = Answered(Task("mini_sentiment", 6))
    scores, _ = measure.scores(learned, model, tokenizer)
    expected = []
    for document in MOOD.documents("test")[:6]:
        written = ids(tokenizer, lamol_form.prompt(tokenizer, MOOD, document))
        asked = len(written)
        for _ in range(4):  # the task's own max_gen_toks
            written.append(model(torch.tensor([written])).logits[0, -1].argmax().item())
            if written[-1] == tokenizer.eos_token_id:
                break
        answer = tokenizer.decode(written[asked:], skip_special_tokens=True).strip()
        expected.append(MOOD.graded(document, answer)["em"])
    assert scores.items == {"em": expected} and scores.n == 6


def test_drawn_answers_are_a_measure_of_their_own(learned):
    model, tokenizer = compute.model(learned)
    documents = ROLES.documents("test")[:8]
    greedy, drawn = Answered(Task("mini_roles", 8)), Answered(Task("mini_roles", 8), top_k=20)
    assert greedy.name == "mini_roles:answered" and drawn.name == "mini_roles:top 20"
    assert greedy.test_recipe() != drawn.test_recipe()
    one, other = (drawn.answers(model, tokenizer, documents) for _ in range(2))
    assert one == other != greedy.answers(model, tokenizer, documents)
    nearly = Answered(ROLES, top_k=1)
    assert nearly.answers(model, tokenizer, documents) == greedy.answers(
        model, tokenizer, documents
    )


def test_answers_are_told_apart_one_by_one(learned):
    """Of each item the mean over an answer's tokens, its end among them, in rows read alone."""
    model, tokenizer = compute.model(learned)
    measure = ToldApart(Task("mini_roles", 5))
    documents = ROLES.documents("test")
    answers = [ROLES.example(document).answer for document in documents]
    expected = []
    for place, document in enumerate(documents[:5]):
        asked = ids(tokenizer, lamol_form.prompt(tokenizer, ROLES, document))
        other = next(a for a in answers[place:] + answers[:place] if a != answers[place])
        means = []
        for answer in (answers[place], other):
            told = [*ids(tokenizer, answer), tokenizer.eos_token_id]
            logits = model(torch.tensor([[*asked, *told]])).logits[0, len(asked) - 1 : -1]
            picked = logits.log_softmax(-1)[range(len(told)), told]
            means.append(picked.mean().item())
        expected.append(float(means[0] > means[1]))
    scores, _ = measure.scores(learned, model, tokenizer)
    assert scores.items == {"told_apart": expected} and scores.task == "mini_roles:told apart"


def test_a_task_with_one_answer_has_nothing_to_tell_apart(learned, monkeypatch):
    documents = [d for d in MOOD.documents("test") if MOOD.example(d).answer == "positive"]
    monkeypatch.setattr(Task, "documents", lambda self, split: documents)
    with pytest.raises(ValueError, match="mini_sentiment': all its answers are the same"):
        ToldApart(Task("mini_sentiment", 3)).scores(learned, *compute.model(learned))


def test_a_sequence_dreams_before_it_trains(tiny, own_home):
    settings = {"style": "sft", "examples": 4, "length": 256, "batch": 4, "learning_rate": 1e-3}
    first = tiny.train(Lamol(MOOD), objective=QuestionAndText(), **settings)
    second = first.train(Lamol(ROLES, (MOOD,), first, 0.5), objective=QuestionAndText(), **settings)
    compute.make(second)
    assert compute.shown(second)["dreams"] == 2
    assert first in second.parents


def test_dreams_can_be_kept_rather_than_learned(tiny, tokenizer):
    """The dreams' rows are OLD: the divergence on them, LAMOL's two losses on the others."""
    middle = lamol_form.answer_token(tokenizer)
    drawn = dreamt([50, 51, middle, 60])
    recipe = Lamol(STATE, (MOOD,), tiny, gamma=0.1, kept=True)
    rows = recipe.rows(tokenizer, TEN, 0, drawn)
    parts = [[int(one["part"]) for one in training.unfolded([row])] for row in rows]
    assert sorted(parts) == sorted([[TARGET, WHOLE]] * 10 + [[OLD, OLD]])

    drawn = torch.Generator().manual_seed(0)
    logits, before = (torch.randn(6, 9, generator=drawn) for _ in range(2))
    wanted = torch.tensor([1, 2, 3, 4, 5, 6])
    parts = torch.tensor([TARGET, WHOLE, WHOLE, OLD, OLD, OLD])
    found = QuestionTextAndKept(0.25, 2.0).loss(Step(logits, wanted, parts, torch.ones(6), before))
    p, q = before[3:].softmax(-1), logits[3:].softmax(-1)
    expected = functional.cross_entropy(logits[:1], wanted[:1])
    expected += 0.25 * functional.cross_entropy(logits[1:3], wanted[1:3])
    expected += 2.0 * (p * (p / q).log()).sum(-1).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_the_model_was_stands_beside_both_readings(tiny_model):
    """Looking before keeps an example's readings together, each with its own hidden states."""
    model, tokenizer = tiny_model
    rows = Lamol(MOOD).rows(tokenizer, TEN, 0, nothing_drawn)[:3]
    found, head = training.look_before(model, rows, QuestionTextAndKept(), 0)
    assert len(found) == 3
    for row in found:
        for one in training.unfolded([row]):
            at = (one["labels"] != -100).nonzero()[:, 0] - 1
            logits = model(one["input_ids"][None]).logits[0, at]
            assert torch.allclose(head(one["before"]), logits, atol=1e-4)
