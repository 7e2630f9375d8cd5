"""Experiments: what a grid holds and in which order, what is computed, and every chapter's keys."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from studies import CHINESE

from forgetting import (
    Ask,
    Budget,
    Experiment,
    FreezeFirst,
    LoRA,
    Task,
    chapters,
    foundation,
    in_turn,
    merge,
    train,
)
from forgetting.engine import compute
from forgetting.evidence.checks import Check
from forgetting.experiments import resources, study
from forgetting.experiments.arms import At, at_once, merged
from forgetting.experiments.asks import resolve
from forgetting.experiments.experiment import BadExperiment, Loss, Plane
from forgetting.lineage import Settings
from forgetting.merging import RandomVector
from forgetting.models.rows import rows_of
from forgetting.probes.measures import Drift, Spectrum
from forgetting.recipes import InForm, SelfOutput, Together
from forgetting.tasks.task import UnknownTask

MIRROR = os.environ.get("FORGETTING_DATA_MIRROR", "")  # of public data; these tests have none
QUICK = {"tokens": 64, "length": 32, "batch": 1}
TEXT = Ask("text", "zh_articles", "zh_everyday", 2, everywhere=True)
CHOICE = Ask("choice", "arc_easy_pinned", "arc_easy_standin", 2)
SEQUENCE = (
    Ask("sst", "sst", "mini_sentiment"),
    Ask("srl", "qa_srl", "mini_roles"),
    Ask("woz", "woz", "mini_state"),
)


def quiet(line):
    pass


def trial(arms, asks=(TEXT, CHOICE), teaches=TEXT, rates=(1e-3,), settings=QUICK, **given):
    budgets = {"smoke": Budget("tiny", settings, rates=rates, **given.pop("budget", {}))}
    return Experiment("trial", teaches, arms, asks, budgets, **given)


def grid(experiment, base, **given):
    """Cells at the smoke tier's settings with bundled data, and which are central."""
    budget = experiment.budget("smoke")
    given = {"rates": budget.rates, "epochs": budget.epochs, **given}
    taught = experiment.taught("smoke", "bundled", given.pop("tasks", ()))
    cells, central = experiment.cells(base, taught, **given, **budget.settings)
    return cells, [cell.checkpoint in central for cell in cells]


def labels(cells, *names):
    """The method of each cell and what else is named of its labels."""
    return [tuple(cell.labels.get(name) for name in ("method", *names)) for cell in cells]


# -- grids -------------------------------------------------------------------------------------

ARMS = {
    "full": train(),
    "freeze": train(FreezeFirst(1)),
    "LoRA ×10": train(LoRA(), rate=10, curve="LoRA"),
}


def test_a_grid_is_the_base_then_arms_by_rate_and_seed(tiny):
    """Labels have the rate that was used; the first rate's runs are central."""
    cells, central = grid(trial(ARMS, rates=(1e-4, 1e-5)), tiny, seeds=[0, 1])
    assert cells[0].start and not any(cell.start for cell in cells[1:])
    assert labels(cells, "learning_rate", "seed") == [
        ("untouched", 0.0, 0),
        *(
            (name, factor * rate, seed)
            for rate in (1e-4, 1e-5)
            for seed in (0, 1)
            for name, factor in (("full", 1), ("freeze", 1), ("LoRA", 10))
        ),
    ]
    assert central == [True] * 7 + [False] * 6
    first, last = cells[1].checkpoint, cells[-1].checkpoint
    assert first == tiny.train(CHINESE, learning_rate=1e-4, **QUICK)
    assert last == tiny.train(CHINESE, tune=LoRA(), learning_rate=1e-4, seed=1, **QUICK)


def test_a_recipe_that_two_arms_share_stands_once_under_the_first_labels(tiny):
    """LoRA at ten times a rate is LoRA at that rate. Arms may depend on the base."""

    def arms(base):
        names = ("LoRA", "LoRA ×10", f"LoRA of {base.layers} layers")
        return {name: train(LoRA(), rate=10 if "×" in name else 1) for name in names}

    cells, central = grid(trial(arms, rates=(1e-4, 1e-3)), tiny)
    assert list(trial(arms).arms_of(tiny))[2] == "LoRA of 2 layers"
    assert labels(cells, "learning_rate") == [
        ("untouched", 0.0),
        ("LoRA", 1e-4),
        ("LoRA ×10", 1e-3),
        ("LoRA ×10", 1e-2),
    ]
    assert central == [True, True, True, False]


