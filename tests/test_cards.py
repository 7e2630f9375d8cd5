"""Task cards: what a page says of a task, and what it must not say."""

import pytest
from studies import put, run
from typer.testing import CliRunner

from forgetting import tasks
from forgetting.cli import app
from forgetting.evidence import records
from forgetting.site.pages import cards
from forgetting.tasks import Task


def test_a_card_says_what_is_asked_and_what_would_be_right(own_home):
    text = cards.card(Task("arc_easy_standin"))
    document = min(Task("arc_easy_standin").documents("test"), key=lambda d: len(str(d)))
    assert str(document["choices"][document["gold"]]) in text
    assert "80" in text and "a choice, by likelihood" in text and "Not measured yet." in text
    assert "lm_eval --include_path data/tasks --tasks arc_easy_standin" in text


def test_a_card_without_its_data_says_how_to_get_them(own_home):
    text = cards.card(Task("wikitext2"))
    assert "forgetting data fetch wikitext2_valid_test" in text
    assert "unknown until its data are at hand" in text


def test_a_base_score_is_that_of_its_own_session_and_is_the_newest(own_home, tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))
    monkeypatch.setattr(tasks, "names", lambda: ["english", "formats", "chat"])
    model = {"name": "smollm2-135m", "digest": "d", "layers": 2, "parameters": 1000}
    base = "a" * 20
    for day, device, asked in (
        (1, "a laptop", {"english": {"log_likelihood": [-2, -4], "tokens": [2, 2]}}),
        (2, "a desk", {"formats": {"followed": [1, 1, 1, 0]}}),
    ):
        about = {"environment": {"device": device}, "timing": {"date": f"2026-01-0{day}T00:00"}}
        put(run("untouched", 0.0, 0, asked, experiment="tasks", key=base, model=model, **about))
    put(run("full", experiment="tasks", key="b" * 20, model=model))
    measured = cards.base_run()
    assert cards.main_score(measured.scores["formats"]) == "0.75 ± 0.25 followed"
    assert "2 items, 2026-01-01, a laptop." in cards.card(Task("english"), measured)
    text = cards.card(Task("formats"), measured)
    assert "| followed | 0.75 ± 0.25 |" in text and "4 items, 2026-01-02, a desk." in text
    assert "| 0.75 ± 0.25 followed |" in cards.index(measured)
    assert "Not measured yet." in cards.card(Task("chat"), measured)


def test_measure_prints_a_score_a_task_and_stores_a_session_a_family(own_home):
    tiny = ["measure", "--model", "tiny", "--items", "3", "--answers"]
    done = CliRunner().invoke(app, [*tiny, "2", "english", "formats"])
    assert done.exit_code == 0, done.output
    assert "nats" in done.output and "followed" in done.output
    (measured,) = records.stored("tasks", "smoke")
    assert {name: scores.n for name, scores in measured.scores.items()} == {
        "english": 3,
        "formats": 2,
    }
    assert len(measured.record.sessions) == 2
    assert CliRunner().invoke(app, [*tiny, "4", "formats"]).exit_code == 0
    (measured,) = records.stored("tasks", "smoke")
    assert measured.scores["formats"].n == 4  # the newest of its scores


def test_a_family_names_its_tasks_and_each_is_named_once():
    assert tasks.named(["text"]) == [n for n in tasks.names() if Task(n).family == "text"]
    assert tasks.named(["formats"]) == ["formats"] and tasks.named(["chat", "chat"]) == ["chat"]
    with pytest.raises(tasks.UnknownTask, match=r"task='txt': no such task; families: alignment"):
        tasks.named(["txt"])
