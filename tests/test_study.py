"""Studies: each run once, the same record whenever it is run, and no half-done work."""

import shutil
from types import SimpleNamespace

import psutil
import pytest
from forgetting.experiments.methods import Row
from studies import CHINESE, SMALL, files, runs, small_study

from forgetting import FreezeFirst, Full, LoRA, Run, Task, foundation, registry
from forgetting.engine.compute import NotComputed
from forgetting.experiments import panels, resources, study
from forgetting.models import foundations
from forgetting.probes import evaluation

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


def test_each_step_says_a_line_before_it_starts(undisturbed):
    said = undisturbed.said
    assert [line.partition(" · ")[0] for line in said[:3]] == [
        "[1/7] measuring untouched, rate 0, seed 0",
        "[2/7] training full, rate 0.001, seed 0",
        "[3/7] measuring full, rate 0.001, seed 0",
    ]
    assert len(said) == 8 and said[7].startswith("4 runs in ")


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


# -- what is not there -------------------------------------------------------------------------


@pytest.fixture
def no_model_is_loaded(monkeypatch):
    def fail(*_, **__):
        pytest.fail("a model was loaded before the resources were checked")

    monkeypatch.setattr(foundations, "load_model", fail)


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
        with pytest.raises(resources.NotEnough) as caught:
            small_study([*SMALL, Task("wikitext2", 2)])
        text = one_line(caught)
        assert text.startswith("data: wikitext2 needs wikitext2_valid_test")
        assert "FORGETTING_DATA_MIRROR" in text and text.endswith("or use data='bundled'")

    def test_memory(self, monkeypatch):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**8))
        with pytest.raises(resources.NotEnough) as caught:
            small_study()
        assert one_line(caught) == (
            "memory: 0.1 GB free, about 0.6 GB needed to measure a model of 0M weights; "
            "close programs or name a smaller model"
        )

    def test_disk(self, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(resources.NotEnough) as caught:
            small_study()
        assert one_line(caught).startswith("disk: 0.0 GB free in the cache")
        assert "FORGETTING_HOME" in one_line(caught)


def test_untouched_models_need_no_disk(own_home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    resources.check_resources([runs()[0].checkpoint], SMALL)


def test_disk_for_the_steps_below_a_merge_is_counted(own_home, monkeypatch):
    base, full = (run.checkpoint for run in runs()[:2])
    merged = base + 0.5 * (full - base)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(resources.NotEnough):
        resources.check_resources([merged], SMALL)


# -- grids -------------------------------------------------------------------------------------


def test_a_grid_is_the_untouched_model_then_rows_by_rate_and_seed():
    rows = {"full": Row(Full()), "freeze": Row(FreezeFirst(1)), "LoRA ×10": Row(LoRA(), 10)}
    base = foundation("tiny")
    found = study.grid(base, CHINESE, rows, [1e-4, 1e-5], [0, 1], tokens=128)
    labels = [tuple(run.labels.values()) for run in found]
    assert labels[0] == ("untouched", 0.0, 0) and len(labels) == 1 + 2 * 2 * 3
    assert labels[1:4] == [("full", 1e-4, 0), ("freeze", 1e-4, 0), ("LoRA", 1e-3, 0)]
    assert labels[-1] == ("LoRA", 1e-4, 1)
    rates = {run.checkpoint.step.settings.learning_rate for run in found[1:]}
    assert rates == {1e-3, 1e-4, 1e-5}


def test_a_recipe_that_two_rows_share_stands_once():
    rows = {"LoRA": Row(LoRA()), "LoRA ×10": Row(LoRA(), 10)}
    found = study.grid(foundation("tiny"), CHINESE, rows, [1e-4, 1e-3], [0])
    assert [run.labels["learning_rate"] for run in found] == [0.0, 1e-4, 1e-3, 1e-2]


PAIRS = {"style": "sft", "examples": 3, "length": 384, "batch": 2}


def test_a_run_is_trained_once_and_measured_after_each_epoch(own_home, trainings, monkeypatch):
    rows = {"full": Row(Full(), 1, {"weight_decay": 0.0})}

    def sweep():
        return study.sweep(
            "lora",
            foundation("tiny"),
            rows,
            learning_rates=[1e-3, 1e-2],
            seeds=[0],
            tier="smoke",
            source="bundled",
            epochs=[1, 2],
            **PAIRS,
        )

    found = sweep()
    assert trainings == [0, 0]
    with monkeypatch.context() as second:  # what is stored is read: no record is written again
        second.setattr(study, "plan", lambda *_: pytest.fail("something counts as missing"))
        assert sweep() == found
    found.sort(key=lambda r: (r.labels["learning_rate"], r.labels.get("epochs", 0)))
    labels = [(r.labels["learning_rate"], r.labels.get("epochs")) for r in found]
    assert labels == [(0.0, None), (0.001, 1), (0.001, 2), (0.01, 1), (0.01, 2)]
    assert [len(record.losses) for record in found] == [0, 2, 4, 2, 4]
    asked = [len(record.scores) for record in found]
    assert asked[0] == asked[2] == max(asked)  # the untouched and the central run alone generate
    assert asked[1] == asked[3] == asked[4] < max(asked)
    assert found[1].training["settings"]["weight_decay"] == 0.0


def test_the_longest_of_a_family_is_trained_first(tiny):
    shorts = [tiny.train(Task("chat"), epochs=n, **PAIRS) for n in (1, 4, 2)]
    later = shorts[1].train(CHINESE, tokens=32, length=16)
    runs = [Run(c, {"method": "full", "learning_rate": 1.0, "seed": 0}) for c in (*shorts, later)]
    asked = study.Question("trial", "smoke", runs, SMALL)
    steps = [step for step in study.plan(asked).values() if step.key.startswith("train")]
    named = {f"train-{c.key}": n for c, n in zip((*shorts, later), (1, 4, 2, "later"), strict=True)}
    assert [named[step.key] for step in steps] == [4, 2, 1, "later"]
    assert [[named[key] for key in step.needs] for step in steps] == [[], [4], [4], [4]]
    assert [bool(step.label) for step in steps] == [True, False, False, True]
