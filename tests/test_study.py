"""Studies: each run once, the same record whenever it is run, and no half-done work."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
from studies import CHINESE, SMALL, cell, cells, files, small_study

from forgetting import Task, foundation, measure, registry
from forgetting.engine.compute import NotComputed
from forgetting.evidence import records
from forgetting.experiments import resources, study
from forgetting.models import foundations

# -- the same records --------------------------------------------------------------------------


def test_another_home_gives_the_same_records(own_home, tiny, tmp_path, monkeypatch):
    asked = cells()[::3]
    first = small_study(asked=asked)
    other = tmp_path / "other"
    shutil.copytree(own_home / "models", other / "models")
    monkeypatch.setenv("FORGETTING_HOME", str(other))
    assert [run.scores for run in small_study(asked=asked)] == [run.scores for run in first]
    assert len(files(own_home)) == 2 * 2
    assert files(other) == files(own_home)


def test_stored_records_are_read_once_and_nothing_is_computed(
    done, own_home, trainings, monkeypatch
):
    before = {p: p.read_bytes() for p in (own_home / "results").rglob("*.json")}
    said, read, load = [], [], records.load
    monkeypatch.setattr(records, "load", lambda path: read.append(path.stem) or load(path))
    assert small_study(say=said.append) == done
    assert said == trainings == []
    assert sorted(read) == sorted(run.key for run in done)
    assert {p: p.read_bytes() for p in (own_home / "results").rglob("*.json")} == before


def test_what_is_lost_is_written_again(done, own_home, trainings):
    """Records from the store, the index from the records."""
    before, index = files(own_home), records.index_path("trial", "smoke")
    for lost in (own_home / "results" / "records", index):
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
        small_study()
        assert files(own_home) == before
    assert trainings == []


def test_a_run_says_what_was_run(undisturbed):
    untouched, full, _, lora = undisturbed.runs
    assert (untouched.start, untouched.trainable, untouched.losses) == (True, 0, [])
    assert (full.start, full.trainable, lora.trainable) == (False, 26880, 896)
    assert [len(run.losses) for run in (full, lora)] == [2, 2]
    assert lora.labels == {"method": "LoRA", "learning_rate": 1e-3, "seed": 2}
    assert list(lora.lineage) == [foundation("tiny").key, cells()[3].checkpoint.key]
    assert list(lora.scores) == [task.name for task in SMALL]
    assert [sample.task for sample in lora.samples] == ["prompts_en"] * 2
    assert lora.model["name"] == "tiny" and lora.model["layers"] == 2
    assert lora.environment["threads"] == "1"
    assert 0 < lora.timing["training_seconds"] < lora.timing["seconds"]


def test_each_step_says_a_line_before_it_starts(undisturbed):
    said = undisturbed.said
    assert [line.partition(" · ")[0] for line in said[:3]] == [
        "[1/7] measuring untouched, rate 0, seed 0",
        "[2/7] training full, rate 0.001, seed 0",
        "[3/7] measuring full, rate 0.001, seed 0",
    ]
    assert len(said) == 8 and said[7].startswith("4 runs in ")


# -- what is computed again --------------------------------------------------------------------


def test_another_parameter_of_one_arm_computes_that_arm_alone(done, trainings, measured):
    after = small_study(asked=cells(rank=2))
    assert trainings == [2]
    assert sorted(measured) == sorted(task.name for task in SMALL)
    assert after[:3] == done[:3]
    assert after[3].key != done[3].key and after[3].trainable == 448
    assert len(records.stored("trial", "smoke")) == 5


def test_one_more_question_is_asked_alone_and_appended(done, trainings, measured):
    small_study([*SMALL, Task("winogrande_standin", 2)])
    assert trainings == [] and measured == ["winogrande_standin"] * 4
    stored = {run.key: run for run in records.stored("trial", "smoke")}
    for run in done:
        more = stored[run.key]
        before, after = more.record.sessions
        assert before == run.record.sessions[0] and more.samples == run.samples
        assert list(after.scores.values()) == [more.scores["winogrande_standin"]]
        assert run.scores.items() <= more.scores.items()


def test_a_recipe_under_two_labels_is_run_once_under_the_first(own_home, trainings):
    full = cells()[1]
    one, two = small_study(asked=[full, cell(full.checkpoint, "everything")])
    assert trainings == [0] and one == two and one.labels["method"] == "full"


def test_two_probes_of_one_name_need_roles(tiny):
    twice = [Task("arc_easy_standin", 2), Task("arc_easy_standin", 3)]
    with pytest.raises(ValueError, match=r"^asks='arc_easy_standin': asked twice; give each"):
        measure("trial", [cell(tiny, "untouched")], twice, "smoke")


def test_answers_of_what_is_not_asked_cannot_be_kept(own_home, trainings):
    with pytest.raises(ValueError) as error:
        small_study(keep=["promts_en"])
    hint = "did you mean 'prompts_en'?"
    assert str(error.value) == f"keep='promts_en': no such role is asked; {hint}"
    assert trainings == [] and not (own_home / "results").exists()


def test_nothing_runs_while_a_book_is_rendered(own_home, trainings, monkeypatch):
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    with pytest.raises(NotComputed, match=r"4 runs of trial \(smoke tier\)"):
        small_study()
    assert trainings == [] and not (own_home / "results").exists()


def test_nothing_is_entered_while_a_book_is_rendered(done, monkeypatch):
    records.index_path("trial", "smoke").unlink()
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    with pytest.raises(NotComputed, match=r"^run \w{20} is not in the index of trial; run the"):
        small_study()
    assert not records.index_path("trial", "smoke").exists()


# -- what is not there -------------------------------------------------------------------------


class TestWithoutEnough:
    @pytest.fixture(autouse=True)
    def no_model_is_loaded(self, own_home, monkeypatch):
        def fail(*_, **__):
            pytest.fail("a model was loaded before the resources were checked")

        monkeypatch.setattr(foundations, "load_model", fail)

    @pytest.mark.parametrize(
        ("where", "less", "text"),
        [
            (
                (psutil, "virtual_memory"),
                {"available": 10**8},
                "memory: 0.1 GB free, about 0.6 GB needed to measure a model of 0M weights; "
                "close programs or name a smaller model",
            ),
            ((shutil, "disk_usage"), {"free": 1000}, "disk: 0.0 GB free in the cache, about"),
        ],
    )
    def test_memory_or_disk(self, where, less, text, monkeypatch):
        monkeypatch.setattr(*where, lambda *_: SimpleNamespace(**less))
        with pytest.raises(resources.NotEnough) as caught:
            small_study()
        assert str(caught.value).startswith(text) and "\n" not in str(caught.value)

    def test_data(self, monkeypatch):
        monkeypatch.setattr(registry, "HOST", "http://127.0.0.1:9")  # nothing listens there
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, "127.0.0.1")
        with pytest.raises(resources.NotEnough) as caught:
            small_study([*SMALL, Task("wikitext2", 2)])
        text = str(caught.value)
        assert text.startswith("data: wikitext2 needs wikitext2_valid_test") and "\n" not in text
        assert "FORGETTING_DATA_MIRROR" in text and text.endswith("or use data='bundled'")

    def test_disk_for_what_a_merge_is_made_of_but_none_for_the_untouched(self, monkeypatch):
        base, full = (cell.checkpoint for cell in cells()[:2])
        merged = base + 0.5 * (full - base)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(resources.NotEnough, match="FORGETTING_HOME"):
            resources.check_resources([merged], SMALL)
        resources.check_resources([base], SMALL)


# -- plans -------------------------------------------------------------------------------------


def test_the_longest_of_a_family_is_trained_first(tiny):
    pairs = {"style": "sft", "examples": 3, "length": 384, "batch": 2}
    shorts = [tiny.train(Task("chat"), epochs=n, **pairs) for n in (1, 4, 2)]
    later = shorts[1].train(CHINESE, tokens=32, length=16)
    question = study.Question(
        "trial", "smoke", [cell(c, "full") for c in (*shorts, later)], {"text": SMALL[0]}
    )
    steps = [step for step in study.plan([question]).values() if step.key.startswith("train")]
    named = {f"train-{c.key}": n for c, n in zip((*shorts, later), (1, 4, 2, "later"), strict=True)}
    assert [named[step.key] for step in steps] == [4, 2, 1, "later"]
    assert [[named[key] for key in step.needs] for step in steps] == [[], [4], [4], [4]]
    assert [bool(step.label) for step in steps] == [True, False, False, True]


def test_a_plan_measures_what_is_not_stored(done):
    """Of two questions about one checkpoint, in one step, what neither has an answer to."""
    record = done[1].record
    first = study.Question("trial", "smoke", cells()[1:2], {task.name: task for task in SMALL})
    second = replace(first, experiment="other", asks={"more": Task("english", 2)})
    graph = study.plan([first, second], {("smoke", record.key): record})
    assert [step.kind.split()[0] for step in graph.values()] == ["train", "measure", "record"]
    probes = {key: step.arguments[1] for key, step in graph.items() if "train" not in key}
    assert set(probes.values()) == {(Task("english", 2),)}
    whole = study.plan([first, second])[f"measure-smoke-{record.key}"].arguments[1]
    assert set(whole) == {*SMALL, Task("english", 2)}
