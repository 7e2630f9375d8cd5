"""Studies: each run once, the same record whenever it is run, and no half-done work."""

import json
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
from forgetting.probes import evaluation

QUIET = {"say": lambda line: None}

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


def test_a_lost_record_is_written_again_from_the_store(done, own_home, trainings):
    before = files(own_home)
    shutil.rmtree(own_home / "results")
    small_study()
    assert files(own_home) == before and trainings == []


def test_a_lost_index_is_written_again_from_the_records(done, own_home, monkeypatch):
    index = records.index_path("trial", "smoke")
    before = index.read_bytes()
    index.unlink()
    monkeypatch.setattr(study, "plan", lambda *_: pytest.fail("something counts as missing"))
    assert small_study() == done and index.read_bytes() == before


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


@pytest.fixture
def measured(monkeypatch):
    """Names of the tasks that were really measured, in order."""
    names, really = [], evaluation._measure

    def counted(checkpoint, model, tokenizer, group, chat):
        names.extend(task.name for task in group)
        really(checkpoint, model, tokenizer, group, chat)

    monkeypatch.setattr(evaluation, "_measure", counted)
    return names


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
        asked_more = stored[run.key]
        assert len(asked_more.record.sessions) == 2
        assert asked_more.record.sessions[0] == run.record.sessions[0]
        assert list(asked_more.record.sessions[1].scores.values()) == [
            asked_more.scores["winogrande_standin"]
        ]
        assert run.scores.items() <= asked_more.scores.items()
        assert asked_more.samples == run.samples


def test_what_two_experiments_share_is_measured_once(done, trainings, measured):
    (run,) = measure("other", cells()[1:2], {"text": SMALL[0]}, "smoke", **QUIET)
    assert trainings == measured == []
    assert run.record == done[1].record and run.experiment == "other"
    assert run.scores == {"text": done[1].scores["zh_everyday"]} and run.samples == []
    assert len(records.stored("trial", "smoke")) == 4


def test_answers_that_are_asked_for_later_are_added_once(own_home, monkeypatch):
    (without,) = small_study(SMALL[2:], cells()[:1], keep=())
    (with_answers,) = small_study(SMALL[2:], cells()[:1])
    assert without.samples == [] and len(with_answers.samples) == 2
    monkeypatch.setattr(study, "plan", lambda *_: pytest.fail("something counts as missing"))
    assert small_study(SMALL[2:], cells()[:1]) == [with_answers]


def test_one_recipe_under_two_labels_is_run_once_under_the_first(own_home, trainings):
    full = cells()[1]
    one, two = small_study(asked=[full, cell(full.checkpoint, "everything")])
    assert trainings == [0] and one == two and one.labels["method"] == "full"


def test_runs_of_two_designs_stand_beside_each_other(done, own_home, trainings):
    again = measure("trial", cells(), SMALL, "smoke", keep=["prompts_en"], design="new", **QUIET)
    assert trainings == []
    assert [run.record for run in again] == [run.record for run in done]
    stored = records.stored("trial", "smoke")
    assert len(stored) == 8
    first, *others = records.comparable(stored, "new")
    assert first.start and len(others) == 3 and {run.design for run in others} == {"new"}


def test_two_probes_of_one_name_need_roles(own_home, measured):
    """The same task with two numbers of items: two measurements, and neither stands for both."""
    short, long = Task("arc_easy_standin", 2), Task("arc_easy_standin", 3)
    with pytest.raises(
        ValueError, match=r"^asks='arc_easy_standin': asked twice; give each a role"
    ):
        measure("trial", cells()[:1], [short, long], "smoke", **QUIET)
    (run,) = measure("trial", cells()[:1], {"short": short, "long": long}, "smoke", **QUIET)
    assert [run.scores[role].n for role in ("short", "long")] == [2, 3]
    assert run.scores["long"].items["acc"][:2] == run.scores["short"].items["acc"]


def test_nothing_runs_while_a_book_is_rendered(own_home, trainings, monkeypatch):
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    with pytest.raises(NotComputed, match=r"4 runs of trial \(smoke tier\)"):
        small_study()
    assert trainings == [] and not (own_home / "results").exists()


def test_what_is_measured_but_not_in_the_index_is_an_error_while_a_book_is_rendered(
    done, own_home, monkeypatch
):
    records.index_path("trial", "smoke").unlink()
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    with pytest.raises(NotComputed, match=r"^run \w{20} is not in the index of trial; run the"):
        small_study()
    assert not records.index_path("trial", "smoke").exists()


# -- what is not there -------------------------------------------------------------------------


def one_line(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


class TestWithoutEnough:
    @pytest.fixture(autouse=True)
    def no_model_is_loaded(self, own_home, monkeypatch):
        def fail(*_, **__):
            pytest.fail("a model was loaded before the resources were checked")

        monkeypatch.setattr(foundations, "load_model", fail)

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

    def test_disk_for_the_steps_below_a_merge_is_counted_and_none_for_untouched_models(
        self, monkeypatch
    ):
        base, full = (cell.checkpoint for cell in cells()[:2])
        merged = base + 0.5 * (full - base)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(resources.NotEnough):
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


def test_a_run_names_where_it_was_measured(done):
    """The index, the record and the environment stand in files of their own, all readable."""
    index = json.loads(records.index_path("trial", "smoke").read_text())
    assert [run["labels"]["method"] for run in index["runs"]] == [
        run.labels["method"] for run in records.stored("trial", "smoke")
    ]
    assert {run["system"] for run in index["runs"]} == {run.key for run in done}
    assert list(index["panels"].values()) == [{t.name: study.probe_key(t) for t in SMALL}]
