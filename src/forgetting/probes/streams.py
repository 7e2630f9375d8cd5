"""A stream: a task's questions one after another, in an order, with a bit of feedback each.

What may change while it is asked is measured so (`lineage.Adapt`); what stays as it is answers the
same questions without listening to the feedback.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from forgetting.lineage import Adapt, Checkpoint
from forgetting.probes import asking, playing
from forgetting.probes.measures import OfTask
from forgetting.probes.playing import Told, Writer
from forgetting.probes.scores import Sample, Scores
from forgetting.tasks import Task

DIGITS = 5  # behind the point: records of long streams stay small


@dataclass(frozen=True)
class Stream(OfTask):
    """The test items of a graded task in an order drawn from `order`.

    Scores stand in the task's own order, so that two orders can be compared item by item; `place`
    is an item's place in the stream, from 0, `shots` how many remembered answers stood in its
    prompt. What comes later depends on what came before: all items are one block, or, with `block`,
    so many neighbours, which stand together in every order.

    With `closed`, answers are the likeliest of all that the task's test split has. Items then have
    the likeliest one's share among them (`sure`), what that exceeds its being right
    (`overconfident`), its lead over the next, nats (`margin`), and what asking for help by that
    margin adds over asking at random (`asking.lead`). `wrong` is 1 where an answer is not right by
    the task's first metric.

    Asked of a System with a stream of its own of the same kind, it tells what became of that one,
    whatever its order. Raises `ValueError` for a task whose answers nobody grades.
    """

    order: int = 0
    block: int = 0
    closed: bool = False

    @property
    def name(self) -> str:
        return f"{self.task.name}:stream {self.order}"

    def test_recipe(self) -> dict[str, Any]:
        recipe = {"task": self.name, "stream": 1, "order": self.order}
        more = {"block": self.block, "closed": self.closed}
        return self.task.test_recipe() | recipe | {k: v for k, v in more.items() if v}

    recipe = test_recipe

    def watches(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint is asked as a System, and not as weights."""
        return playing.watches(self, checkpoint)

    def weights(self, step: Adapt) -> dict[str, Any]:
        return playing.left(step, self.task, self.labels(), self.places())

    def places(self) -> list[int]:
        """The numbers of the items in the stream's order."""
        return playing.in_blocks(len(self.documents()), self.block, self.order)

    def labels(self) -> tuple[str, ...]:
        """All answers of the test split, where the stream is closed; in the alphabet's order."""
        return _answers(self.task.name) if self.closed else ()

    def scores(
        self, checkpoint: Checkpoint, model: Any, tokenizer: Any
    ) -> tuple[Scores, list[Sample]]:
        step = checkpoint.step
        own = step.stream if isinstance(step, Adapt) and self.watches(checkpoint) else None
        if isinstance(own, Stream) and isinstance(step, Adapt):
            told = playing.heard(step, self.task, own.labels(), own.places())
        else:
            how = step.how if isinstance(step, Adapt) and self.watches(checkpoint) else None
            write = Writer(model, tokenizer, self.task, self.labels())
            told = playing.listen(how, write, self.places())
        return self._scored(told)

    def _scored(self, told: Sequence[Told]) -> tuple[Scores, list[Sample]]:
        documents = self.documents()
        place = {each.item: number for number, each in enumerate(told)}
        told = sorted(told, key=lambda each: each.item)
        graded = [
            self.task.graded(document, each.answer) or {}
            for document, each in zip(documents, told, strict=True)
        ]
        items = {metric: [values[metric] for values in graded] for metric in graded[0]}
        right = [float(each.right) for each in told]
        items["place"] = [float(place[each.item]) for each in told]
        items["shots"] = [float(each.shots) for each in told]
        items["wrong"] = [1 - bit for bit in right]
        if self.closed:
            sure, margins = zip(*(_certainty(each.nats) for each in told), strict=True)
            items["sure"] = list(sure)
            items["overconfident"] = [s - bit for s, bit in zip(sure, right, strict=True)]
            items["margin"] = list(margins)
            items["lead"] = asking.lead(margins, right).tolist()
        items = {name: [round(float(v), DIGITS) for v in values] for name, values in items.items()}
        blocks = [number // (self.block or len(told)) for number in range(len(told))]
        samples = [
            Sample(task=self.name, prompt=self.task.example(d).question, answer=each.answer)
            for d, each in zip(documents, told, strict=True)
        ]
        return self.scores_of(self.name, items, blocks=blocks), samples


@lru_cache
def _answers(name: str) -> tuple[str, ...]:
    task = Task(name)
    return tuple(sorted({task.example(document).answer for document in task.documents("test")}))


def _certainty(nats: Sequence[float]) -> tuple[float, float]:
    """The likeliest answer's share of all, and its lead over the next one, nats."""
    first, *others = sorted(nats, reverse=True)
    share = 1 / math.fsum(math.exp(each - first) for each in nats)
    return share, first - others[0] if others else 0.0
