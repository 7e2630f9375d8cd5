"""Trajectories: what arms make of tasks in turn, what is read along an order, and its tables."""

import pickle
from collections import Counter

import numpy as np
import pytest
from studies import scores

from forgetting import Task, chapters
from forgetting.chapters import published
from forgetting.chapters.lamol import views
from forgetting.chapters.lamol.experiment import ARMS, experiment
from forgetting.evidence import definitions, papers
from forgetting.evidence.trajectories import (
    Trajectory,
    dream_reports,
    in_one_order,
    single_scores,
    trajectories,
)
from forgetting.experiments import study
from forgetting.experiments.arms import At, InTurn
from forgetting.experiments.study import Cell
from forgetting.objectives import EWC, GEM, CrossEntropy, KeepClose, QuestionAndText
from forgetting.recipes import Rehearsed
from forgetting.site.markup import Contents
from forgetting.site.pages import method_cards

NAMED = {"sst": Task("mini_sentiment"), "srl": Task("mini_roles"), "woz": Task("mini_state")}
QUICK = {"style": "sft", "examples": 4, "length": 192, "batch": 4}
IN_TURN = {name: arm for name, arm in ARMS.items() if isinstance(arm, InTurn)}


def stages(tiny, name, tasks=None):
    """The base, and the checkpoint after each task."""
    return [tiny, *IN_TURN[name].stages(At(tiny, tasks or NAMED, 1e-3, settings=QUICK))]


# -- the graph ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IN_TURN)
def test_an_arm_learns_each_task_from_the_last_checkpoint(tiny, name):
    base, *learned = stages(tiny, name)
    for before, after in zip([base, *learned], learned, strict=False):
        assert after.step.parent == before
        # Whoever it takes words or weights from was there before it.
        assert {parent.key for parent in after.parents} <= set(before.ancestors())
    shown = [checkpoint.step.shown for checkpoint in learned]
    assert [getattr(each, "new", each).task for each in shown] == list(NAMED.values())


def test_arms_differ_after_the_first_task_and_share_the_first(tiny):
    ends = {name: stages(tiny, name) for name in IN_TURN}
    assert len({end[1].key for end in ends.values()}) == 2  # with texts and without
    few = {"replay 1 %", "replay 5 %", "replay 10 %", "replay 20 %"}  # the same one of four, here
    assert len({e[3].key for n, e in ends.items() if n not in few}) == len(IN_TURN) - len(few)


def test_what_is_asked_for(tiny):
    last = {name: stages(tiny, name)[-1].step for name in IN_TURN}
    asked = {name: step.objective or CrossEntropy() for name, step in last.items()}
    assert asked["fine-tune"] == asked["free text"] == CrossEntropy()
    assert asked["LAMOL"] == asked["real"] == QuestionAndText(0.25)
    assert asked["free text KL"] == KeepClose(1.0)
    ewc, gem = asked["EWC"], asked["GEM"]
    assert isinstance(ewc, EWC) and isinstance(gem, GEM)
    assert [old.shown.task for old in ewc.old] == list(NAMED.values())[:2]
    assert [len(old.of.ancestors()) for old in gem.old] == [2, 3]  # as each had just been learned
    assert isinstance(last["replay 5 %"].shown, Rehearsed)


def test_every_step_of_every_arm_can_go_to_a_worker(tiny):
    """What a cluster is sent: steps that survive pickling, samples before what learns from them."""
    cells = [
        Cell(checkpoint, {"method": name, "learning_rate": 1e-3, "seed": 0})
        for name in IN_TURN
        for checkpoint in stages(tiny, name)[1:]
    ]
    probes = experiment.probes("smoke", "bundled", ["sst", "srl", "woz"])
    graph = study.plan([study.Question("lamol", "smoke", cells, probes)])
    planned = set()
    for key, step in graph.items():
        assert set(step.needs) <= planned
        planned.add(key)
        assert pickle.loads(pickle.dumps(step)).key == key
    kinds = Counter(step.kind.partition(" ")[0] for step in graph.values())
    # Before the second task all LAMOL's variants share one drawing, greedy dreams have their own;
    # before the third, one dream for two old tasks is none. SSR: a question and an answer, then an
    # answer to the same question and both for the second old task. Free text: two openings, and
    # before the third task two models to go on from each.
    assert kinds["sample"] == 2 + (2 + 3) + (2 + 4)


