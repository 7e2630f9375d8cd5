"""The model's own right answers (Wu et al. 2025, arXiv 2501.14315; 2409.04787, 2510.18874)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from forgetting.lineage import Checkpoint, Drawn, Samples, Settings
from forgetting.method import method
from forgetting.recipes.answers import Answer, Answers, Asking, Document, why_not


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
class SelfOutput(Answers):
    """Of `count` answers drawn for each question the right one that surprises the model least.

    The paper draws 32 at temperature 0.7, nucleus 0.95. `otherwise` says what becomes of a question
    without a right answer: the paper leaves it out ("none"); selective self-rehearsal (2409.04787)
    takes the gold answer ("gold"). A small model answers in a new format only after `shots` worked
    examples; they stand in the prompt of the drawing, not in what is trained on. Where the task
    cannot grade, every answer that ends counts as right.
    """

    of: Checkpoint
    count: int = 32
    max_new_tokens: int = 128
    temperature: float = 0.7
    top_p: float = 0.95
    shots: int = 0
    otherwise: Literal["none", "gold"] = "none"
    origin: ClassVar[str] = "own"

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.of,)

    def settings(self) -> dict[str, Any]:
        plain = ("count", "max_new_tokens", "temperature", "top_p", "shots", "otherwise")
        return {"of": self.of.key} | {name: getattr(self, name) for name in plain}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        prompts = Asking(self.task, settings, seed, self.shots)
        return (
            Samples(
                self.of,
                prompts,
                per_prompt=self.count,
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                seed=seed,
            ),
        )

    def answers(
        self,
        documents: Sequence[Document],
        tokenizer: Any,
        settings: Settings,
        seed: int,
        drawn: Drawn,
    ) -> list[Answer]:
        (samples,) = self.samples(settings, seed)
        answers = []
        for document, written in zip(documents, drawn(samples), strict=True):
            problems = [why_not(self.task, document, c.text, c.ended) for c in written]
            right = [c for c, problem in zip(written, problems, strict=True) if problem is None]
            if right:
                best = min(right, key=lambda completion: completion.perplexity)
                answers.append(Answer(best.text.strip(), self.origin))
            elif self.otherwise == "gold":
                answers.append(Answer(self.task.example(document).answer, "gold: none right"))
            else:
                answers.append(Answer(None, "left out: none right"))
        return answers

    def refreshed(self, of: Checkpoint) -> SelfOutput:
        """The same recipe with the answers of a later checkpoint (§13: fixed against refreshed)."""
        return replace(self, of=of)
