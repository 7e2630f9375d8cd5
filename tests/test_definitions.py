"""Definitions of forgetting: by hand, by loops, and what must hold for any matrix."""

import math
import re
from pathlib import Path

import jinja2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forgetting.evidence.definitions import (
    NotMeasured,
    average_accuracy,
    average_incremental_accuracy,
    backward_transfer,
    cross_entropy_change,
    drop_from_original,
    every_definition,
    forward_transfer,
    initial_last_drop,
    intransigence,
    maximum_drop,
    relative_drop,
)
from forgetting.site import worked_examples

NAN = math.nan
# Four tasks. Task 0 rises to 0.75 and falls; task 1 rises; task 2 was best before it was learned.
R = [
    [0.50, 0.25, 0.75, 0.00],
    [0.75, 0.50, 0.75, 0.25],
    [0.50, 0.75, 0.50, 0.25],
    [0.25, 0.75, 0.25, 1.00],
]
BEFORE = [0.25, 0.00, 1.00, 0.00]

accuracies = st.floats(0, 1, width=32)
matrices = st.integers(2, 6).flatmap(lambda t: arrays(float, (t, t), elements=accuracies))


def test_average_accuracy_by_hand():
    assert average_accuracy(R) == (0.25 + 0.75 + 0.25 + 1.0) / 4 == 0.5625
    assert [average_accuracy(R, after=k) for k in range(3)] == [0.5, 0.625, 1.75 / 3]
    assert average_incremental_accuracy(R) == pytest.approx((0.5 + 0.625 + 1.75 / 3 + 0.5625) / 4)


def test_drops_by_hand():
    assert initial_last_drop(R).tolist() == [0.25, -0.25, 0.25]
    assert backward_transfer(R) == pytest.approx(-0.25 / 3)
    assert maximum_drop(R, since="learned").tolist() == [0.5, 0.0, 0.25]
    assert maximum_drop(R).tolist() == [0.5, 0.0, 0.5]  # task 2 was at 0.75 before its turn
    assert maximum_drop(R, before=BEFORE).tolist() == [0.5, 0.0, 0.75]  # and at 1 before all


def test_a_gain_at_the_very_end_is_a_negative_maximum_drop():
    """The maximum leaves the last row out."""
    assert maximum_drop([[0.5, 0.0], [0.75, 1.0]]).tolist() == [-0.25]


def test_forward_transfer_and_intransigence_by_hand():
    assert forward_transfer(R, BEFORE) == pytest.approx((0.25 - 0.25 + 0.25) / 3)
    assert intransigence(R, [1.0, 0.5, 0.25, 1.0]).tolist() == [0.5, 0.0, -0.25, 0.0]


def test_drops_from_an_original_by_hand():
    assert drop_from_original([0.5, 0.25], [0.25, 0.5]).tolist() == [0.25, -0.25]
    assert relative_drop([0.5, 0.25], [0.25, 0.5]).tolist() == [0.5, -1.0]
    assert relative_drop([0.75, 0.5], [0.5, 0.25], chance=0.25).tolist() == [0.5, 1.0]
    assert relative_drop([0.75, 0.5], [0.5, 0.25], chance=[0.5, 0.0]).tolist() == [1.0, 0.5]


def test_cross_entropy_change_by_hand():
    assert cross_entropy_change([2.0, 3.0], [2.5, 3.25]) == 0.375
    assert cross_entropy_change([2.0, 3.0], [2.5, 3.25], tokens=[300, 100]) == 0.4375
    assert cross_entropy_change([2.0], [math.inf]) == math.inf


def test_a_model_that_never_changes_forgets_nothing_and_learns_nothing():
    still = every_definition(np.tile(BEFORE, (4, 1)), BEFORE, [1.0] * 4)
    drops = "forward_transfer backward_transfer initial_last_drop maximum_drop drop_from_original"
    assert [still[name] for name in drops.split()] == [0.0] * 5
    assert math.copysign(1, still["backward_transfer"]) == 1  # a page shows no "-0.00"
    assert still["intransigence"] == 1 - sum(BEFORE) / 4


