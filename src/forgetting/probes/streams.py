"""A stream: a task's questions one after another, in an order, with a bit of feedback each.

What may change while it is asked is measured so (`lineage.Adapt`); what stays as it is answers the
same questions without listening to the feedback.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forgetting.lineage import Adapt
from forgetting.probes.scores import Sample, Scores
from forgetting.tasks import Example, Task

if TYPE_CHECKING:
    from forgetting.lineage import Checkpoint


@dataclass(frozen=True)
class Stream:
    """The test items of a graded task in an order drawn from `order`.

    Scores stand in the task's own order, so that two orders can be compared item by item; `place`
    is an item's place in the stream, from 0. All items of a stream are one block: what comes later
    depends on what came before. Raises `ValueError` for a task whose answers nobody grades.
    """

    task: Task
    order: int = 0

    @property
    def name(self) -> str:
        return f"{self.task.name}:stream {self.order}"

    def missing(self) -> list[str]:
        return self.task.missing()

    def test_recipe(self) -> dict[str, Any]:
        return self.task.test_recipe() | {"task": self.name, "stream": 1, "order": self.order}

    def scores(
        self, checkpoint: Checkpoint, model: Any, tokenizer: Any
    ) -> tuple[Scores, list[Sample]]:
        documents = self.task.documents("test")[: self.task.items]
        places = list(range(len(documents)))
        random.Random(f"stream {self.order}").shuffle(places)
        current: list[Example] = []  # what is asked now
        listener = self._listener(checkpoint, model, tokenizer, current)
        graded: dict[int, dict[str, float]] = {}
        samples: dict[int, Sample] = {}
        for place, number in enumerate(places):
            current[:] = [self.task.example(documents[number])]
            prompt = current[0].question
            answer = listener.answer(prompt)
            values = self.task.graded(documents[number], answer)
            if values is None:
                raise ValueError(f"task={self.task.name!r}: its answers are not graded")
            right = bool(self.task.is_right(documents[number], answer))
            listener.learn(prompt, answer, right)
            graded[number] = values | {"place": float(place)}
            samples[number] = Sample(task=self.name, prompt=prompt, answer=answer)
        in_order = [graded[number] for number in range(len(documents))]
        return Scores(
            task=self.name,
            version=self.task.metadata["version"],
            templates=self.task.recipe()["templates"],
            n=len(documents),
            batch=1,
            items={metric: [values[metric] for values in in_order] for metric in in_order[0]},
            blocks=[0] * len(documents),
        ), [samples[number] for number in range(len(documents))]

    def _listener(
        self, checkpoint: Checkpoint, model: Any, tokenizer: Any, current: list[Example]
    ) -> Any:
        """Who answers: what adapts, or the model as it is."""

        def write(question: str) -> str:
            from forgetting.models.family import family_of
            from forgetting.models.rows import asked_row

            prompt = asked_row(current[0].asking(question), tokenizer)
            longest = self.task.config["generation_kwargs"]["max_gen_toks"]
            answer = family_of(model).answer
            (written,) = answer(model, tokenizer, [prompt], max_new_tokens=longest)
            return written.text.strip()

        if isinstance(checkpoint.step, Adapt):
            return checkpoint.step.how.begin(model, tokenizer, write)  # type: ignore[attr-defined]
        return _Unmoved(write)


class _Unmoved:
    """What stays as it is."""

    def __init__(self, write: Any) -> None:
        self.answer = write

    def learn(self, prompt: str, answer: str, right: bool) -> None:
        pass
