"""The chapter on averaging: which runs its figures and tables are made of."""

import pytest

from forgetting.chapters import halves, published
from forgetting.chapters.averaging import views
from forgetting.evidence import records

RUNS = published.runs("averaging")


def test_each_arm_stands_once_at_its_own_rate_after_its_last_epoch():
    of = views.ends(RUNS)
    assert list(of)[:2] == ["tuned", views.SLOW]
    rates = {name: {run.labels["learning_rate"] for run in group} for name, group in of.items()}
    assert rates == {name: {3e-5 if name == views.SLOW else 1e-4} for name in of}
    assert {run.labels["epochs"] for group in of.values() for run in group} == {3}
    assert all(len({run.seed for run in group}) == len(group) for group in of.values())


def test_the_figure_of_refusals_has_each_training_where_its_records_say():
    axis = views.refusing(RUNS).axes[0]
    places = {line.get_label(): line.get_xydata()[0] for line in axis.get_lines()[1:]}
    for name, rate in (("tuned", 1e-4), (views.SLOW, 3e-5)):
        group = records.select(RUNS, method="tuned", learning_rate=rate, epochs=3)
        by_hand = [
            sum(sum(run.scores[role].items["refused"]) / run.scores[role].n for run in group) / 3
            for role in ("safe", "unsafe")
        ]
        assert places[name] == pytest.approx(by_hand)


def test_a_lambda_is_chosen_on_one_half_and_told_of_the_other():
    """By hand: half way the even item is better and the odd one worse than at the end."""

    def run(*nats, seed=0):
        scores = SimpleScores([-value for value in nats])
        return SimpleRun(scores, seed)

    start, end, half = run(2.0, 2.0), run(1.0, 1.0), run(0.5, 3.0)
    path = {0.5: half, 1.0: end}
    assert halves.better(path, start, "new.nats", half=0) == {0.5: 1.5, 1.0: 1.0}
    assert halves.better(path, start, "new.nats", half=1) == {0.5: -1.0, 1.0: 1.0}
    assert views._worth({0.5: 0.79, 0.75: 0.8, 1.0: 1.0}) == [0.75, 1.0]
    assert views._worth({0.5: -0.3, 1.0: -0.1}) == [1.0]


class SimpleScores:
    """Items of one token each."""

    def __init__(self, log_likelihoods):
        self.nats = [-value for value in log_likelihoods]

    def values(self, metric):
        return self.nats, [1] * len(self.nats)


class SimpleRun:
    def __init__(self, scores, seed):
        self.scores, self.seed = scores, seed

    def scores_of(self, role):
        return self.scores
