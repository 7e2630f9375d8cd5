"""Task cards: what a page says of a task, and what it must not say."""

import pytest
from test_records import record
from typer.testing import CliRunner

from forgetting import tasks
from forgetting.cli import app
from forgetting.evidence import records
from forgetting.site.pages import cards
from forgetting.tasks import Task


def test_a_card_says_what_is_asked_and_what_would_be_right(own_home):
    text = cards.card(Task("arc_easy_standin"), {})
    document = min(Task("arc_easy_standin").documents("test"), key=lambda d: len(str(d)))
    assert str(document["choices"][document["gold"]]) in text
    assert "80" in text and "a choice, by likelihood" in text and "Not measured yet." in text
    assert "lm_eval --include_path data/tasks --tasks arc_easy_standin" in text


def test_every_task_has_a_card_and_none_repeats_a_request_of_the_alignment_family(own_home):
    pages = {str(path): text for path, text in cards.pages().items()}
    assert set(pages) == {"tasks/index.md", *(f"tasks/{name}.md" for name in tasks.names())}
    together = "\n".join(pages.values())
    for task in map(Task, tasks.names()):
        assert f"[{task.name}]({task.name}.md)" in pages["tasks/index.md"]
        if task.family == "alignment" and not task.missing():
            for document in task.documents("test"):
                assert document["prompt"] not in together, f"{task.name} shows one of its requests"


def test_a_card_without_its_data_says_how_to_get_them(own_home):
    text = cards.card(Task("wikitext2"), {})
    assert "forgetting data fetch wikitext2_valid_test" in text
    assert "unknown until its data are at hand" in text


def test_a_base_score_is_read_from_the_newest_record(own_home, tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))
    about = {"chapter": "tasks", "tier": "laptop", "model": {"name": "smollm2-135m"}}
    for key, day, mean in (("a" * 20, "01", 0.25), ("b" * 20, "02", 0.75)):
        scores = record().scores["arc"].model_copy(update={"items": {"acc": [mean] * 4}, "n": 4})
        labels = {"method": "untouched", "seed": 0}
        kept = record(key=key, labels=labels, scores={"arc": scores}, **about)
        kept.timing["date"] = f"2026-01-{day}T00:00:00Z"
        records.save(kept)
    assert cards.main_score(cards.base_scores()["arc"].scores["arc"]) == "0.75 ± 0 acc"


def test_measure_prints_a_score_a_task_and_stores_a_record_a_family(own_home):
    done = CliRunner().invoke(
        app, ["measure", "english", "formats", "--model", "tiny", "--items", "3", "--answers", "2"]
    )
    assert done.exit_code == 0, done.output
    assert "nats" in done.output and "followed" in done.output
    assert len(records.stored("tasks", "smoke")) == 2


def test_a_family_names_its_tasks_and_each_is_named_once():
    assert tasks.named(["text"]) == [n for n in tasks.names() if Task(n).family == "text"]
    assert tasks.named(["formats"]) == ["formats"] and tasks.named(["chat", "chat"]) == ["chat"]
    with pytest.raises(tasks.UnknownTask, match=r"task='txt': no such task; families: alignment"):
        tasks.named(["txt"])