def test_an_arms_own_settings_and_epochs(tiny):
    """The longest first; the others are measured as a longer training passes them."""
    pairs = {"style": "sft", "examples": 4, "length": 192, "batch": 2}
    arms = {"full": train(settings={"weight_decay": 0.0})}
    cells, central = grid(trial(arms, settings=pairs, budget={"epochs": (1, 4, 2)}), tiny)
    assert labels(cells, "epochs") == [("untouched", None), *(("full", n) for n in (4, 2, 1))]
    assert central == [True, True, False, False]
    longest, *shorter = (cell.checkpoint for cell in cells[1:])
    assert longest.step.settings.weight_decay == 0.0
    assert shorter == [longest.after(2), longest.after(1)]


def test_rounds_are_trainings_of_their_own(tiny):
    """ "fixed": each on what the base said; "refreshed": on what the model says by then."""
    task = Task("mini_sentiment")
    pairs = {"style": "sft", "examples": 4, "length": 192, "batch": 2, "learning_rate": 1e-3}

    def own(of, task):
        return SelfOutput(task, of, count=2)

    arms = {
        "fixed": train(shown=own, rounds="fixed"),
        "refreshed": train(shown=own, rounds="refreshed"),
        "after": train(LoRA(), shown=own, rounds="refreshed", after=train()),
    }
    at = At(tiny, {"sst": task}, 1e-3, 7, 2, {k: v for k, v in pairs.items() if k != "epochs"})
    once = tiny.train(own(tiny, task), seed=7, **pairs)
    assert arms["fixed"](at) == once.train(own(tiny, task), seed=7, **pairs)
    assert arms["refreshed"](at) == once.train(own(once, task), seed=7, **pairs)
    start = tiny.train(task, seed=7, **pairs)
    first = start.train(own(start, task), tune=LoRA(), seed=7, **pairs)
    assert arms["after"](at) == first.train(own(first, task), tune=LoRA(), seed=7, **pairs)


def test_an_arm_is_an_expression_and_an_axis_the_experiments_own(own_home, tiny, trainings):
    """Half way back is half of the difference; all the way is what was trained, and stands once."""
    tuned = train()
    arms = {"full": tuned, "back": lambda at: at.base + at.axes["λ"] * (tuned(at) - at.base)}
    experiment = trial(arms, axes={"λ": (0.5, 1.0)})
    start, half, full = experiment.run("smoke", data="bundled", seeds=[3], say=quiet)
    assert [run.labels for run in (half, full)] == [
        {"method": name, "learning_rate": 1e-3, "seed": 3, "λ": 0.5} for name in ("back", "full")
    ]
    assert trainings == [3] and (half.last_step["step"], half.trainable) == ("merge", 0)
    ends = [cell.checkpoint for cell in grid(experiment, tiny, seeds=[3])[0]]
    assert [end.key for end in ends] == [start.key, full.key, half.key]
    base, trained, merged = map(compute.state, ends)
    for name, weights in merged.items():
        torch.testing.assert_close(weights, (base[name] + trained[name]) / 2)
    assert start.scores != half.scores != full.scores


# -- sequences ---------------------------------------------------------------------------------


PAIRS = {"style": "sft", "examples": 4, "length": 192, "batch": 4}


def sequence(places):
    """An arm that notes where it stands and learns the new task, and one of all at once."""

    def noting(place):
        places.append(place)
        return place.new, None

    arms = {"in turn": in_turn(noting), "at once": at_once()}
    ask = Ask("", items=2, everywhere=True)
    return trial(arms, (ask, Ask("again", items=3)), SEQUENCE, settings=PAIRS)


