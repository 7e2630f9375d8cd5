"""On-policy distillation (Shenfeld et al. 2026, arXiv 2601.19897)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from forgetting.lineage import Checkpoint, Drawn, Settings
from forgetting.method import method
from forgetting.models import template
from forgetting.models.rows import OLD, Row, read_tokens
from forgetting.recipes.answers import asked
from forgetting.recipes.spoken import Spoken, spoken_row

# What the teacher is told beside the question (Shenfeld et al. 2026, arXiv 2601.19897).
DEMONSTRATION = (
    "{question} This is an example for a response to the question: {answer} Now answer with a "
    "response of your own, including the thinking process:"
)


@method(
    name="distillation",
    title="On-policy distillation from a teacher that sees the answer",
    idea="The model answers, and is drawn towards what a teacher would have said at each of its "
    "words. The teacher is the model as it was, with an example of an answer in its prompt.",
    equation=r"L = \mathbb{E}_{y \sim \pi_\theta(\cdot \mid x)} \sum_t "
    r"\mathrm{KL}\bigl(\pi_0(\cdot \mid x, d, y_{<t}) \,\Vert\, \pi_\theta(\cdot \mid x, "
    r"y_{<t})\bigr)",
    cost="An answer drawn for each example in every round, and one more reading of it by the "
    "teacher.",
    use="Where the model can learn from an example in its prompt; small models hardly can.",
    citations=("shenfeld2026selfdistillation",),
    beside=("KeepClose",),
    colour="#8C4A76",
    marker="h",
)
@dataclass(frozen=True)
class Distilled(Spoken):
    """On-policy distillation (Shenfeld et al. 2026): the teacher sees the answer.

    Rows are the model's own answers, for `objectives.KeepClose`: the divergence from what `teacher`
    says of the same tokens when a demonstration stands in its prompt. The teacher is frozen; that
    of the paper follows the model slowly.
    """

    teacher: Checkpoint = field(kw_only=True)
    origin: ClassVar[str] = "distilled"

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.of, self.teacher)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"teacher": self.teacher.key, "template": DEMONSTRATION}

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """A row an answer, marked `OLD`, with what the teacher reads in its place."""
        rows = []
        for document, each in self.completions(tokenizer, settings, seed, drawn):
            example = self.task.example(document)
            plain = asked(tokenizer, example)
            shown = DEMONSTRATION.format(question=example.question, answer=example.answer)
            prompt = asked(tokenizer, example.asking(shown))
            for completion in each:
                row = spoken_row(tokenizer, plain, completion, settings.length)
                kept = len(row["labels"]) - read_tokens(row)
                begun = template.ids(tokenizer, prompt)
                teachers = torch.cat([torch.tensor(begun), row["input_ids"][-kept:]])
                rows.append(row | {"part": torch.tensor(OLD), "teacher_ids": teachers})
        return rows