def by_loops(matrix, before, reference):
    """The papers' sums with their indices, 1 to T, and plain Python."""
    T = len(matrix)
    old = range(1, T)

    def a(k, j):
        return float(matrix[k - 1][j - 1])

    def mean(terms):
        terms = list(terms)
        return sum(terms) / len(terms)

    A = [mean(a(k, j) for j in range(1, k + 1)) for k in range(1, T + 1)]
    return {
        "average_accuracy": A[-1],
        "average_incremental_accuracy": mean(A),
        "forward_transfer": mean(a(j - 1, j) - float(before[j - 1]) for j in range(2, T + 1)),
        "backward_transfer": mean(a(T, j) - a(j, j) for j in old),
        "initial_last_drop": mean(a(j, j) - a(T, j) for j in old),
        "maximum_drop": mean(max(a(k, j) for k in old) - a(T, j) for j in old),
        "since learned": mean(max(a(k, j) for k in range(j, T)) - a(T, j) for j in old),
        "since before": mean(max(before[j - 1], *(a(k, j) for k in old)) - a(T, j) for j in old),
        "drop_from_original": mean(float(before[j - 1]) - a(T, j) for j in old),
        "intransigence": mean(float(reference[j - 1]) - a(j, j) for j in range(1, T + 1)),
    }


@given(matrices, st.data())
def test_every_definition_is_its_papers_sum(matrix, data):
    vector = arrays(float, len(matrix), elements=accuracies)
    before, reference = data.draw(vector), data.draw(vector)
    found = every_definition(matrix, before, reference) | {
        "since learned": maximum_drop(matrix, since="learned").mean(),
        "since before": maximum_drop(matrix, before=before).mean(),
    }
    assert found == pytest.approx(by_loops(matrix, before, reference), abs=1e-12)
    assert -1 <= found["backward_transfer"] <= 1


@given(matrices)
def test_where_tasks_only_fade_after_learning_both_drops_agree(matrix):
    fading = np.minimum.accumulate(matrix, axis=0)
    lower = np.tril(fading) + np.triu(np.full_like(fading, NAN), 1)
    drop = maximum_drop(lower, since="learned")
    assert (drop == initial_last_drop(lower)).all() and (drop >= 0).all()


def test_since_learned_the_order_of_the_old_tasks_does_matter():
    """Swapping tasks 0 and 2 changes which rows lie after learning."""
    swapped = np.array(R)[np.ix_([2, 1, 0, 3], [2, 1, 0, 3])]
    assert maximum_drop(R, since="learned").tolist() == [0.5, 0.0, 0.25]
    assert maximum_drop(swapped, since="learned")[[2, 1, 0]].tolist() == [0.25, -0.25, 0.5]


@given(arrays(float, 3, elements=st.floats(0.5, 1)), arrays(float, 3, elements=accuracies))
def test_a_relative_drop_is_one_at_chance_and_ignores_how_accuracy_is_scaled(before, after):
    assert relative_drop(before, [0.25] * 3, chance=0.25) == pytest.approx([1.0] * 3)
    halved = relative_drop(before / 2, after / 2, chance=0.125)
    assert halved == pytest.approx(relative_drop(before, after, chance=0.25))


def without(*entries):
    matrix = np.array(R)
    for entry in entries:
        matrix[entry] = NAN
    return matrix


def test_what_a_definition_does_not_need_may_be_missing():
    lower = np.where(np.tri(4, dtype=bool), R, NAN)
    assert average_incremental_accuracy(lower) == average_incremental_accuracy(R)
    assert initial_last_drop(lower).tolist() == initial_last_drop(R).tolist()
    assert maximum_drop(lower, since="learned").tolist() == [0.5, 0.0, 0.25]
    assert intransigence(lower, [1.0] * 4).tolist() == intransigence(R, [1.0] * 4).tolist()
    ends = without((1, 0), (2, 0), (2, 1))
    assert backward_transfer(ends) == backward_transfer(R)


