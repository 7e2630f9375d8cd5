"""The explorer: which numbers stand on the page, and that nothing in them can break it."""

import math
import re
from pathlib import Path

import pytest
from studies import put, run

from forgetting.evidence import effects, records
from forgetting.site.pages import explorer
from forgetting.views import theme

REPOSITORY = Path(__file__).parents[1]


def make_run(key, method="full", *, likelihoods=(-2.0, -8.0), acc=None, **about):
    """A run asked two texts of 2 and 4 tokens, and two questions where `acc` is given."""
    asked = {"zh": {"log_likelihood": likelihoods, "tokens": [2, 4]}}
    if acc is not None:
        asked["quiz"] = {"acc": acc, "choice": [3, 1]}
    rate = 0.0 if method == "untouched" else 1e-4
    return run(method, rate, about.pop("seed", 0), asked, key=key * 20, **about)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A folder of results; call it with runs to store."""
    monkeypatch.setenv("FORGETTING_RESULTS", str(tmp_path))
    return put


UNTOUCHED = make_run("a", "untouched", likelihoods=(-4.0, -12.0), acc=(1.0, 0.0))


def test_a_change_is_paired_and_weighted_by_tokens():
    # Nats a token: before (2, 3), after (1, 2): every token is one nat likelier.
    assert explorer.paired_change(make_run("b"), UNTOUCHED, "zh.nats") == (-1.0, 0.0)
    # After (2, 2): nothing for 2 tokens, one nat for 4 of them: -4/6 on average.
    after = make_run("b", likelihoods=(-4, -8))
    change, error = explorer.paired_change(after, UNTOUCHED, "zh.nats")
    assert change == pytest.approx(-4 / 6)
    # Deviations 4/6 and -2/6, times the weights' shares 2/3 and 4/3: ±4/9; their spread / √2.
    assert error == pytest.approx(math.sqrt(2 * (4 / 9) ** 2) / math.sqrt(2))
    # It is the error that verdicts have.
    effect = effects.paired_effect([after], [UNTOUCHED], ["zh.nats"])
    t_of_one_degree = 12.7062
    assert (effect.high - effect.low) / 2 == pytest.approx(t_of_one_degree * error, rel=1e-4)


def test_runs_stand_beside_those_of_their_design_and_a_merge_is_no_reference(stored):
    merge = {"step": "merge", "version": 1, "terms": [["b" * 20, 1.0]]}
    other = {"design": "longer"}
    stored(
        UNTOUCHED,
        make_run("b", "half way", likelihoods=(-6.0, -6.0), lineage={"b" * 20: merge}),
        make_run("c", "LoRA", seed=1),
        make_run("a", "untouched", likelihoods=(-4.0, -12.0), **other),
        make_run("d", **other),
        make_run("a", "untouched", acc=(0.0, 0.0), design="asked of the start alone"),
    )
    first, second = explorer.studies()
    assert (first["name"], second["name"]) == ("trial-laptop", "trial-laptop-2")
    assert [each["key"][0] for each in first["runs"]] == ["a", "c", "b"]
    assert [each["key"][0] for each in second["runs"]] == ["a", "d"]
    assert first["title"] == "laptop tier, tiny, 2 runs"
    assert first["measures"] == ["zh.nats", "quiz.acc"]  # an option's index has no mean
    untouched, lora, merged = first["runs"]
    assert untouched["values"][1] == [0.5, 0.5, 0.0, 0.0]
    assert lora["values"] == [[1.667, 0.4444, -1.0, 0.0], None]  # no question was asked of it
    assert merged["values"][0][2] == pytest.approx(-4 / 6, abs=1e-4)
    assert (lora["method"], lora["rate"], lora["seed"], lora["also"]) == ("LoRA", 1e-4, 1, "")


def test_labels_of_other_kinds_and_the_books_colours_are_shown(stored):
    labelled = make_run("b", "LoRA", labels={"rehearsal_ratio": 0.2})
    stored(UNTOUCHED, labelled, make_run("c", "my own"))
    (study,) = explorer.studies()
    assert [each["also"] for each in study["runs"]].count("rehearsal ratio 0.2") == 1
    assert study["methods"] == {
        "untouched": ("#000000", "*"),
        "LoRA": theme.own_look("LoRA"),
        "my own": theme.UNKNOWN,
    }
    script = (REPOSITORY / "book" / "explorer" / "explorer.js").read_text()
    shapes = re.search(r"const SHAPES = \{(.*?)\n  \};", script, re.S)[1]
    drawn = {a or b for a, b in re.findall(r'^    (?:"(.)"|(\S)):', shapes, re.M)}
    assert {*theme.MARKERS, "*"} <= drawn


def test_the_page_of_the_books_own_records():
    axes = {}
    for study in explorer.studies():
        axes[study["chapter"]] = study["axes"]
        assert set(study["axes"]) <= set(study["measures"])
        assert {each["method"] for each in study["runs"]} == set(study["methods"])
        for each in study["runs"]:
            assert len(each["values"]) == len(study["measures"])
            assert records.path_of(each["key"], "laptop").is_file()
        first = study["measures"].index(study["axes"][0])
        assert all(each["values"][first] for each in study["runs"])  # asked of every run
    assert axes["freezing"] == ["chinese.nats", "chat.nats"]
    assert axes["lora"] == ["new answers.nats", "old answers.nats"]  # "calls" writes, rarely asked
