"""A task's examples in LAMOL's form, and nothing else: plain fine-tuning in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forgetting.lineage import Checkpoint, Drawn, Samples, Settings
from forgetting.method import method
from forgetting.models.rows import Row, TooLittleText
from forgetting.recipes import lamol_form
from forgetting.recipes.lamol_form import Example
from forgetting.tasks import Task


@method(
    name="fine-tune-in-turn",
    title="Fine-tuning in turn",
    idea="Tasks are learned one after another, and each training sees its own task alone. It is "
    "what every method for sequences is compared with from below; training on all tasks at once "
    "is the comparison from above.",
    equation=r"\theta_k = \arg\min_\theta L_k(\theta), \text{ begun at } \theta_{k-1}",
    cost="None beside the training.",
    use="As the lower and the upper end of the scale, never as a cure.",
    citations=("sun2020lamol", "mccloskey1989catastrophic"),
    colour="#000000",
    marker="s",
)
@dataclass(frozen=True)
class InForm:
    """A task's own training examples in LAMOL's form, to be answered: plain fine-tuning.

    The first `settings.rows` in the seed's order; what leaves a question no room is passed over.
    """

    task: Task

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """None: it shows no checkpoint's words."""
        return ()

    def missing(self) -> list[str]:
        """Public data sets that it needs and that are not at hand."""
        return self.task.missing()

    def recipe(self) -> dict[str, Any]:
        """One name for all tasks of a sequence, whose records are compared; the task is inside."""
        own = {"recipe": type(self).__name__, "task": self.task.recipe()}
        return {"task": "in LAMOL's form", "shown": own | self.settings()}

    def settings(self) -> dict[str, Any]:
        """What the examples depend on beside the task, as plain JSON."""
        return {}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """What has to be generated first."""
        return ()

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """A row an example: its answer is supervised."""
        own = examples(self.task, tokenizer, settings, seed)
        rows = [lamol_form.answer_row(tokenizer, example, settings.length) for example in own]
        return [row for row in rows if row is not None]

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many examples."""
        return {"new": len(self.rows(tokenizer, settings, seed, drawn))}


def examples(task: Task, tokenizer: Any, settings: Settings, seed: int) -> list[Example]:
    """The first `settings.rows` training examples of a task that leave room for their question.

    Raises `rows.TooLittleText` where there are not so many.
    """
    fitting: list[Example] = []
    for document in task.training_documents(seed):
        example = lamol_form.example(tokenizer, task, document)
        if lamol_form.answer_row(tokenizer, example, settings.length) is not None:
            fitting.append(example)
            if len(fitting) == settings.rows:
                return fitting
    raise TooLittleText(
        f"examples={settings.rows}: {task.name} has {len(fitting)} that fit in {settings.length} "
        "tokens; lower examples or raise length"
    )