def test_what_is_needed_and_missing_is_named():
    drop, best, ahead = "the initial-last drop", "the maximum drop", "forward transfer"
    for compute, (i, j), what, hint in [
        (backward_transfer, (3, 1), drop, ""),
        (initial_last_drop, (1, 1), drop, ""),
        (lambda R: maximum_drop(R, since="learned"), (2, 0), best, ""),
        (maximum_drop, (0, 2), best, ", or give since='learned'"),
        (lambda R: forward_transfer(R, BEFORE), (1, 2), ahead, ""),
    ]:
        with pytest.raises(NotMeasured) as caught:
            compute(without((i, j)))
        assert str(caught.value) == (
            f"R[{i}, {j}]=nan: {what} needs the accuracy on task {j} after learning task {i}; "
            f"measure it{hint}"
        )
    for compute, entry in [
        (lambda: intransigence(R, [NAN, 1.0, 1.0, 1.0]), "reference[0]"),
        (lambda: drop_from_original([NAN, 0.5], [0.5, 0.5]), "before[0]"),
        (lambda: cross_entropy_change([2.0], [NAN]), "after[0]"),
    ]:
        with pytest.raises(NotMeasured) as caught:
            compute()
        assert str(caught.value) == f"{entry}=nan: not measured; measure the model on task 0"


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (
            lambda: average_accuracy([[0.5, 0.5], [52, 0.5]]),
            "R[1, 0]=52: accuracies are fractions between 0 and 1; divide percentages by 100",
        ),
        (
            lambda: average_accuracy([[0, math.inf], [0, 0]]),
            "R[0, 1]=inf: accuracies are fractions",
        ),
        (lambda: average_accuracy([[0.5, 0.5]] * 3), "R is 3×2: must be T×T"),
        (lambda: average_accuracy([]), "R is 0: must be T×T"),
        (lambda: maximum_drop([[0.5]]), "R is 1×1: the maximum drop needs two tasks or more"),
        (lambda: average_accuracy(R, after=4), "after=4: R has tasks 0 to 3; name one of them"),
        (lambda: average_accuracy(R, after=-1), "after=-1: R has tasks 0 to 3"),
        (lambda: forward_transfer(R, [0.5, 0.5]), "before has shape (2,): must be (4,), a number"),
        (lambda: drop_from_original([], []), "before has shape (0,): must be (tasks,)"),
        (lambda: drop_from_original([0.5], [-0.1]), "after[0]=-0.1: must be between 0 and 1"),
        (lambda: maximum_drop(R, since="first"), "since='first': must be 'start' or 'learned'"),
        (lambda: maximum_drop(R, BEFORE, "learned"), "since='learned': leaves `before` out; drop"),
        (
            lambda: relative_drop([0.5, 0.25], [0.5, 0.25], chance=0.25),
            "before[1]=0.25: not above chance=0.25, so no share of it can be lost",
        ),
        (lambda: cross_entropy_change([-1.0], [1.0]), "before[0]=-1: must be at least 0"),
        (lambda: cross_entropy_change([math.inf], [1]), "before=inf: the original model has no"),
        (lambda: cross_entropy_change([1], [1], [0]), "tokens: must add up to a positive number"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(compute, message):
    with pytest.raises(ValueError) as caught:
        compute()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_the_pages_matrix_is_forgetting_by_one_definition_and_progress_by_another():
    expected = {
        "maximum_drop": 0.2,
        "initial_last_drop": 0.1,
        "drop_from_original": -0.1,
        "backward_transfer": -0.1,
        "forward_transfer": 0.05,
        "intransigence": 0.1,
        "average_accuracy": 2.05 / 3,
        "average_incremental_accuracy": (0.7 + 0.85 + 2.05 / 3) / 3,
    }
    assert worked_examples.book_values()["trained"] == pytest.approx(expected)


def test_the_pages_floor_example_turns_round_above_chance():
    small, large = worked_examples.book_values()["floor"].values()
    assert (small["relative"], large["relative"]) == pytest.approx((0.1, 0.2))
    assert (small["above_chance"], large["above_chance"]) == pytest.approx((0.6, 0.4))


def test_the_pages_churn_example_has_one_accuracy_and_half_the_answers_changed():
    found = worked_examples.example_churn()
    assert (found.both, found.lost, found.gained, found.neither) == (4, 2, 2, 2)
    assert found.difference == 0 and found.agreement == 0.5 and found.agreement_on == "choice"


def test_every_number_that_the_page_asks_for_is_there():
    """A bar inside a table cell would end the cell, and the page would show the braces."""
    page = (Path(__file__).parents[1] / "book" / "definitions.md").read_text(encoding="utf-8")
    asked = re.findall(r"\{\{.*?\}\}", page, re.DOTALL)
    assert len(asked) > 40 and not any("|" in one for one in asked)
    strict = jinja2.Environment(undefined=jinja2.StrictUndefined)
    values = {"definitions": worked_examples.book_values()}
    for one in asked:
        assert re.fullmatch(r"[-+]?\d+(\.\d\d)?", strict.from_string(one).render(r=values)), one