# -- measured ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(tiny, session_home, tmp_path_factory):
    """Two tasks, three arms, fine-tuning in both orders, at the smoke tier."""
    home = tmp_path_factory.mktemp("measured")
    (home / "models").symlink_to(session_home / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGETTING_HOME", str(home))
        found = views.runs_in_turn(
            "smoke",
            "bundled",
            ["sst", "srl"],
            methods=["fine-tune", "LAMOL", "multitask"],
            orders=["fine-tune"],
            learning_rates=[1e-3],
            say=lambda line: None,
            **QUICK,
        )
        stored = experiment.stored("smoke")
    order = ["fine-tune", "LAMOL", "multitask"]
    found.sort(key=lambda each: (order.index(each.method), each.order != "sst, srl"))
    return {"trajectories": found, "runs": stored}


@pytest.fixture
def found(measured):
    return measured["trajectories"]


def test_a_trajectory_has_a_run_before_and_after_each_task(found):
    assert [(t.method, t.order, len(t.runs)) for t in found] == [
        ("fine-tune", "sst, srl", 3),
        ("fine-tune", "srl, sst", 3),
        ("LAMOL", "sst, srl", 3),
        ("multitask", "sst, srl", 2),
    ]
    first, second, lamol, _ = found
    assert first.measures() == ["sst.em", "srl.em"]
    assert first.measures("drawn") == ["sst, drawn.em", "srl, drawn.em"]
    assert second.names == ("mini_roles", "mini_sentiment")
    assert first.runs[0] == second.runs[0] == lamol.runs[0] and first.runs[0].start
    assert lamol.runs[2].shown["dreams"] == 1 and len(dream_reports(lamol.runs[2])) == 1
    assert lamol.runs[2].labels["last"] == "srl"
    assert [run.labels.get("learned") for run in lamol.runs] == [None, "1 of 2", "2 of 2"]
    drawn = {"sst, drawn", "srl, drawn"}
    assert drawn <= lamol.runs[2].scores.keys() and not drawn & lamol.runs[1].scores.keys()


def test_trajectories_are_read_from_their_ends(measured, found):
    """Through all of these tasks and no others, at one rate, whoever else shares a checkpoint."""
    two = dict(list(NAMED.items())[:2])
    runs = measured["runs"]
    again = trajectories(runs, two, 1e-3)
    assert {(t.method, t.order): t.runs for t in again} == {
        (t.method, t.order): t.runs for t in found
    }
    assert trajectories(runs, NAMED, 1e-3) == trajectories(runs, two, 5e-4) == []
    ends = [run for run in runs if run.start or run.labels["learned"] == "2 of 2"]
    assert [t.method for t in trajectories(ends, two)] == ["multitask"]  # others lack their middle


class Said:
    """A run that says these scores; drawn answers are worth 0.25."""

    def __init__(self, row):
        self.row = row

    def mean(self, measure):
        role = measure.rpartition(".")[0]
        return 0.25 if role.endswith(", drawn") else self.row[role]

    def scores_of(self, role):
        return scores("a task of nobody", em=[1])


def said(method, order, scores):
    """A trajectory whose runs say these scores."""
    runs = tuple(Said(dict(zip(order, row, strict=True))) for row in scores)
    return Trajectory(method, order, order, ("em",) * len(order), 0, runs)


AB, BA = ("a", "b"), ("b", "a")


def test_the_matrix_by_hand():
    """Two tasks: the first goes from 0.1 to 0.9 and back to 0.5; the second ends at 0.7."""
    one = said("fine-tune", AB, [[0.1, 0.0], [0.9, 0.2], [0.5, 0.7]])
    assert one.final() == pytest.approx(0.6) and one.final("drawn") == 0.25
    assert one.floors() == [{}, {}]
    lost = one.forgetting({"a": 0.9, "b": 0.8})
    assert lost["backward_transfer"] == pytest.approx(-0.4)
    assert lost["forward_transfer"] == pytest.approx(0.2)
    assert lost["intransigence"] == pytest.approx(0.05)
    R = np.array([[0.9, 0.2], [0.5, 0.7]])
    assert lost == definitions.every_definition(R, [0.1, 0.0], [0.9, 0.8])
    assert "intransigence" not in one.forgetting({"a": 0.9})


def test_what_was_learned_alone_is_what_an_order_begins_with():
    first = said("fine-tune", AB, [[0, 0], [0.9, 0], [0, 0]])
    second = said("fine-tune", BA, [[0, 0], [0.8, 0], [0, 0]])
    other = said("LAMOL", BA, [[0, 0], [0.1, 0], [0, 0]])
    assert single_scores([first, second, other], "fine-tune") == {"a": 0.9, "b": 0.8}


def test_arms_are_compared_in_the_order_that_most_of_them_went_through():
    went = (("x", BA), ("x", AB), ("y", AB))
    three = [said(method, order, [[0, 0]] * 3) for method, order in went]
    assert in_one_order(three) == three[1:]
    assert in_one_order([]) == []


# -- what the chapter draws --------------------------------------------------------------------


def test_the_tables_by_hand():
    """Two orders of one arm end at 0.6 and 0.8; drawn answers at 0.25."""
    one = said("fine-tune", AB, [[0.1, 0.0], [0.9, 0.2], [0.5, 0.7]])
    two = said("fine-tune", BA, [[0.0, 0.1], [0.8, 0.2], [0.7, 0.9]])
    both = said("multitask", AB, [[0.1, 0.0], [0.9, 0.9]])
    table = views.orders_table([one, two, both], papers.paper("1909.03329").tables["single"])
    assert table.loc["fine-tune"].tolist() == ["60.0", "80.0", "70.0\u00a0±\u00a014.1", "2"]
    assert table.loc["multitask"].tolist() == ["90.0", "", "90.0", "1"]
    again = said("fine-tune", AB, [[0, 0], [1, 0], [0.5, 0.9]])  # ends at 0.7
    three = views.orders_table([one, again, two]).loc["fine-tune"].tolist()
    assert three == ["65.0", "80.0", "72.5\u00a0±\u00a010.6", "3"]  # orders count alike
    assert views.orders_table([one, again]).loc["fine-tune", "all"] == "65.0\u00a0±\u00a07.1"
    assert table.loc["paper: each task alone", "all"] == "82.1"
    lost = views.forgetting_table([one, two, both])
    assert list(lost.index) == ["fine-tune"]
    assert lost.loc["fine-tune", "backward transfer"] == "−40.0"  # in the order of both
    # Alone a has 0.9 and b 0.8, as the second order begins with: so b lacks 0.1, and a nothing.
    assert lost.loc["fine-tune", "intransigence"] == "+5.0"
    assert views.decoding_table([one]).loc["fine-tune"].tolist() == ["60.0", "25.0", "+35.0"]


def test_the_curves_are_the_scores(found):
    first, second, lamol, both = found
    figure = views.along_orders(found)
    assert len(figure.axes) == 2
    lines = {tuple(map(float, line.get_ydata())) for line in figure.axes[0].lines}
    assert {tuple(t.scores()[:, 0]) for t in (first, lamol)} <= lines
    figure = views.along_orders(found, every_order=True)
    assert len(figure.axes) == 4
    lines = {tuple(map(float, line.get_ydata())) for line in figure.axes[1].lines}
    assert tuple(second.scores()[:, second.tasks.index("sst")]) in lines
    known = views.known_table(found)
    assert known.loc["multitask", "sst, score"] == f"{100 * both.scores()[-1, 0]:.0f}"
    told_apart = lamol.runs[-1].mean("srl, told apart.told_apart")
    assert known.loc["LAMOL", "srl, told apart"] == f"{100 * told_apart:.0f}"
    balanced = both.runs[-1].mean("sst.balanced")
    assert known.loc["multitask", "sst, balanced"] == f"{100 * balanced:.0f}"
    guess, alike = known.loc["a guess"], known.loc["always one answer"]
    assert (guess["sst, score"], guess["srl, told apart"], guess["srl, score"]) == ("50", "50", "")
    right = first.floors()[0]["always one answer"]
    assert alike["sst, score"] == f"{100 * right:.0f}" and alike["sst, told apart"] == ""
    assert views.orders_table(found).loc["always one answer", "runs"] == ""
    assert both.training_seconds() > 0


def test_time_is_told_in_terms_of_fine_tuning(found):
    first, _, lamol, _ = found
    axis = views.spent(found).axes[0]
    places = {
        container.get_label(): float(container.lines[0].get_xdata()[0])
        for container in axis.containers
    }
    assert places["fine-tune"] == 1.0
    ratio = lamol.training_seconds() / first.training_seconds()
    assert places["LAMOL"] == pytest.approx(ratio)
    assert "times that of LAMOL" in views.spent([lamol]).axes[0].get_xlabel()


def test_dreams_are_told_by_place_and_task(found):
    table = views.dreams_table(found, "LAMOL")
    assert list(table.index) == ["sst, generation 1"]
    assert table["written"].tolist() == [1]
    assert views.gallery_table(found, "fine-tune").empty


def test_dreams_of_several_draws_are_pooled():
    """Two draws of ten: 4 dreams of novelty 0.5, all "no"; 1 of novelty 1, "yes"."""
    one = {"dreams": 4, "novelty": 0.5, "distinct": 1.0, "copies": 1, "answers": {"no": 1.0}}
    two = {"dreams": 1, "novelty": 1.0, "distinct": 1.0, "copies": 0, "answers": {"yes": 1.0}}
    real = {"real answers": {"yes": 0.75, "no": 0.25}}
    row = views._of_dreams(
        [({"dreams": 10, "valid": 5}, one | real), ({"dreams": 10, "valid": 3}, two | real)]
    )
    assert (row["written"], row["valid"], row["like this task"]) == (20, "40%", 5)
    assert (row["novelty"], row["copies"], row["distinct"]) == ("0.60", 1, "100%")
    assert (row["answers"], row["real answers"]) == ("no 80%, yes 20%", "yes 75%, no 25%")
    nothing = views._of_dreams([({"dreams": 10, "valid": 0}, {"dreams": 0} | real)])
    assert (nothing["valid"], nothing["novelty"], nothing["answers"]) == ("0%", "nan", "")


def test_a_card_shows_what_an_arm_ended_with(found):
    contents, in_turn = Contents(("05_lamol",)), {"lamol": found}
    known = {card.name: card for card in method_cards.method.cards()}

    def rows(card):
        text = method_cards.page(known[card], {}, contents, in_turn)
        lines = ([cell.strip() for cell in line.split("|")] for line in text.splitlines())
        return {name: rest for _, name, *rest in (line for line in lines if len(line) > 4)}, text

    first = found[0]  # the second is of another order, through which nothing else went
    later = 100 * first.forgetting({})["backward_transfer"]
    fine_tune, _ = rows(next(n for n in known if "InForm" in known[n].members))
    assert fine_tune["fine-tune"][:3] == ["1", f"{100 * first.final():.1f}", f"{later:+.1f}"]
    together, _ = rows(next(n for n in known if "Together" in known[n].members))
    assert together["multitask"][2] == "–"
    assert "No run of it" in rows(next(n for n in known if "GEM" in known[n].members))[1]


def test_the_published_trajectories_are_complete():
    """Fine-tuning and LAMOL went through all six orders."""
    orders = {}
    for each in published.sequences("lamol"):
        orders.setdefault(each.method, set()).add(each.order)
    assert len(orders["fine-tune"]) == len(orders["LAMOL"]) == 6
    assert set(chapters.experiment("lamol").budget("laptop").arms) <= orders.keys()