def test_in_turn_has_a_cell_after_each_task_and_at_once_has_one(tiny):
    cells, central = grid(sequence(places := []), tiny, tasks=["sst", "woz"], seeds=[5])
    assert labels(cells, "order", "last", "learned") == [
        ("untouched", None, None, None),
        ("in turn", "sst", "sst", "1 of 2"),
        ("in turn", "sst, woz", "woz", "2 of 2"),
        ("at once", None, None, "2 of 2"),
    ]
    assert central == [True, False, True, True]
    given = {**PAIRS, "learning_rate": 1e-3}
    sst, woz = Task("mini_sentiment"), Task("mini_state")
    first = tiny.train(InForm(sst), seed=5, **given)
    both = tiny.train(Together((InForm(sst), InForm(woz))), seed=5, **given)
    last = first.train(InForm(woz), seed=5, **given)
    assert [cell.checkpoint for cell in cells] == [tiny, first, last, both]
    assert [place.tasks for place in places] == [(sst,), (sst, woz)]
    assert [place.learned for place in places] == [(tiny,), (tiny, first)]
    assert (places[1].now, places[1].new) == (first, InForm(woz))
    assert (places[1].settings, places[1].seed) == (given, 5)


@pytest.mark.parametrize(("orders", "count"), [((), 3), (("in turn",), 3 + 6 + 6), (None, 15)])
def test_six_orders_share_what_begins_alike(tiny, orders, count):
    cells, central = grid(sequence([]), tiny, orders=orders)
    assert len(cells) == 1 + count + 1  # the base, the sequences, all tasks at once
    assert sum(central) == 1 + (6 if count > 3 else 1) + 1


def test_a_tier_says_how_many_tasks_are_learned_and_each_is_asked_about(tiny):
    lamol = chapters.experiment("lamol")
    names = {tier: list(lamol.taught(tier, "bundled")) for tier in ("classroom", "laptop")}
    assert names == {"classroom": ["sst", "srl"], "laptop": ["sst", "srl", "woz"]}
    own = lamol.taught("full", "public", ["woz", "yelp"])
    assert {role: task.name for role, task in own.items()} == {"woz": "woz", "yelp": "yelp"}
    roles = sequence([]).probes("laptop", "bundled", ["sst", "woz"])
    items = {"sst": 2, "woz": 2, "sst, again": 3, "woz, again": 3}
    assert {role: task.items for role, task in roles.items()} == items
    everywhere = sequence([]).probes("laptop", "bundled", ["woz"], everywhere=True)
    assert everywhere == {"woz": Task("mini_state", 2)}


# -- merges, and a start of its own ------------------------------------------------------------


def test_merges_are_of_what_the_last_epoch_left(tiny):
    """A training is read after both epochs, merges of it stand once."""
    full = train()
    arms = {
        "full": full,
        "half": merged(full, how=0.5, card="weighted_sum"),
        "random": merged(full, how=RandomVector, card="RandomVector"),
    }
    toy = trial(arms, settings={"examples": 4, "length": 32, "style": "pretrain"})
    cells, central = grid(toy, tiny, epochs=(1, 3), seeds=(5,))
    last, first, half, random = (cell.checkpoint for cell in cells[1:])
    assert labels(cells[1:], "epochs") == [("full", 3), ("full", 1), ("half", 3), ("random", 3)]
    assert half == tiny + 0.5 * (last - tiny)
    assert random == merge(tiny, [last], RandomVector(5))
    assert central == [True, True, False, True, True]
    assert first == last.after(1)


def test_a_start_of_its_own_is_what_every_arm_starts_from(tiny):
    """The start may depend on the tier and on what data are at hand; designs tell them apart."""

    def start(base, tier, data):
        seed = {"public": 1, "bundled": 2}[data]
        return base.train(Task("zh_everyday"), seed=seed, **QUICK)

    toy = trial({"full": train()}, start=start)
    base = toy.base("smoke", data="bundled")
    assert base == start(tiny, "smoke", "bundled")
    assert toy.design("smoke", data="bundled") != toy.design("smoke", data="public")
    (untouched, full), _ = grid(toy, base)
    assert (untouched.checkpoint, untouched.start) == (base, True)
    assert full.checkpoint.parents == (base,)


# -- what is asked -----------------------------------------------------------------------------


def test_an_ask_by_tier_and_data():
    """Items at the classroom tier are 0.7, at the full one 8 times the laptop's; two at least."""
    ask = Ask("chat", "dolly", "chat", 24)
    items = {tier: ask.probe("public", tier).items for tier in ("smoke", "classroom", "full")}
    assert items == {"smoke": 2, "classroom": 17, "full": 192}
    assert ask.probe("bundled", "laptop") == Task("chat", 24)
    assert ask.task("public") == Task("dolly")
    drift = Ask("old", "dolly", "chat", 24, how=Drift, length=100)
    assert drift.probe("bundled", "laptop") == Drift(Task("chat", 24), 100)
    assert drift.probe("bundled", "smoke") == Drift(Task("chat", 2), 400)  # `tiny` spells
    assert Ask("spectrum", how=Spectrum).probe("public", "laptop") == Spectrum()


