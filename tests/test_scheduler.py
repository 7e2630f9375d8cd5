"""The scheduler: each step once, after what it needs, with the same result wherever it runs."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from studies import CHINESE, SMALL, cell, cells, small_study
from toy_steps import born_with, die, fail, key_of, nap, of_worker, total

from forgetting import FreezeFirst
from forgetting.engine import scheduler
from forgetting.engine.scheduler import BadScheduler, ClusterLost, Progress, Step, WorkersLost
from forgetting.experiments import study

QUICK = {"tokens": 64, "length": 32, "batch": 1}


def graph(*steps):
    return {step.key: step for step in steps}


def quiet(line):
    pass


# a = 1, b = 2 + a, c = 3 + a, d = b + c: needs are passed as results, in order.
DIAMOND = graph(
    Step("a", "leaf", "a", total, (1,)),
    Step("b", "inner", "b", total, (2,), ("a",)),
    Step("c", "inner", "c", total, (3,), ("a",)),
    Step("d", "root", "", total, (), ("b", "c")),
)


def test_steps_get_the_results_that_they_need_and_a_line_where_they_have_a_label():
    said = []
    assert scheduler.run(DIAMOND, where="", say=said.append) == {"a": 1, "b": 3, "c": 4, "d": 7}
    assert said == ["[1/3] a", "[2/3] b", "[3/3] c · about 0 s left"]


def test_the_time_left_is_counted_by_kind(monkeypatch):
    """A training of 100 s and a measurement of 20 s: two and one to go on two workers, 110 s."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    steps = [Step(f"t{n}", "train", f"t{n}", total) for n in range(3)]
    steps += [Step(f"m{n}", "measure", f"m{n}", total) for n in range(2)]
    said = []
    progress = Progress(graph(*steps), said.append, apart=True, workers=2)
    for key, seconds in (("t0", 100), ("m0", 20)):
        progress.start(key)
        clock.now += seconds
        progress.end(key)
    assert progress.seconds_left() == (2 * 100 + 1 * 20) / 2
    progress.start("t1")
    assert said[-1] == "[3/5] t1 · 1 running, 2 waiting · about 2 min left"


@pytest.mark.parametrize("where", ["local", "local:0", "local:-1", "local:x", "10.0.0.1:8786", "k"])
def test_a_place_that_is_none_is_named(where):
    with pytest.raises(BadScheduler) as caught:
        scheduler.run(DIAMOND, where=where, say=quiet)
    assert str(caught.value).startswith(f"scheduler={where!r}: expected local:N")


def test_the_variable_says_where(monkeypatch):
    monkeypatch.setenv(scheduler.VARIABLE, "nowhere")
    with pytest.raises(BadScheduler):
        scheduler.run(DIAMOND, say=quiet)
    with pytest.raises(BadScheduler):
        small_study()


def test_in_process_dask_is_not_loaded():
    script = """
import sys
from forgetting.engine import scheduler
step = scheduler.Step("a", "k", "", int)
assert scheduler.run({"a": step}, where="", say=print) == {"a": 0}
assert not {"dask", "distributed", "torch"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def question(cells, asks=SMALL):
    return study.Question("trial", "smoke", list(cells), {task.name: task for task in asks})


def test_the_steps_of_a_study(tiny):
    """Two parents, their merge, which is trained further; the second parent is no run itself."""
    one = tiny.train(CHINESE, seed=1, **QUICK)
    two = tiny.train(CHINESE, tune=FreezeFirst(1), seed=2, **QUICK)
    merged = one + 0.5 * (two - tiny)
    last = merged.train(CHINESE, seed=3, **QUICK)
    named = {"base": tiny, "one": one, "merged": merged, "last": last}
    steps = study.plan([question(cell(checkpoint, name) for name, checkpoint in named.items())])
    short = {f"train-{one.key}": "1", f"train-{two.key}": "2", f"train-{last.key}": "3"}
    for name, checkpoint in named.items():
        short |= {f"{k}-smoke-{checkpoint.key}": f"{k} {name}" for k in ("measure", "record")}
    needs = {short[key]: {short[need] for need in step.needs} for key, step in steps.items()}
    assert needs == {
        "measure base": set(),
        "record base": {"measure base"},
        "1": set(),
        "2": set(),
        "measure one": {"1"},
        "record one": {"measure one", "1"},
        "measure merged": {"1", "2"},
        "record merged": {"measure merged"},
        "3": {"1", "2"},
        "measure last": {"3"},
        "record last": {"measure last", "3"},
    }
    at = list(steps)
    assert all(at.index(need) < at.index(key) for key in at for need in steps[key].needs)


def test_questions_that_share_a_checkpoint_train_it_once(own_home, tiny, trainings):
    first, second = question(cells()[:2], SMALL[:1]), question(cells()[1:2], SMALL[1:])
    (untouched, full), (again,) = study.answer([first, second], say=quiet)
    assert trainings == [0]
    assert untouched.labels["method"] == "untouched"
    assert full.record == again.record and len(full.record.sessions) == 1
    assert [list(run.scores) for run in (full, again)] == [
        [task.name for task in asks] for asks in (SMALL[:1], SMALL[1:])
    ]


def test_a_long_chain_has_a_key_and_a_plan(tiny):
    """1,000 steps, none of which was named before: no recursion, no squares."""
    checkpoint = tiny
    for seed in range(1000):
        checkpoint = checkpoint.train(CHINESE, seed=seed, **QUICK)
    assert len(checkpoint.key) == 20
    assert checkpoint.foundation is tiny.foundation
    assert len(study.plan([question([cell(checkpoint, "chain")])])) == 1002


def test_a_ladder_of_merges_is_walked_once(tiny):
    """Every rung doubles the paths to the bottom: 2^40 of them, and 4 checkpoints a rung."""
    rung = tiny
    for seed in range(40):
        one = rung.train(CHINESE, seed=seed, **QUICK)
        two = rung.train(CHINESE, tune=FreezeFirst(1), seed=seed, **QUICK)
        rung = (one + 0.5 * (two - one)).train(CHINESE, seed=seed, **QUICK)
    assert len(rung.lineage()) == 1 + 40 * 4


@pytest.fixture(scope="module")
def cluster():
    """Two workers, as a cluster that runs already."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as started:
        yield started.scheduler_address


