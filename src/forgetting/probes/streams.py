"""A stream: a task's questions one after another, in an order, with a bit of feedback each.

What may change while it is asked is measured so (`lineage.Adapt`); what stays as it is answers the
same questions without listening to the feedback.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from forgetting.lineage import Adapt, Checkpoint
from forgetting.models.family import family_of
from forgetting.models.rows import asked_row
from forgetting.probes.measures import OfTask
from forgetting.probes.scores import Sample, Scores


@dataclass(frozen=True)
class Stream(OfTask):
    """The test items of a graded task in an order drawn from `order`.

    Scores stand in the task's own order, so that two orders can be compared item by item; `place`
    is an item's place in the stream, from 0. All items of a stream are one block: what comes later
    depends on what came before. Raises `ValueError` for a task whose answers nobody grades.
    """

    order: int = 0

    @property
    def name(self) -> str:
        return f"{self.task.name}:stream {self.order}"

    def test_recipe(self) -> dict[str, Any]:
        return self.task.test_recipe() | {"task": self.name, "stream": 1, "order": self.order}

    def scores(
        self, checkpoint: Checkpoint, model: Any, tokenizer: Any
    ) -> tuple[Scores, list[Sample]]:
        documents = self.documents()
        places = list(range(len(documents)))
        random.Random(f"stream {self.order}").shuffle(places)

        def write(question: str) -> str:
            prompt = asked_row(example.asking(question), tokenizer)
            longest = self.task.config["generation_kwargs"]["max_gen_toks"]
            answer = family_of(model).answer
            (completion,) = answer(model, tokenizer, [prompt], max_new_tokens=longest)
            return completion.text.strip()

        step = checkpoint.step
        how: Any = step.how if isinstance(step, Adapt) else None
        listener = how.begin(model, tokenizer, write) if how else None
        graded: dict[int, dict[str, float]] = {}
        samples: dict[int, Sample] = {}
        for place, number in enumerate(places):
            example = self.task.example(documents[number])
            prompt = example.question
            answer = (listener.answer if listener else write)(prompt)
            values = self.task.graded(documents[number], answer)
            if values is None:
                raise ValueError(f"task={self.task.name!r}: its answers are not graded")
            if listener:
                right = bool(self.task.is_right(documents[number], answer))
                listener.learn(prompt, answer, right)
            graded[number] = values | {"place": float(place)}
            samples[number] = Sample(task=self.name, prompt=prompt, answer=answer)
        numbers = range(len(documents))
        items = {metric: [graded[n][metric] for n in numbers] for metric in graded[0]}
        scores = self.scores_of(self.name, items, blocks=[0] * len(documents))
        return scores, [samples[n] for n in numbers]
