"""A task's examples in LAMOL's form, and nothing else: plain fine-tuning in turn."""

from dataclasses import dataclass
from typing import Any

from forgetting.lineage import Drawn, Settings
from forgetting.method import method
from forgetting.models.rows import Row
from forgetting.recipes import lamol_form
from forgetting.recipes.base import OneTask, first_fitting
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
class InForm(OneTask):
    """A task's own training examples in LAMOL's form, to be answered: plain fine-tuning.

    The first `settings.rows` in the seed's order; what leaves a question no room is passed over.
    """

    def recipe(self) -> dict[str, Any]:
        """One name for all tasks of a sequence, whose records are compared; the task is inside."""
        own = {"recipe": type(self).__name__, "task": self.task.recipe()}
        return {"task": "in LAMOL's form", "shown": own | self.settings()}

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """A row an example: its answer is supervised."""
        own = examples(self.task, tokenizer, settings, seed)
        return lamol_form.answer_rows(tokenizer, own, settings.length)

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many examples."""
        return {"new": len(self.rows(tokenizer, settings, seed, drawn))}


def examples(task: Task, tokenizer: Any, settings: Settings, seed: int) -> list[Example]:
    """The first `settings.rows` training examples of a task that leave room for their question.

    Raises `rows.TooLittleText` where there are not so many.
    """
    documents = task.training_documents(seed)
    every = (lamol_form.example(tokenizer, task, document) for document in documents)
    fitting = (one for one in every if lamol_form.answer_row(tokenizer, one, settings.length))
    return first_fitting(task, settings, fitting)
