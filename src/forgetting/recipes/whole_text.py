"""Question and answer read as one text, as in pre-training."""

from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.lineage import Drawn, Settings
from forgetting.method import method
from forgetting.models import template
from forgetting.models.rows import Row, whole_row
from forgetting.recipes.answers import Answers, questions


@method(
    title="Reading question and answer as one text",
    idea="Question and answer stand one after the other as a page of plain text, and every word "
    "of it is learned, the question's too. It is how models are pre-trained, and how a new "
    "language or a pile of documents is usually taught.",
    equation=r"L = -\frac{1}{|x| + |y|}\sum_t \log \pi_\theta\bigl((x, y)_t \mid (x, y)_{<t}\bigr)",
    cost="None beside the training; the loss runs over more tokens than the answer's.",
    use="Where there are texts and no questions. Where there are questions, compare it with "
    "learning the answers alone.",
    citations=("li2024examining",),
    colour="#E69F00",
    marker="<",
)
@dataclass(frozen=True)
class WholeText(Answers):
    """Pre-train style on questions and answers: every token is supervised, the question's too.

    The chat template is left out: a text that states the question and then the answer, as a page of
    a manual would.
    """

    origin: ClassVar[str] = "whole text"

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """The question, an empty line, the answer and the end token, cut at `settings.length`."""
        rows = []
        for document in questions(self.task, tokenizer, settings, seed):
            example = self.task.example(document)
            text = f"{example.question}\n\n{example.answer}"
            ids = [*template.ids(tokenizer, text), template.end(tokenizer)]
            rows.append(whole_row(ids, settings.length))
        return rows