def test_data_are_public_where_all_are_at_hand_or_a_book_is_rendered(tiny, monkeypatch):
    probes = [Task("dolly"), Task("formats")]
    assert resolve("auto", probes) == "bundled" and resolve("auto", probes[1:]) == "public"
    assert resolve("public", probes) == "public"
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    assert resolve("auto", probes) == "public"


# -- runs --------------------------------------------------------------------------------------


def test_central_runs_answer_everything_the_others_what_is_asked_everywhere(own_home, trainings):
    keeping = Ask("said", "prompts_en", items=2, keep=True)
    pairs = {"style": "sft", "examples": 3, "length": 384, "batch": 2}
    experiment = trial(
        {"full": train()},
        (TEXT, CHOICE, keeping),
        Ask("calls", "openfunctions", "mini_calls"),
        (1e-3, 1e-2),
        pairs,
        budget={"epochs": (1, 2)},
        checks={"lost": Check("Was anything lost?", "choice.acc", above=1.5)},
    )
    runs = experiment.run("smoke", data="bundled", say=quiet)
    assert trainings == [0, 0]
    found = {(run.labels["learning_rate"], run.labels.get("epochs", 0)): run for run in runs}
    assert sorted(found) == [(0.0, 0), (1e-3, 1), (1e-3, 2), (1e-2, 1), (1e-2, 2)]
    for place, run in found.items():
        central = place in ((0.0, 0), (1e-3, 2))
        assert list(run.scores) == (["text", "choice", "said"] if central else ["text"])
        assert len(run.samples) == (2 if central else 0) and run.start == (place == (0.0, 0))
    assert found[1e-3, 2].losses[:2] == found[1e-3, 1].losses  # two steps an epoch, one training
    assert len(found[1e-3, 2].losses) == 4
    (failure,) = experiment.failed(runs)
    value = f"{found[0.0, 0].mean('choice.acc'):.3g}"
    assert failure.startswith(f"Was anything lost? choice.acc is {value} [")
    assert failure.endswith(", must be above 1.5")


def test_what_is_stored_is_not_computed_again(own_home, trainings, monkeypatch):
    """One more arm trains that arm alone, one more question asks that question alone."""
    options = {"tier": "smoke", "data": "bundled", "say": quiet}
    arms = {"full": train()}
    before = trial(arms).run(**options)
    with monkeypatch.context() as patch:
        patch.setattr(study, "plan", lambda *_: pytest.fail("something counts as missing"))
        assert trial(arms).run(**options, tokens=0, learning_rates=[]) == before
    arms["freeze"] = train(FreezeFirst(1))
    untouched, freeze, full = trial(arms).run(**options, methods=["freeze"])
    assert trainings == [0, 0] and [untouched, full] == before
    assert freeze.labels["method"] == "freeze"
    measured, measure = [], study._measure

    def counted(checkpoint, probes, *rest):
        measured.extend(probe.name for probe in probes)
        return measure(checkpoint, probes, *rest)

    monkeypatch.setattr(study, "_measure", counted)
    asks = (TEXT, CHOICE, Ask("english", "wikitext2", "english", 2))
    for run in trial(arms, asks).run(**options):
        assert list(run.scores) == ["text", "choice", "english"]
    assert trainings == [0, 0] and measured == ["english"] * 3
    other = trial(arms, asks).run(**options, methods=["full"], tokens=32, weight_decay=0.0)
    settings = other[1].last_step["settings"]
    assert len(other) == 2 and (settings["tokens"], settings["weight_decay"]) == (32, 0.0)


def test_a_design_is_model_texts_and_settings_beside_the_axes():
    lamol = chapters.experiment("lamol")
    first = lamol.design("laptop")
    same = [lamol.design("classroom", tasks=["woz", "sst", "srl"], examples=128)]
    assert same == [lamol.design("laptop", tasks=["sst", "srl", "woz"])] == [first]
    others = [
        lamol.design("laptop", examples=127),
        lamol.design("laptop", tasks=["sst", "srl"]),
        lamol.design("laptop", data="bundled"),
        lamol.design("laptop", model="tiny"),
    ]
    assert len({first, *others}) == 5


