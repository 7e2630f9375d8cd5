"""The explorer: which numbers stand on the page, and that nothing in them can break it."""

import json
import math
import re
from pathlib import Path

import pytest
from test_records import record, scores

from forgetting.evidence import claims, records
from forgetting.site.pages import explorer
from forgetting.views import figures

REPOSITORY = Path(__file__).parents[1]


def make_run(key, method="full", *, likelihoods=(-2.0, -8.0), seed=0, length=256, acc=None):
    """A record of two texts of 2 and 4 tokens, and of two questions where `acc` is given."""
    asked = {"zh": scores(log_likelihood=list(likelihoods), tokens=[2, 4])}
    if acc is not None:
        asked["quiz"] = scores(acc=list(acc), choice=[3.0, 1.0])
    base = {"b" * 20: {"step": "foundation", "digest": "d" * 64}}
    step = {"step": "train", "task": {"task": "zh"}, "settings": {"length": length}}
    trained = method != "untouched"
    return record(
        key=key * 20,
        tier="laptop",
        labels={"method": method, "learning_rate": 1e-4 if trained else 0.0, "seed": seed},
        model={"name": "smollm2-135m", "digest": "d" * 64},
        lineage=base | ({"c" * 20: step} if trained else {}),
        scores=asked,
        environment={"device": "a laptop"},
        timing={"date": "2026-11-21T10:00:00Z", "seconds": 1.0, "peak_memory_mib": 1},
    )


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A folder of results; call it with records to store."""
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))
    return lambda *runs: [records.save(run) for run in runs]


UNTOUCHED = make_run("a", "untouched", likelihoods=(-4.0, -12.0), acc=(1.0, 0.0))


def test_a_change_is_paired_and_weighted_by_tokens():
    # Nats a token: before (2, 3), after (1, 2): every token is one nat likelier.
    assert explorer.paired_change(make_run("b"), UNTOUCHED, "zh.nats") == (-1.0, 0.0)
    # After (2, 2): nothing for 2 tokens, one nat for 4 of them: -4/6 on average.
    change, error = explorer.paired_change(
        make_run("b", likelihoods=(-4, -8)), UNTOUCHED, "zh.nats"
    )
    assert change == pytest.approx(-4 / 6)
    # Deviations 4/6 and -2/6, times the weights' shares 2/3 and 4/3: ±4/9; their spread / √2.
    assert error == pytest.approx(math.sqrt(2 * (4 / 9) ** 2) / math.sqrt(2))
    # It is the error that verdicts have.
    effect = claims.paired_effect([make_run("b", likelihoods=(-4, -8))], [UNTOUCHED], ["zh.nats"])
    t_of_one_degree = 12.7062
    assert (effect.high - effect.low) / 2 == pytest.approx(t_of_one_degree * error, rel=1e-4)


def test_runs_stand_beside_those_they_can_be_compared_with(stored):
    stored(UNTOUCHED, make_run("b"), make_run("c", "LoRA", seed=1), make_run("d", length=512))
    first, second = explorer.studies()
    assert first["name"] == "trial-laptop" and second["name"] == "trial-laptop-2"
    assert [run["key"][0] for run in first["runs"]] == ["a", "c", "b"]
    assert [run["key"][0] for run in second["runs"]] == ["a", "d"]
    assert first["measures"] == ["zh.nats", "quiz.acc"]  # an option's index has no mean
    untouched, lora, _ = first["runs"]
    assert untouched["values"][1] == [0.5, 0.5, 0.0, 0.0]
    assert lora["values"] == [[1.667, 0.4444, -1.0, 0.0], None]  # no question was asked of it
    assert (lora["method"], lora["rate"], lora["seed"], lora["also"]) == ("LoRA", 1e-4, 1, "")


def test_labels_of_other_kinds_and_the_books_colours_are_shown(stored):
    run = make_run("b", "LoRA")
    run.labels["rehearsal_ratio"] = 0.2
    stored(UNTOUCHED, run, make_run("c", "my own"))
    data = explorer.data()
    assert [run["also"] for run in data["studies"][0]["runs"]].count("rehearsal ratio 0.2") == 1
    assert data["methods"] == {
        "untouched": [figures.COLOURS["untouched"], figures.MARKERS["untouched"]],
        "LoRA": [figures.COLOURS["LoRA"], figures.MARKERS["LoRA"]],
        "my own": ["#555555", "o"],
    }
    script = (REPOSITORY / "book" / "explorer" / "explorer.js").read_text()
    shapes = re.search(r"const SHAPES = \{(.*?)\n  \};", script, re.S)[1]
    drawn = {a or b for a, b in re.findall(r'^    (?:"(.)"|(\S)):', shapes, re.M)}
    assert set(figures.MARKERS.values()) <= drawn


def test_a_name_cannot_end_the_pages_script(stored):
    stored(UNTOUCHED, make_run("b", "</script><b>"))
    page = explorer.page(REPOSITORY)
    data = re.search(r'<script type="application/json" id="explorer-data">(.*?)</script>', page)[1]
    assert "</script><b>" in json.loads(data)["methods"]


def test_the_page_of_the_books_own_records(monkeypatch):
    monkeypatch.delenv("FORGETTING_RESULTS", raising=False)
    found = explorer.data("https://example.org")
    for study in found["studies"]:
        assert set(study["axes"]) <= set(study["measures"])
        for run in study["runs"]:
            assert len(run["values"]) == len(study["measures"])
            assert records.path_of(study["chapter"], run["key"], "laptop").is_file()
        points = [run["values"][study["measures"].index(study["axes"][0])] for run in study["runs"]]
        assert all(points)  # what was taught is asked of every run
