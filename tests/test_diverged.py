"""A training whose loss is no number any more: recorded as diverged, and the others go on."""

import json

import pytest
from studies import SMALL, cells, files, small_study
from typer.testing import CliRunner

from forgetting import cli, evaluate
from forgetting.engine import compute, training
from forgetting.evidence import records


@pytest.fixture
def blown(own_home, monkeypatch):
    """The second seed's second step has no finite loss, and leaves no finite weight."""
    really = training.train

    def train(model, tokenizer, shown, settings, seed, *rest, **more):
        losses = really(model, tokenizer, shown, settings, seed, *rest, **more)
        if seed != 1:
            return losses
        for weight in model.parameters():
            weight.data.fill_(float("nan"))
        return [losses[0], float("nan"), 3.0]

    monkeypatch.setattr(training, "train", train)
    return own_home


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_it_is_recorded_as_diverged_and_the_others_are_measured(blown, trainings):
    said = []
    about = {"asks": SMALL[:2], "keep": (), "say": said.append}
    start, full, gone = small_study(asked=cells()[:3], **about)
    told = "method full, learning_rate 0.001, seed 1: diverged, so it has no scores; lower its "
    assert [line for line in said if "diverged" in line] == [f"{told}learning rate"]
    assert [run.diverged for run in (start, full, gone)] == [False, False, True]
    assert gone.scores == {} and gone.samples == [] and len(gone.losses) == 1
    assert full.mean("zh_everyday.nats") != start.mean("zh_everyday.nats")
    text = records.path_of(gone.key, "smoke").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse)["diverged"] is True
    assert "diverged" not in records.path_of(full.key, "smoke").read_text(encoding="utf-8")
    assert gone.timing["seconds"] > 0 and gone.environment == full.environment
    stored = records.stored("trial", "smoke")
    assert len(stored) == 3 and gone not in records.comparable(stored)
    assert "seed 1, diverged" in CliRunner().invoke(cli.app, ["records"]).stdout


def test_to_go_on_gives_the_same_bytes_and_computes_nothing_again(blown, trainings):
    asked, about = cells()[:3], {"asks": SMALL[:2], "keep": ()}
    runs = small_study(asked=asked, **about)
    before = files(blown)
    assert trainings == [0, 1]
    assert small_study(asked=asked, **about) == runs
    records.path_of(runs[2].key, "smoke").unlink()
    assert small_study(asked=asked, **about)[2].losses == runs[2].losses
    assert files(blown) == before and trainings == [0, 1]


def test_who_measures_it_is_told_why_not(blown):
    gone = cells()[2].checkpoint
    with pytest.raises(compute.Diverged, match=r"diverged: .* not finite; lower the learning rate"):
        evaluate(gone, SMALL[:1])
