"""The chapter on recognisers: its design, its views, its exercises."""

import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from forgetting.chapters.recognisers import exercises, views
from forgetting.chapters.recognisers.experiment import LONGEST, experiment, through_rooms
from forgetting.experiments.asks import scaled
from forgetting.home import data_dir
from forgetting.lineage import Adapt
from forgetting.tasks import Task

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "10_recognisers.ipynb"


@pytest.mark.parametrize("tier", experiment.budgets)
def test_a_stream_of_an_arm_is_the_stream_that_is_asked(tier):
    """So that what is kept is measured as it went, and quiet speech of the weights it left."""
    budget = experiment.budget(tier)
    probes = experiment.probes(tier, "public")
    base = experiment.base(tier)
    cells, _ = experiment.cells(
        base, experiment.taught(tier, "public"), rates=budget.rates, **budget.with_settings({})
    )
    assert budget.settings["batch"] == min(scaled(100, tier), LONGEST)
    for cell in cells:
        step = cell.checkpoint.step
        if isinstance(step, Adapt):
            assert probes["stream"].watches(cell.checkpoint)
            assert probes["quiet"].watches(cell.checkpoint) == (step.stream is None)


def test_a_long_stream_ends_with_the_sentences():
    stream = through_rooms(Task("dictation", 800))
    assert stream.task.items == LONGEST and stream.every == LONGEST // 5


def test_a_curve_is_the_mean_of_the_last_ten():
    values = np.arange(12.0)
    assert views.smooth(values)[[0, 1, 11]].tolist() == [0, 0.5, 6.5]


def solutions():
    """What the notebook's solutions define."""
    named = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if "{solution-start}" in text:
            exec(text.split("```python\n")[1].split("\n```")[0], named)
    return named


def test_the_solutions_of_the_exercises_pass_and_others_do_not():
    named = solutions()
    for name in ("sureness", "word_errors", "decoded"):
        assert getattr(exercises, name)(named[name]) == "correct"
    wrong = {
        "sureness": lambda z, t: 0.0,
        "word_errors": lambda said, written: abs(len(said.split()) - len(written.split())),
        "decoded": lambda path: [c for c, _ in groupby([c for c in path if c])],
    }
    for name, answer in wrong.items():
        with pytest.raises(AssertionError, match=name):
            getattr(exercises, name)(answer)


def test_published_numbers_are_the_readmes():
    from forgetting.evidence.papers import paper

    rows = paper("2203.14222").tables["wer"].rows
    assert rows["SUTA"][2] == 16.7 and rows["as it is"][2] == 24.4
    assert (data_dir() / "papers" / "2406.11064.toml").exists()
