"""Memories in the prompt, and asking for help, on numbers that can be checked by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.adaptation import (
    FewShot,
    GrowPrompt,
    MAMStreamICL,
    MemPrompt,
    StreamICL,
    StreamTuning,
    system,
)
from forgetting.adaptation.memory import HiddenStates, by_words
from forgetting.chapters import published
from forgetting.chapters.streams import views
from forgetting.chapters.streams.experiment import experiment
from forgetting.engine import compute
from forgetting.lineage import foundation
from forgetting.probes import asking
from forgetting.tasks import Task
from forgetting.tuning import LoRA


def told(how, bits, answers="xxxxxx"):
    """The prompts that a memory makes of questions a, b, c, … after each bit."""
    prompts = []
    said = iter(answers)
    listener = how.begin(None, None, lambda prompt: prompts.append(prompt) or next(said))
    for question, right in zip("abcdef", bits, strict=False):
        listener.learn(question, listener.answer(question), right)
    return prompts


def test_grow_prompt_tells_of_its_last_answers_right_or_wrong():
    prompts = told(GrowPrompt(2), [True, False, True, True])
    right, wrong = (f"\nThis answer was {word}." for word in ("right", "wrong"))
    assert prompts[:2] == ["a", f"a x{right}\n\nb"]
    assert prompts[2] == f"a x{right}\n\nb x{wrong}\n\nc"
    assert prompts[3] == f"b x{wrong}\n\nc x{right}\n\nd"


def test_what_is_kept_is_what_was_asked_for():
    bits = [True, False, True, True]
    assert told(StreamICL(4, keep="wrong"), bits)[-1] == "b x\n\nd"
    assert told(StreamICL(4, keep="all"), bits)[-1] == "a x\n\nb x\n\nc x\n\nd"
    assert told(StreamICL(4), bits)[-1] == "a x\n\nc x\n\nd"


def test_agents_take_turns_and_share_what_was_right():
    how = MAMStreamICL(k=2, retrieval="last", openings=("", "1 ", "2 "))
    prompts = told(how, [True, True, False, True])
    assert prompts == ["a", "a x\n\n1 b", "a x\n\nb x\n\n2 c", "a x\n\nb x\n\nd"]


def test_the_nearest_question_stands_at_the_bottom():
    questions = ["Word: river\nCode:", "Word: garden\nCode:", "Word: river bank\nCode:"]
    near = by_words(questions, "Word: river\nCode:")
    assert near[0] == pytest.approx(1) and near[0] > near[2] > near[1]
    prompts = []
    listener = MemPrompt(2).begin(None, None, lambda prompt: prompts.append(prompt) or "x")
    for question in (*questions, questions[0]):
        listener.learn(question, listener.answer(question), True)
    last = prompts[-1].split("\n\n")
    assert [each.split("\nCode:")[0] for each in last[:2]] == ["Word: river bank", "Word: river"]
    assert listener.used == 2


def test_few_shot_shows_the_same_examples_of_the_training_side():
    examples = list(Task("codes").training_examples(0))[:2]
    shown = "\n\n".join(f"{e.question} {e.answer}" for e in examples)
    assert told(FewShot(Task("codes"), 2), [True, False]) == [f"{shown}\n\n{q}" for q in "ab"]


def test_hidden_states_find_a_text_nearest_to_itself():
    model, tokenizer = compute.model(foundation("tiny"))
    near = HiddenStates(model, tokenizer)(["a cat sat", "12 + 30 = 42", "zzz"], "12 + 30 = 42")
    assert int(np.argmax(near)) == 1 and near[1] == pytest.approx(1, abs=1e-5)


def test_the_usual_way_has_the_key_that_it_always_had():
    base = foundation("tiny")
    assert StreamICL(4).recipe() == {"kind": "StreamICL", "k": 4}
    assert system(base, StreamICL(4)).recipe() == {
        "step": "adapt",
        "version": 1,
        "parent": base.key,
        "how": {"kind": "StreamICL", "k": 4},
    }
    ways = [StreamICL(4, r, k) for r in ("last", "tfidf", "hidden") for k in ("right", "all")]
    assert len({system(base, way).key for way in ways}) == 6


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GrowPrompt(0), "k=0: GrowPrompt remembers at least 1"),
        (lambda: StreamICL(1, "first"), "retrieval='first': StreamICL knows last, tfidf, hidden"),
        (lambda: StreamICL(1, keep="none"), "keep='none': StreamICL knows right, wrong, all"),
        (lambda: MAMStreamICL(openings=("",)), "at least two agents"),
        (lambda: StreamTuning(LoRA(), -1.0), "learning_rate=-1"),
        (lambda: StreamTuning(None), "tune=None"),
        (lambda: StreamTuning(LoRA), "tune=LoRA: a class"),
    ],
)
def test_a_way_that_makes_no_sense_is_told_in_a_line(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_code_book_is_private_balanced_and_comes_back():
    documents = Task("codes").documents("test")
    table = {d["prompt"]: d["answer"] for d in documents}
    codes = list(table.values())
    assert len(table) == 20 and all(codes.count(code) == 5 for code in "KMRT")
    assert {d["prompt"]: d["answer"] for d in Task("codes").documents("train")} == table
    rounds = [documents[at : at + 20] for at in range(0, len(documents), 20)]
    assert all({d["prompt"] for d in each} == table.keys() for each in rounds)
    assert len({tuple(d["prompt"] for d in each) for each in rounds}) == len(rounds)


# -- asking for help ---------------------------------------------------------------------------


def test_performance_over_burden_by_hand():
    """Three answers, the unsure one and the sure one wrong."""
    margins, right = [0.1, 1.0, 3.0], [0.0, 1.0, 0.0]
    burdens, performance = asking.curve(margins, right)
    assert burdens.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert performance.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1])
    assert asking.helped(margins, right).mean() == pytest.approx((1 / 3 + 2 / 3 + 2 / 3 + 1) / 4)
    assert asking.lead(margins, right).mean() == pytest.approx(0)
    assert asking.worth(margins, right, 0.5) == pytest.approx(0.5)
    assert asking.asks_below(margins, 1.0) == pytest.approx(1 / 3)


def test_margins_that_say_nothing_are_asking_at_random():
    right = [1.0, 0.0, 0.0, 1.0, 0.0]
    assert asking.lead([2.0] * 5, right).mean() == pytest.approx(0)
    assert asking.helped([2.0] * 5, right).mean() == pytest.approx((0.4 + 1) / 2)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), min_size=1, max_size=30))
def test_what_items_add_is_the_area_under_the_curve(items):
    margins = [margin + place / 100 for place, (margin, _) in enumerate(items)]  # no two alike
    right = [float(bit) for _, bit in items]
    performance = asking.curve(margins, right)[1]
    area = asking.helped(margins, right).mean()
    assert area == pytest.approx(performance.mean())
    random = (np.mean(right) + 1) / 2
    assert asking.lead(margins, right).mean() == pytest.approx(area - random)


# -- the chapter -------------------------------------------------------------------------------


def test_right_answers_so_far_are_counted_in_the_order_of_the_stream():
    """Items 0, 1, 2 came third, first and second."""
    scores = SimpleNamespace(items={"em": [0.0, 1.0, 0.0], "place": [2.0, 0.0, 1.0]})
    run = SimpleNamespace(scores_of=lambda role: scores)
    assert views.in_place(run, "codes", "em").tolist() == [1, 0, 0]
    assert views.so_far(np.array([1, 0, 0])).tolist() == pytest.approx([1, 1 / 2, 1 / 3])


@pytest.mark.parametrize("tier", ["smoke", "classroom", "laptop", "full", "paper"])
def test_a_stream_is_as_long_as_what_is_asked_of_it(tier):
    """Otherwise a System would be asked another stream than its own, and nothing would pair."""
    base, budget = foundation("tiny"), experiment.budget(tier)
    taught = experiment.taught(tier, "bundled")
    cells, _ = experiment.cells(
        base, taught, methods=["StreamICL 8"], rates=(1e-3,), seeds=(0, 1), **budget.settings
    )
    probes = experiment.probes(tier, "bundled")
    for cell in cells[1:]:
        own, other = sorted(views.STREAMS, key=lambda s: s != cell.labels["stream"])
        assert probes[own].watches(cell.checkpoint) and not probes[other].watches(cell.checkpoint)
    assert len(cells) == 1 + 2 * 2


def test_a_third_of_the_rate_is_the_same_arm_at_another_rate():
    base, taught = foundation("tiny"), experiment.taught("smoke", "bundled")
    cells, central = experiment.cells(
        base,
        taught,
        methods=["LoRA", "LoRA ÷3"],
        rates=(1e-3,),
        **experiment.budget("smoke").settings,
    )
    labels = [(c.labels["method"], c.labels["learning_rate"]) for c in cells[1:3]]
    assert labels == [("LoRA", 1e-3), ("LoRA", 3e-4)] and len(central) == 5


@pytest.mark.parametrize(("rate", "name"), [(1e-3, "LoRA"), (3e-4, "LoRA ÷3"), (1e-5, "LoRA")])
def test_a_run_at_an_arms_own_rate_is_that_arms(rate, name):
    """It stands on the other's curve in records, and under its own name in tables."""
    run = SimpleNamespace(tier="laptop", labels={"method": "LoRA", "learning_rate": rate})
    assert published.arm_of(experiment, run) == name
    assert {"LoRA", "LoRA ÷3"} <= set(views.LOOKS)