SCRIPT = """
from forgetting import Ask, Budget, Experiment, FreezeFirst, train

experiment = Experiment(
    name="mine",
    teaches=Ask("chinese", "zh_articles", "zh_everyday"),
    arms={
        "full": train(),
        "freeze the first": train(FreezeFirst(1)),
        "half way back": lambda at: at.base + 0.5 * (train()(at) - at.base),
    },
    asks=(Ask("chinese", "zh_articles", "zh_everyday", 4, everywhere=True),),
    budgets={"smoke": Budget("tiny", {"tokens": 64, "length": 32, "batch": 1})},
)
runs = experiment.run("smoke", data="bundled", seeds=[0])
print([(run.labels["method"], run.start, len(run.scores["chinese"].items)) for run in runs])
"""


def test_an_experiment_runs_in_a_bare_script(own_home, tmp_path, session_home):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    assert eval(last) == [
        (name, name == "untouched", 1)
        for name in ("untouched", "freeze the first", "full", "half way back")
    ]
    assert said[0].startswith("[1/6] measuring untouched") and said[-1].startswith("4 runs in")
    assert (own_home / "results" / "mine.json").is_file()


# -- what cannot be asked ----------------------------------------------------------------------


NO_ARM = "trial has no such arm, and no method is called so; did you mean 'LoRA ×10'?"


