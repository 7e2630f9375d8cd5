"""Lineage: a checkpoint's key is its recipe's, and weights add up as on paper."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import (
    FreezeFirst,
    Full,
    LoRA,
    Task,
    foundation,
)
from forgetting.lineage import Merge, Samples, Settings, TaskVector
from forgetting.models import foundations
from forgetting.objectives import CrossEntropy, SelectiveMasking
from forgetting.recipes.self_output import SelfOutput

CHINESE = Task("zh_everyday")
few = settings(max_examples=25)
# Halves, quarters, …: their sums are exact, so the order of adding cannot matter.
FACTORS = st.integers(-64, 64).map(lambda n: n / 16)


@pytest.fixture(scope="module")
def base(tiny):
    return tiny


def checkpoints():
    """`tiny`, taught no lesson, one, or two in a row."""

    def taught(seeds):
        checkpoint = foundation("tiny")
        for seed in seeds:
            checkpoint = checkpoint.train(CHINESE, seed=seed)
        return checkpoint

    return st.lists(st.integers(0, 5), max_size=2).map(taught)


def vectors():
    return st.builds(lambda a, b, factor: factor * (a - b), checkpoints(), checkpoints(), FACTORS)


def test_what_is_pinned_of_tiny_is_so(base):
    facts, folder = base.foundation.facts, base.foundation.folder
    assert facts["parameters"] == foundations.parameter_count(folder) == 26880
    assert facts["layers"] == base.layers == 2


def test_equal_recipes_are_equal_checkpoints(base):
    one = base.train(CHINESE, tune=FreezeFirst(1), seed=1, learning_rate=1e-3)
    two = foundation("tiny").train(
        Task("zh_everyday"), tune=FreezeFirst(k=1), seed=1, learning_rate=0.001
    )
    assert one == two and one.key == two.key and len({one, two}) == 1
    assert len(one.key) == 20


CHANGES = [
    {"seed": 1},
    {"style": "sft"},
    {"learning_rate": 1e-3},
    {"tokens": 4096},
    {"length": 128},
    {"batch": 4},
    {"weight_decay": 0.0},
    {"beta2": 0.999},
    {"epsilon": 1e-8},
    {"clip": 0.5},
    {"shown": Task("english")},
    {"tune": FreezeFirst(1)},
    {"tune": LoRA()},
    {"tune": LoRA(rank=4)},
]


def test_every_change_gives_another_key(base):
    keys = [base.train(**({"shown": CHINESE} | change)).key for change in CHANGES]
    assert len({base.key, base.train(CHINESE).key, *keys}) == len(CHANGES) + 2


def test_a_change_renames_the_step_and_what_rests_on_it_alone(base):
    def family(**second_lesson):
        first = base.train(CHINESE, seed=1)
        second = first.train(CHINESE, **second_lesson)
        third = second.train(CHINESE, seed=3)
        return [base, first, second, third, base + (third - first)]

    before, after = family(), family(learning_rate=1e-5)
    same = [a.key == b.key for a, b in zip(before, after, strict=True)]
    assert same == [True, True, False, False, False]


class Hello:
    """Prompts of one text."""

    def recipe(self):
        return {"prompts": "two"}


def of_before(base):
    """Every kind of step, said in every way that there was when these keys were taken."""
    english = Task("english")
    full = base.train(CHINESE, tune=Full(), seed=3, learning_rate=1e-3)
    lora = base.train(CHINESE, tune=LoRA(rank=4), style="sft")
    half = base + 0.5 * (full - base)
    long = base.train(CHINESE, examples=9, epochs=4)
    scheduled = {"style": "sft", "examples": 4, "epochs": 3, "warmup": 0.1}
    return {
        "1dce836cabce3130d10e": base,
        "b3b2317cffd0b5a66ceb": base.train(CHINESE),
        "4a40875372f224ae63d6": full,
        "ae30f27adaa28dfd2810": lora,
        "b5dd1c299ea74a2f7c03": full.train(english, tune=FreezeFirst(1), precision="bfloat16"),
        "9fe1703a28d4a58bf217": base.train(CHINESE, objective=SelectiveMasking(), **scheduled),
        "3a7e7c0fc814561f8e24": base.train(SelfOutput(CHINESE, base), style="sft", examples=2),
        "c05f3b22038ebb67537c": long,
        "e8524061eea9c06d7e0b": long.after(2),
        "918597076286de38f4f8": half,
        "a6568253d190644bd61c": lora + 1.0 * (full - base),
        "2abc1e3306af4db86fea": base + 0.3 * (full - base) - 0.25 * (lora - base.train(CHINESE)),
        "ef4153e414ad84ee4186": half + 0.5 * (lora - base),
        "4421e07aeae8f284f84e": half.train(english, seed=1),
        "d24339f321cbc35b2f8e": Samples(half, Hello(), 8),
        "158d4d93079b8df458db": Samples(
            full, Hello(), 8, per_prompt=2, temperature=1.0, top_p=0.9, until=("\n",), seed=5
        ),
    }


def test_recipes_of_before_keep_their_keys(base):
    """What was stored under these keys is still found: new settings say nothing until given."""
    steps = of_before(base)
    assert [step.key for step in steps.values()] == list(steps)
    kinds = {getattr(step, "step", step).kind for step in steps.values()}
    assert kinds == {"foundation", "train", "merge", "samples"}
    for step in steps.values():
        assert step.recipe()["step"] == getattr(step, "step", step).kind


def test_what_is_not_said_is_said_in_one_way(base):
    """Lineage knows no tuning and no objective: without them all moves, for the next token."""
    silent = base.train(CHINESE)
    assert silent.step.tune is None and silent.step.objective is None
    amounts = {"style": "pretrain", "learning_rate": 3e-4, "tokens": 8192, "length": 256}
    for defaults in ({"tune": Full()}, {"objective": CrossEntropy()}, {"seed": 0, **amounts}):
        assert base.train(CHINESE, **defaults) == silent
    assert base.train(CHINESE, tune=LoRA()) == base.train(CHINESE, tune=LoRA(rank=8, alpha=32))
    assert repr(base.train(CHINESE, tune=Full())) == repr(silent)
    assert "objective" not in silent.recipe() and silent.recipe()["tune"] == {"kind": "Full"}


def test_stored_records_name_recipes_of_today():
    records = [json.loads(path.read_text()) for path in Path("results").glob("*/*.json")]
    trained = {
        key: recipe
        for record in records
        for key, recipe in record["lineage"].items()
        if recipe["step"] == "train"
    }
    assert trained
    for recipe in trained.values():
        assert Settings(**recipe["settings"]).recipe() == recipe["settings"]


def test_the_lineage_holds_every_ancestor_and_ends_with_oneself(base):
    chat = base.train(Task("english"), seed=7)
    first = base.train(CHINESE)
    second = first.train(CHINESE, seed=1)
    new = second + 1.0 * (chat - base)
    chain = new.lineage()
    assert set(chain) == {c.key for c in (base, chat, first, second, new)}
    assert list(chain)[-1] == new.key
    assert chain[second.key]["parent"] == first.key
    assert chain[base.key] == {"step": "foundation", "digest": base.step.digest}


def test_steps_are_tokens_over_tokens_a_batch(base):
    def steps(**amounts):
        return base.train(CHINESE, **amounts).step.settings.steps

    assert steps(tokens=8192, batch=2, length=256) == 16
    assert steps(tokens=8191, batch=2, length=256) == 15
    assert steps(tokens=16, batch=2, length=256) == 1


def test_an_epoch_is_every_example_once(base):
    given = base.train(CHINESE, examples=9, epochs=3, batch=4).step.settings
    assert (given.rows, given.epoch_steps, given.steps) == (9, 3, 9)
    recipe = given.recipe()
    assert (recipe["examples"], recipe["epochs"]) == (9, 3) and "tokens" not in recipe


def test_fewer_epochs_are_another_recipe_of_the_same_training(base):
    long, short = (base.train(CHINESE, examples=9, epochs=n) for n in (4, 2))
    assert long.after(2) == short != long == long.after(4)
    for never in (0, 5):
        with pytest.raises(ValueError, match=rf"^epochs={never}: .* was trained for 4"):
            long.after(never)
    with pytest.raises(ValueError, match=r"^epochs=1: .* was trained for 0"):
        base.after(1)


def test_a_long_chain_has_a_key_a_root_and_a_name(base):
    """3,000 steps, every fiftieth of them a merge; none was named before."""
    checkpoint = base
    for seed in range(2_940):
        checkpoint = checkpoint.train(CHINESE, seed=seed)
        if seed % 49 == 0:
            checkpoint += 0.5 * (checkpoint - base)
    assert len(checkpoint.key) == 20 and len(checkpoint.lineage()) == 3_001
    assert checkpoint.foundation is base.step and checkpoint.layers == 2
    text = repr(checkpoint)
    assert text[0] == "…" and text.endswith(".train('zh_everyday', Full(), 0.0003, seed=2939)")
    assert len(text) < 500 and text[1:9] in {key[:8] for key in checkpoint.ancestors()}


# -- algebra -----------------------------------------------------------------------------------


@few
@given(checkpoints(), checkpoints())
def test_adding_the_difference_leads_there(a, b):
    assert a + (b - a) == b


@few
@given(checkpoints(), checkpoints(), checkpoints())
def test_zero_times_a_vector_adds_nothing(a, b, c):
    assert (b - a) * 0 == TaskVector()
    assert c + (b - a) * 0 == c


@few
@given(checkpoints(), vectors(), vectors())
def test_addition_commutes(c, v, w):
    assert v + w == w + v
    assert c + (v + w) == c + (w + v)


@few
@given(checkpoints(), vectors(), vectors())
def test_vectors_may_be_added_one_after_the_other(c, v, w):
    assert c + v + w == c + w + v == c + (v + w)


@few
@given(vectors(), FACTORS, FACTORS)
def test_scaling_distributes(v, x, y):
    assert x * v + y * v == (x + y) * v
    assert v - v == TaskVector()


@few
@given(checkpoints(), vectors())
def test_coefficients_of_a_model_add_up_to_one_and_of_a_vector_to_zero(c, v):
    assert sum(factor for factor, _ in v.terms) == 0
    merged = c + v
    if isinstance(merged.step, Merge):
        assert sum(factor for factor, _ in merged.step.terms) == 1
    else:
        assert merged in (c, *(checkpoint for _, checkpoint in v.terms))


def test_a_chat_vector_on_a_taught_model(base):
    cp, chat = base.train(CHINESE), base.train(Task("english"))
    new = cp + 1.0 * (chat - base)
    assert {c.key: f for f, c in new.step.terms} == {cp.key: 1.0, chat.key: 1.0, base.key: -1.0}
    assert new.foundation == base.step


def test_parts_of_one_checkpoint_are_collected(base):
    tuned = base.train(CHINESE)
    halfway = base + 0.5 * (tuned - base)
    assert {c.key: f for f, c in halfway.step.terms} == {base.key: 0.5, tuned.key: 0.5}
    assert halfway == tuned + 0.5 * (base - tuned)


@pytest.mark.parametrize("wrong", [lambda c: 0.5 * c, lambda c: c * 0.5, lambda c: c + c])
def test_what_is_no_model_comes_with_the_remedy(base, wrong):
    with pytest.raises(TypeError, match=r"not a model; .* base \+ 0\.5 \* \(chat - base\)"):
        wrong(base)


def test_a_rate_that_changes_is_of_one_length(base):
    """Without a schedule a recipe says nothing of one, so that older keys stay."""
    assert "precision" not in Settings().recipe()  # keys of float32 are as they were
    assert Settings(precision="bfloat16").recipe()["precision"] == "bfloat16"
    assert not {"warmup", "decay"} & Settings(examples=4, epochs=2).recipe().keys()
    assert Settings(decay=True, warmup=0.1).recipe() | {"decay": True, "warmup": 0.1} == (
        Settings(decay=True, warmup=0.1).recipe()
    )
    falling = base.train(CHINESE, examples=4, epochs=2, length=32, decay=True)
    assert falling.after(2) == falling
    with pytest.raises(ValueError, match="was made for 2"):
        falling.after(1)
