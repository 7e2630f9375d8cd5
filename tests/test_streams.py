"""Streams: a System that changes while it is asked, measured question by question."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from forgetting.adaptation import StreamICL, system
from forgetting.evidence import intervals
from forgetting.experiments.study import Cell, measure
from forgetting.lineage import foundation
from forgetting.probes.streams import Stream
from forgetting.tasks import Task

pytestmark = pytest.mark.usefixtures("own_home")
TASK = Task("mini_sentiment", 6)


@dataclass(frozen=True)
class Parrot:
    """A toy: it says the last answer that was right, and "good" until there was one."""

    def recipe(self) -> dict[str, Any]:
        return {"kind": "Parrot"}

    def begin(self, model: Any, tokenizer: Any, write: Callable[[str], str]) -> "Parrot.Listener":
        return Parrot.Listener()

    class Listener:
        def __init__(self) -> None:
            self.said, self.heard = "good", []

        def answer(self, prompt: str) -> str:
            self.heard.append(prompt)
            return self.said if len(self.heard) < 4 else "nothing"

        def learn(self, prompt: str, answer: str, right: bool) -> None:
            self.said = answer if right else "bad" if self.said == "good" else "good"


def test_a_system_is_measured_by_a_stream_in_an_order():
    base = foundation("tiny")
    parrot = system(base, Parrot())
    assert parrot.key != base.key and parrot.foundation == base.foundation
    scores, samples = Stream(TASK, order=3).scores(parrot, None, None)
    places = [int(place) for place in scores.items["place"]]
    assert sorted(places) == list(range(6)) and places != list(range(6))
    answers = [samples[places.index(place)].answer for place in range(6)]
    assert answers[0] == "good" and answers[3:] == ["nothing"] * 3
    right = [
        TASK.is_right(d, s.answer) for d, s in zip(TASK.documents("test"), samples, strict=False)
    ]
    metric = TASK.config["metric_list"][0]["metric"]
    assert scores.items[metric] == [float(r) for r in right]
    assert scores.blocks == [0] * 6


def test_another_order_is_another_probe_of_the_same_items():
    parrot = system(foundation("tiny"), Parrot())
    one, other = (Stream(TASK, order).scores(parrot, None, None)[0] for order in (0, 1))
    assert one.items["place"] != other.items["place"]
    assert Stream(TASK, 0).test_recipe() != Stream(TASK, 1).test_recipe()


def test_a_stream_has_a_record_like_everything_else_and_the_weights_stay():
    base = foundation("tiny")
    cells = [
        Cell(base, {"method": "untouched", "learning_rate": 0.0, "seed": 0}, start=True),
        Cell(system(base, StreamICL(2)), {"method": "StreamICL", "learning_rate": 0.0, "seed": 0}),
    ]
    asks = {"stream": Stream(TASK), "english": Task("english", 2)}
    start, adapting = measure("trial", cells, asks, "smoke", say=lambda line: None)
    assert adapting.last_step["step"] == "adapt" and not adapting.start
    assert start.scores["english"] == adapting.scores["english"]
    assert len(adapting.scores["stream"].items["place"]) == 6


def test_stream_icl_shows_the_last_right_answers_alone():
    prompts: list[str] = []
    listener = StreamICL(2).begin(None, None, lambda prompt: prompts.append(prompt) or "x")
    for question, right in (("a", True), ("b", False), ("c", True), ("d", True), ("e", True)):
        listener.learn(question, listener.answer(question), right)
    assert prompts[:3] == ["a", "a x\n\nb", "a x\n\nc"]
    assert prompts[4] == "c x\n\nd x\n\ne"


def test_items_of_one_block_count_once():
    """Two groups of two equal items are as uncertain as two items."""
    twice = np.array([[1.0, 1.0, 3.0, 3.0]])
    once = intervals.interval(np.array([[1.0, 3.0]]))
    grouped = intervals.interval(twice, blocks=np.array([0, 0, 1, 1]))
    assert (grouped.mean, grouped.items) == (2.0, 4)
    assert grouped.low == pytest.approx(once.low) and grouped.high == pytest.approx(once.high)
    alone = intervals.interval(twice, blocks=np.arange(4))
    assert alone.low == pytest.approx(intervals.interval(twice).low)
    one_stream = intervals.interval(twice, blocks=np.zeros(4, dtype=int))
    assert one_stream.low == -np.inf  # one stream alone says nothing of others
