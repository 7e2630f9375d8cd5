"""The chapters on chat and task vectors: which checkpoints their arms are, and what views read."""

from types import SimpleNamespace

import pytest

from forgetting.chapters.adding import views as adding
from forgetting.chapters.adding.experiment import chat, chinese, experiment
from forgetting.chapters.skills import views as skills
from forgetting.chapters.skills.experiment import experiment as of_skills
from forgetting.experiments.arms import At
from forgetting.lineage import foundation
from forgetting.tasks import Task


@pytest.fixture
def at():
    settings = dict(experiment.budget("laptop").settings)
    tasks = {"chinese": Task("zh_articles")}
    return At(foundation("gemma3-270m"), tasks, 2e-5, seed=1, settings=settings)


def coefficients(checkpoint):
    """Of a sum of weights, by operand, how often each counts."""
    return {parent.key: factor for factor, parent in checkpoint.step.terms}


@pytest.mark.parametrize("dose", [0.5, 1.0, 1.5])
def test_a_dose_of_the_chat_vector_is_a_sum_of_three_models(at, dose):
    found = experiment.arms_of(at.base)[f"CP + {dose:g} τ"](at)
    expected = {chinese(at).key: 1.0, chat(at).key: dose, at.base.key: -dose}
    assert coefficients(found) == expected


def test_a_difference_from_the_wrong_base_is_the_chat_model(at):
    wrong = chinese(at) + 1.0 * (chat(at) - chinese(at))
    assert wrong == chat(at)


def test_the_same_answers_are_taught_before_after_and_beside(at):
    """What the chat model learns and what CP learns afterwards differ in nothing but the start."""
    beside = chat(at).recipe()
    after = experiment.arms_of(at.base)["CP, then answers"](at).recipe()
    assert beside != after
    assert {k: v for k, v in beside.items() if v != after[k]}.keys() == {"parent"}


def test_embeddings_stay_in_every_training(at):
    arms = experiment.arms_of(at.base)
    for name, arm in arms.items():
        steps = [c.step for c in arm(at).ancestors().values() if hasattr(c.step, "tune")]
        assert steps and all(type(step.tune).__name__ == "FreezeEmbeddings" for step in steps), name


def test_three_skills_are_added_as_often_as_the_sum_says():
    base = foundation("smollm2-135m")
    at = At(
        base, {"sentiment": Task("sst")}, 1e-4, settings=dict(of_skills.budget("laptop").settings)
    )
    arms = of_skills.arms_of(base)
    found = coefficients(arms["sum × 0.5"](at))
    single = {arms[name](at).key: 0.5 for name in ("sentiment", "queries", "roles")}
    assert found == {**single, base.key: -0.5}
    by_analogy = coefficients(arms["stars of products, by analogy"](at))
    assert sorted(by_analogy.values()) == [-1.0, 1.0, 1.0] and base.key not in by_analogy


def test_a_share_of_a_gain_is_that_of_the_skill_alone(monkeypatch):
    """Untouched 3 nats, alone 1, in the sum 2: half of the gain."""

    def run(nats, start=False):
        return SimpleNamespace(seed=0, start=start, mean=lambda measure: nats)

    start = run(3.0, start=True)
    groups = {
        "sentiment": [run(1.0)],
        "queries": [run(1.0)],
        "roles": [run(3.0)],
        "sum": [run(2.0)],
    }
    monkeypatch.setattr(skills.records, "start_of", lambda stored: start)
    monkeypatch.setattr(skills, "ends", lambda stored: groups)
    assert skills.shares_of_gain([], "sum") == {"sentiment": [0.5], "queries": [0.5], "roles": []}


def test_the_views_name_arms_that_there_are():
    known = set(experiment.arms_of(foundation("gemma3-270m")))
    assert {*adding.SUMS.values(), *adding.BESIDE} <= known
    ours = set(of_skills.arms_of(foundation("smollm2-135m")))
    assert {*skills.JOINED, *skills.SUBTRACTED, *skills.ANALOGIES} <= ours
