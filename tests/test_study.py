"""Studies: each run once, the same record whenever it is run, and no half-done work."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from types import SimpleNamespace

import psutil
import pytest

from forgetting import (
    FreezeFirst,
    Full,
    LoRA,
    Run,
    Task,
    evaluation,
    foundation,
    measure,
    models,
    panels,
    registry,
    study,
)
from forgetting.engine import NotComputed

CHINESE = Task("zh_everyday")
SMALL = [Task("zh_everyday", 2), Task("arc_easy_standin", 2), Task("prompts_en", 2)]


def runs(rank=4):
    """The untouched model, two seeds of full tuning, and a LoRA."""
    base = foundation("tiny")
    methods = [("full", Full(), 0), ("full", Full(), 1), ("LoRA", LoRA(rank=rank), 2)]
    quick = {"tokens": 128, "length": 32, "batch": 2, "learning_rate": 1e-3}
    taught = [
        Run(
            base.train(CHINESE, tune=tune, seed=seed, **quick),
            {"method": name, "learning_rate": 1e-3, "seed": seed},
        )
        for name, tune, seed in methods
    ]
    return [Run(base, {"method": "untouched", "learning_rate": 0.0, "seed": 0}), *taught]


def small_study(panel=SMALL, asked=None, show=("prompts_en",), say=lambda line: None):
    return measure("trial", asked or runs(), panel, "smoke", show=show, say=say)


@pytest.fixture(scope="module")
def undisturbed(tiny, session_home, tmp_path_factory):
    """The small study, run once: its home, its records, what it said and how long it took."""
    home, said = tmp_path_factory.mktemp("undisturbed"), []
    (home / "models").symlink_to(session_home / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGETTING_HOME", str(home))
        started = time.monotonic()
        found = small_study(say=said.append)
    return SimpleNamespace(home=home, records=found, said=said, seconds=time.monotonic() - started)


@pytest.fixture
def done(undisturbed, own_home):
    """The records of the small study; the test's own home holds them and their weights."""
    for folder in ("store", "results"):
        shutil.copytree(undisturbed.home / folder, own_home / folder)
    return undisturbed.records


def files(home):
    """The records of a home as text, without their timing, by name."""
    found = {}
    for path in sorted((home / "results" / "trial").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content.pop("timing")["seconds"] >= 0
        found[path.name] = json.dumps(content, indent=1, ensure_ascii=False)
    return found


# -- the same records --------------------------------------------------------------------------


def test_another_home_gives_the_same_records(own_home, tiny, tmp_path, monkeypatch):
    panel, asked = panels.panel("freezing", "smoke", "bundled"), runs()[::3]
    first = small_study(panel, asked)
    assert [set(record.scores) for record in first] == [{task.name for task in panel}] * 2
    other = tmp_path / "other"
    shutil.copytree(own_home / "models", other / "models")
    monkeypatch.setenv("FORGETTING_HOME", str(other))
    small_study(panel, asked)
    assert len(files(own_home)) == 2
    assert files(other) == files(own_home)


def test_stored_records_are_read_and_nothing_is_computed(done, own_home, trainings):
    before = {p: p.read_bytes() for p in (own_home / "results" / "trial").iterdir()}
    said = []
    assert small_study(say=said.append) == done
    assert said == trainings == []
    assert {p: p.read_bytes() for p in (own_home / "results" / "trial").iterdir()} == before


def test_a_lost_record_is_written_again_from_the_store(done, own_home, trainings):
    before = files(own_home)
    shutil.rmtree(own_home / "results")
    small_study()
    assert files(own_home) == before and trainings == []


def test_a_record_says_what_was_run(undisturbed):
    untouched, full, _, lora = undisturbed.records
    assert untouched.trainable == 0 and untouched.losses == []
    assert full.trainable == 26880 and lora.trainable == 896
    assert [len(record.losses) for record in (full, lora)] == [2, 2]
    assert lora.labels == {"method": "LoRA", "learning_rate": 1e-3, "seed": 2}
    assert list(lora.lineage) == [foundation("tiny").key, runs()[3].checkpoint.key]
    assert [sample.task for sample in lora.samples] == ["prompts_en"] * 2
    assert lora.model["name"] == "tiny" and lora.model["layers"] == 2
    assert lora.environment["threads"] == "1"


def test_each_run_says_a_line_before_it_starts(undisturbed):
    said = undisturbed.said
    assert [line.partition(" · ")[0] for line in said[:2]] == [
        "[1/4] untouched, rate 0, seed 0",
        "[2/4] full, rate 0.001, seed 0",
    ]
    assert len(said) == 5 and said[4].startswith("4 runs in ")


# -- what is computed again --------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch):
    """Names of the tasks that were really measured, in order."""
    names, really = [], evaluation._measure

    def counted(checkpoint, model, tokenizer, group, chat):
        names.extend(task.name for task in group)
        really(checkpoint, model, tokenizer, group, chat)

    monkeypatch.setattr(evaluation, "_measure", counted)
    return names


def test_another_parameter_of_one_method_computes_that_method_alone(done, trainings, measured):
    after = small_study(asked=runs(rank=2))
    assert trainings == [2]
    assert sorted(measured) == sorted(task.name for task in SMALL)
    assert after[:3] == done[:3]
    assert after[3].key != done[3].key and after[3].trainable == 448


def test_a_new_task_trains_nothing_and_asks_itself_alone(done, trainings, measured):
    after = small_study([*SMALL, Task("winogrande_standin", 2)])
    assert trainings == []
    assert measured == ["winogrande_standin"] * 4
    for old, new in zip(done, after, strict=True):
        assert new.key != old.key
        assert {name: new.scores[name] for name in old.scores} == old.scores


def test_answers_that_are_asked_for_later_are_added(own_home):
    (without,) = small_study(SMALL[2:], runs()[:1], show=())
    (with_answers,) = small_study(SMALL[2:], runs()[:1], show=["prompts_en"])
    assert without.samples == [] and len(with_answers.samples) == 2


def test_one_recipe_under_two_labels_is_run_once(own_home, trainings):
    full = runs()[1]
    twin = Run(full.checkpoint, {"method": "everything", "learning_rate": 1e-3, "seed": 0})
    one, two = small_study(asked=[full, twin])
    assert trainings == [0] and one == two


def test_nothing_runs_while_a_book_is_rendered(own_home, trainings, monkeypatch):
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    with pytest.raises(NotComputed, match=r"4 runs of chapter trial \(smoke tier\)"):
        small_study()
    assert trainings == [] and not (own_home / "results").exists()


# -- kill -9 -----------------------------------------------------------------------------------


def study_in(home):
    """What the killed processes do; they are forks of a server that has the libraries loaded."""
    os.environ["FORGETTING_HOME"] = str(home)
    small_study()


def test_kill_9_at_any_moment_changes_no_record(undisturbed, own_home):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["forgetting.study"])

    def run_for(seconds, target, *arguments):
        """Whether the process had to be killed after `seconds`, and how long it ran."""
        started = time.monotonic()
        process = processes.Process(target=target, args=arguments)
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode != 0, time.monotonic() - started

    run_for(None, time.sleep, 0)  # the server loads the libraries
    expected, duration = files(undisturbed.home), undisturbed.seconds
    assert len(expected) == 4
    dice, kills = random.Random(20241), 0
    for _ in range(20):
        killed, lasted = run_for(duration * dice.random(), study_in, own_home)
        assert files(own_home).items() <= expected.items()  # whole ones only
        kills += killed
        if kills == 6:
            break
        if not killed:  # it came to its end first: begin again
            duration = min(duration, lasted)
            shutil.rmtree(own_home / "store")
            shutil.rmtree(own_home / "results")
    assert kills == 6

    small_study()
    assert files(own_home) == expected
    entries = [p for p in (own_home / "store" / "weights").iterdir() if p.name[0] != "."]
    assert len(entries) == 3 and not (own_home / "store" / "damaged").exists()


