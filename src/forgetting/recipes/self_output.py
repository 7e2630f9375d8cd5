"""The model's own right answers (Wu et al. 2025, arXiv 2501.14315; 2409.04787, 2510.18874)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from forgetting.lineage import Drawn, Samples, Settings
from forgetting.method import method
from forgetting.recipes.answers import Answer, Asking, Document, Written, why_not


@method(
    title="Self-output",
    idea="Several answers are drawn from the model itself, wrong ones are thrown away, and of the "
    "right ones the least surprising becomes the target. Questions without a right answer are "
    "left out, or keep the given answer (selective self-rehearsal).",
    equation=r"y' = \arg\min_{y \in Y,\; r(x, y) = 1} -\frac{1}{|y|}\log \pi_0(y \mid x), \qquad "
    r"Y \sim \pi_0(\cdot \mid x)",
    cost="Tens of answers drawn for each example, and a grader that can tell right from wrong.",
    use="Where answers can be graded and the model is right now and then; compare with the given "
    "answers to the same questions.",
    citations=("wu2025mitigating", "chen2026retaining"),
    colour="#009E73",
    marker="o",
)
@dataclass(frozen=True)
class SelfOutput(Written):
    """Of `count` answers drawn for each question the right one that surprises the model least.

    The paper draws 32 at temperature 0.7, nucleus 0.95. `otherwise` says what becomes of a question
    without a right answer: the paper leaves it out ("none"); selective self-rehearsal (2409.04787)
    takes the gold answer ("gold"). A small model answers in a new format only after `shots` worked
    examples; they stand in the prompt of the drawing, not in what is trained on. Where the task
    cannot grade, every answer that ends counts as right.
    """

    count: int = 32
    max_new_tokens: int = 128
    temperature: float = 0.7
    top_p: float = 0.95
    shots: int = 0
    otherwise: Literal["none", "gold"] = "none"
    origin: ClassVar[str] = "own"

    def samples(self, settings: Settings, seed: int) -> tuple[Samples]:
        return (
            Samples(
                self.of,
                Asking(self.task, settings, seed, self.shots),
                self.max_new_tokens,
                per_prompt=self.count,
                temperature=self.temperature,
                top_p=self.top_p,
                seed=seed,
            ),
        )

    def answers(
        self, documents: Sequence[Document], settings: Settings, seed: int, drawn: Drawn
    ) -> list[Answer]:
        written = self.written(settings, seed, drawn)
        answers = []
        for document, completions in zip(documents, written, strict=True):
            right = [c for c in completions if not why_not(self.task, document, c.text, c.ended)]
            if right:
                best = min(right, key=lambda completion: completion.perplexity)
                answers.append(Answer(best.text.strip(), self.origin))
            elif self.otherwise == "gold":
                answers.append(Answer(self.task.example(document).answer, "gold: none right"))
            else:
                answers.append(Answer(None, "left out: none right"))
        return answers
