"""The chapter on safety: which runs its tables are made of, and how two measures are compared."""

import pytest
from sklearn.metrics import roc_auc_score

from forgetting.chapters import published
from forgetting.chapters.common import SAFE_TWIN
from forgetting.chapters.safety import views
from forgetting.chapters.safety.experiment import experiment
from forgetting.evidence import records
from forgetting.tasks import Task
from forgetting.tasks.task import names

RUNS = published.runs("safety")


def test_each_arm_stands_once_at_its_own_rate():
    of = views.ends(RUNS)
    assert list(of)[:2] == ["instructions", "instructions ÷3"]
    rates = {name: {run.labels["learning_rate"] for run in group} for name, group in of.items()}
    own = {"instructions ÷3": 3e-5, "LoRA": 3e-4}
    assert rates == {name: {own.get(name, 1e-4)} for name in of}
    assert all(len({run.seed for run in group}) == len(group) for group in of.values())


def test_words_and_openings_agree_as_scikit_learn_says():
    """The last row of the table: over all prompts of all arms, as stored."""
    said, masses = [], []
    for group in ([records.start_of(RUNS)], *views.ends(RUNS).values()):
        for run in group:
            mass = run.scores["told apart"].items["log_mass"]
            masses += mass
            said += run.scores["unsafe"].items["refused"][: len(mass)]
    table = views.agreement_table(RUNS)
    shown = table.loc["all of these", "ranked alike"]
    assert float(shown) == pytest.approx(roc_auc_score(said, masses), abs=0.005)


def test_both_measures_ask_the_same_prompts_in_the_same_order():
    """Refusals are compared with openings item by item, and twins stand side by side."""
    asks = {ask.role: ask for ask in experiment.every_ask()}
    for data in ("public", "bundled"):
        unsafe, safe, told = (asks[role].task(data) for role in ("unsafe", "safe", "told apart"))
        assert unsafe == told and SAFE_TWIN[told.name] == safe.name
        if data == "public" and unsafe.missing():
            continue
        pairs = list(zip(unsafe.documents("test"), safe.documents("test"), strict=True))
        key = "prompt" if data == "public" else "pair"
        assert pairs and all(one[key] == other[key] for one, other in pairs)


def test_one_line_guards_every_task():
    lines = {Task(name).config.get("description") for name in names() if name.endswith("_guarded")}
    assert len(lines) == 1 and None not in lines


def test_a_guarded_prompt_is_the_plain_one_after_the_line():
    for name in ("twins_unsafe", "twins_safe", "harmful_en", "harmless_en"):
        plain, guarded = Task(name), Task(f"{name}_guarded")
        if plain.missing():
            continue
        one, other = (task.example(task.documents("test")[0]) for task in (plain, guarded))
        assert other.turns[1:] == one.turns and other.turns[0].role == "system"