# -- what is not there -------------------------------------------------------------------------


@pytest.fixture
def no_model_is_loaded(monkeypatch):
    def fail(*_, **__):
        pytest.fail("a model was loaded before the resources were checked")

    monkeypatch.setattr(models, "load_model", fail)


def one_line(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.usefixtures("own_home", "no_model_is_loaded")
class TestWithoutEnough:
    def test_data(self, monkeypatch):
        monkeypatch.setattr(registry, "HOST", "http://127.0.0.1:9")  # nothing listens there
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, "127.0.0.1")
        with pytest.raises(study.NotEnough) as caught:
            small_study([*SMALL, Task("wikitext2", 2)])
        text = one_line(caught)
        assert text.startswith("data: wikitext2 needs wikitext2_valid_test")
        assert "FORGETTING_DATA_MIRROR" in text and text.endswith("or use data='bundled'")

    def test_memory(self, monkeypatch):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
        with pytest.raises(study.NotEnough) as caught:
            small_study()
        assert one_line(caught) == (
            "memory: 1.0 GB free, about 1.5 GB needed to train 0M weights; "
            "close programs or name a smaller model"
        )

    def test_disk(self, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(study.NotEnough) as caught:
            small_study()
        assert one_line(caught).startswith("disk: 0.0 GB free in the cache")
        assert "FORGETTING_HOME" in one_line(caught)


def test_untouched_models_need_no_disk(own_home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    study.check_resources(runs()[:1], SMALL)


def test_disk_for_the_steps_below_a_merge_is_counted(own_home, monkeypatch):
    base, full = (run.checkpoint for run in runs()[:2])
    merged = Run(base + 0.5 * (full - base), {"method": "half", "learning_rate": 0.0, "seed": 0})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(study.NotEnough):
        study.check_resources([merged], SMALL)


# -- grids -------------------------------------------------------------------------------------


def test_a_grid_is_the_untouched_model_then_rows_by_rate_and_seed():
    rows = {"full": (Full(), 1.0), "freeze": (FreezeFirst(1), 1.0), "LoRA ×10": (LoRA(), 10.0)}
    base = foundation("tiny")
    found = study.grid(base, CHINESE, rows, [1e-4, 1e-5], [0, 1], tokens=128)
    labels = [tuple(run.labels.values()) for run in found]
    assert labels[0] == ("untouched", 0.0, 0) and len(labels) == 1 + 2 * 2 * 3
    assert labels[1:4] == [("full", 1e-4, 0), ("freeze", 1e-4, 0), ("LoRA", 1e-3, 0)]
    assert labels[-1] == ("LoRA", 1e-4, 1)
    rates = {run.checkpoint.step.settings.learning_rate for run in found[1:]}
    assert rates == {1e-3, 1e-4, 1e-5}


def test_a_recipe_that_two_rows_share_stands_once():
    rows = {"LoRA": (LoRA(), 1.0), "LoRA ×10": (LoRA(), 10.0)}
    found = study.grid(foundation("tiny"), CHINESE, rows, [1e-4, 1e-3], [0])
    assert [run.labels["learning_rate"] for run in found] == [0.0, 1e-4, 1e-3, 1e-2]