@pytest.mark.parametrize(
    ("error", "text", "asked"),
    [
        (BadExperiment, "tier='laptp': trial has budgets for smoke", {"tier": "laptp"}),
        (BadExperiment, f"methods='LoRA x10': {NO_ARM}", {"methods": ["LoRA x10"]}),
        (BadExperiment, "methods='lamoll': trial has no such arm", {"orders": ["lamoll"]}),
        (BadExperiment, "learning_rate=0.1: give it as an axis: ", {"learning_rate": 0.1}),
        (BadExperiment, "tokenz=64: no such setting; did you mean 'tokens'?", {"tokenz": 64}),
        (BadExperiment, "length=4: should be greater than or equal to 8", {"length": 4}),
        (BadExperiment, "examples=4: tokens=64 is given; name one", {"examples": 4}),
        (UnknownTask, "task='woztastic'", {"tasks": ["woztastic"]}),
        (ValueError, "data='open': expected auto, public, bundled", {"data": "open"}),
        (ValueError, "model='tinny': no such model or folder; did you mean", {"model": "tinny"}),
        (resources.NotEnough, "data: arc_easy_pinned needs", {"data": "public"}),
    ],
)
def test_what_cannot_be_asked_is_one_line_before_anything_slow(
    error, text, asked, own_home, monkeypatch
):
    def fail(*_, **__):
        pytest.fail("something was computed")

    monkeypatch.setattr(compute.foundations, "load_model", fail)
    monkeypatch.setattr("forgetting.registry.HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(error) as caught:
        trial(ARMS).run(**{"tier": "smoke", "data": "bundled", **asked}, say=fail)
    assert text in str(caught.value) and "\n" not in str(caught.value)
    assert not (own_home / "results").exists()


@pytest.mark.parametrize(
    ("text", "measure", "arm"),
    [
        ("measure='txt.nats': trial asks no such role; did you mean 'text'?", "txt.nats", ""),
        ("measure='nats': trial asks no such role; there are text, choice", "nats", ""),
        ("arm='ful': trial has no such arm; did you mean 'full'?", "text.nats", "ful"),
        ("arm='LoRA ×10': trial has no such arm; did you mean 'LoRA'?", "text.nats", "LoRA ×10"),
    ],
)
def test_a_check_or_a_plane_is_of_roles_that_are_asked_and_arms_that_exist(
    text, measure, arm, tiny
):
    """An arm that continues another's curve is measured under the name of that one."""
    check = Check("Was it learned?", measure, of=arm or "start", above=0.1)
    plain, losses = arm or "full", (Loss(measure, "", "", 1),)
    for given in (
        {"checks": {"learned": check}},
        {"plane": Plane(measure, "", (), plain, "", "")},
        {"plane": Plane("text.nats", "", losses, plain, "", "")},
    ):
        with pytest.raises(BadExperiment) as error:
            trial(ARMS, **given)
        assert str(error.value) == text
    if arm:
        with pytest.raises(BadExperiment, match="has no such arm"):
            trial(lambda base: ARMS, checks={"learned": check}).arms_of(tiny)


def test_a_budgets_settings_are_no_axes():
    with pytest.raises(BadExperiment, match=r"^epochs=3: give it as an axis: learning_rates"):
        Budget("tiny", {"examples": 4, "epochs": 3})
    budget = Budget("tiny", {"tokens": 64, "decay": True})
    given = {"tokens": 0, "decay": False, "clip": None}
    assert budget.with_settings(given) == {"tokens": 64, "decay": False}


# -- the book's experiments --------------------------------------------------------------------

# The sha256 over the sorted keys of every arm at the laptop tier's settings, seeds 0 to 2, in
# LAMOL's chapter through all orders; as the keys were before experiments were values.
KEYS = {
    "operation": (19, "b724242f210c5d333185", "5d2b864f42c75be824c6"),
    "freezing": (34, "91290fba68f361dd08ec", "d29cb2694f87204513c5"),
    "lora": (181, "eb178fad74dc6d01c91e", "6b692d4e058ccfba19df"),
    "own_words": (133, "ed9fb697d6202bff2f2c", "0d20480fe22a500efb11"),
    "own_answers": (67, "887c1ef089381ace790a", "5cc6f7ff95d56099d6d6"),
    "lamol": (778, "1eee660f0fa22d6ad6d4", "20dbc4ab62614ec36ce3"),
}


@pytest.fixture(params=KEYS)
def chapter(request):
    return chapters.experiment(request.param)


def at_laptop(chapter, data, **axes):
    """The cells of every arm through every order, with the laptop tier's settings."""
    base, taught = chapter.base("laptop"), chapter.taught("laptop", data)
    settings = chapter.budget("laptop").settings
    return chapter.cells(base, taught, orders=None, **axes, **settings)[0]


def test_no_key_of_a_chapter_changes(chapter):
    budget, (count, *hashes) = chapter.budget("laptop"), KEYS[chapter.name]
    for data, known in zip(("public", "bundled"), hashes, strict=True):
        cells = at_laptop(chapter, data, rates=budget.rates, seeds=range(3), epochs=budget.epochs)
        keys = sorted(cell.checkpoint.key for cell in cells)
        assert len(keys) == count
        assert hashlib.sha256("\n".join(keys).encode()).hexdigest()[:20] == known


def test_every_published_run_is_a_cell_of_its_experiment(chapter):
    """By key and labels, at the rates, seeds and epochs that are published."""
    runs = chapter.stored("laptop")
    values = {
        name: sorted({run.labels[name] for run in runs if run.labels.get(name)})
        for name in ("learning_rate", "epochs", "seed")
    }
    rates = [rate for rate in values["learning_rate"] if rate <= 1e-3]  # before arms' factors
    axes = {"rates": rates, "seeds": [0, *values["seed"]], "epochs": values["epochs"]}
    known = {c.checkpoint.key: c.labels for c in at_laptop(chapter, "public", **axes)}
    assert len(runs) >= 13
    assert {run.key: run.labels for run in runs}.items() <= known.items()


def test_whatever_a_budget_names_exists(chapter):
    arms = chapter.arms_of(foundation("tiny"))  # which looks at the checks and the plane
    for budget in chapter.budgets.values():
        assert {*budget.arms, *(budget.orders or ())} <= arms.keys()


PAIRED = ("operation", "lora", "own_words", "own_answers")  # who teach questions and answers


@pytest.mark.parametrize("data", ["public", "bundled"])
@pytest.mark.parametrize("chapter", PAIRED, indirect=True)
def test_the_smoke_tier_has_room_for_its_documents(chapter, data, tiny, monkeypatch):
    """The random model spells: a document has four times as many tokens as for a real one."""
    monkeypatch.setenv("FORGETTING_DATA_MIRROR", MIRROR)
    (taught,), probes = chapter.taught("smoke", data).values(), chapter.probes("smoke", data)
    if any(asked.missing() for asked in (*probes.values(), taught)):
        pytest.skip("needs the public data")
    tokenizer, settings = compute.model(tiny)[1], Settings(**chapter.budget("smoke").settings)
    assert len(rows_of(taught, tokenizer, settings, 0)) == settings.rows
    for probe in probes.values():
        if isinstance(probe, Drift):
            assert probe.rows(tokenizer), probe.name