def test_a_graph_on_a_cluster(cluster):
    said = []
    assert scheduler.run(DIAMOND, where=cluster, say=said.append) == {
        "a": 1,
        "b": 3,
        "c": 4,
        "d": 7,
    }
    assert [line.split()[0] for line in said] == ["[1/3]", "[2/3]", "[3/3]"]
    assert said[0] == "[1/3] a · 1 running, 2 waiting"


def test_a_worker_sees_the_settings(cluster):
    step = Step("home", "look", "", of_worker, ("FORGETTING_HOME",))
    for home in ("/one", "/two"):  # the same key in another home is another step
        there = {"where": cluster, "settings": {"FORGETTING_HOME": home}}
        assert scheduler.run(graph(step), **there, say=quiet) == {"home": home}


def test_the_settings_say_where_everything_is(monkeypatch, own_home, tmp_path):
    """Empty is not set: another run's folder must not stay behind on a worker."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORGETTING_RESULTS", "results")
    settings = study.settings()
    assert settings["FORGETTING_HOME"] == str(own_home)
    assert settings["FORGETTING_RESULTS"] == str(tmp_path / "results")
    assert settings["FORGETTING_DATA_MIRROR"] == ""
    assert Path(settings["FORGETTING_DATA"]) == Path(settings["FORGETTING_ROOT"]) / "data"


def test_a_long_chain_reaches_a_worker(cluster, tiny):
    """A checkpoint holds its parent: 1,000 of them nest deeper than Python lets a pickle be."""
    checkpoint = tiny
    for seed in range(1000):
        checkpoint = checkpoint.train(CHINESE, seed=seed, **QUICK)
    before = sys.getrecursionlimit()
    step = Step("chain", "name", "", key_of, (checkpoint,))
    assert scheduler.run(graph(step), where=cluster, say=quiet) == {"chain": checkpoint.key}
    assert sys.getrecursionlimit() == before


def test_an_error_on_a_worker_is_the_same_error_here(cluster):
    with pytest.raises(BadScheduler, match=r"^seeds=\[0\]: not there$"):
        scheduler.run(graph(Step("x", "x", "x", fail)), where=cluster, say=quiet)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_local_workers_share_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    steps = graph(
        *(Step(f"pid{n}", "look", "", nap) for n in range(4)),
        Step("threads", "look", "", born_with, ("OMP_NUM_THREADS",)),
    )
    results = scheduler.run(steps, where="local:2", say=quiet)
    assert results.pop("threads") == "2"
    assert len(set(results.values())) == 2 and os.getpid() not in results.values()
    assert os.environ["OMP_NUM_THREADS"] == "4"


def test_a_step_whose_worker_is_lost_is_done_by_another(tmp_path):
    said = []
    steps = graph(
        Step("a", "k", "a", total, (1,)),
        Step("die", "k", "the step", die, (str(tmp_path), 1)),
        Step("b", "k", "", total, (), ("a", "die")),
    )
    assert scheduler.run(steps, where="local:2", say=said.append)["b"] == 2
    assert any(" the step again, its worker was lost" in line for line in said)


def test_a_step_that_ends_every_worker_is_named(tmp_path):
    steps = graph(Step("die", "k", "training full", die, (str(tmp_path), 99)))
    with pytest.raises(WorkersLost) as caught:
        scheduler.run(steps, where="local:1", say=quiet)
    assert str(caught.value).startswith("training full: 4 workers were lost at it, most often for")
    assert "\n" not in str(caught.value)


def test_a_cluster_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(scheduler, "CONNECT", "1s")
    with pytest.raises(ClusterLost, match=r"^scheduler='tcp://127.0.0.1:9': no Dask scheduler"):
        scheduler.run(DIAMOND, where="tcp://127.0.0.1:9", say=quiet)
