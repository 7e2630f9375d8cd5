"""The model's own right answers (Wu et al. 2025, arXiv 2501.14315; 2409.04787, 2510.18874)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from forgetting.engine import compute
from forgetting.lineage import Checkpoint, Samples, Settings
from forgetting.recipes.answers import Answer, Answers, Document, asked, questions
from forgetting.recipes.paraphrase import why_not
from forgetting.tasks import Task

DRAWN = 32  # examples to choose shots from: the first of another order of the training documents


@dataclass(frozen=True)
class Asking:
    """Prompts: the questions themselves, after `shots` worked examples that are none of them."""

    task: Task
    settings: Settings
    seed: int
    shots: int

    def recipe(self) -> dict[str, Any]:
        return {
            "prompts": "asking",
            "task": self.task.recipe(),
            "examples": self.settings.rows,
            "length": self.settings.length,
            "seed": self.seed,
            "shots": self.shots,
        }

    def texts(self, tokenizer: Any) -> list[str]:
        found = questions(self.task, tokenizer, self.settings, self.seed)
        examples = [self.task.example(document) for document in found]
        shown = {example.question for example in examples}
        others = self.task.training_examples(self.seed + 1)
        worked = [example for example in others if example.question not in shown]
        by_length = sorted(worked[:DRAWN], key=lambda e: len(e.question + e.answer))
        return [asked(tokenizer, example, by_length[: self.shots]) for example in examples]


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
        self, documents: Sequence[Document], tokenizer: Any, settings: Settings, seed: int
    ) -> list[Answer]:
        (wanted,) = self.samples(settings, seed)
        found = []
        for document, drawn in zip(documents, compute.samples(wanted), strict=True):
            problems = [why_not(self.task, document, one.text, one.ended) for one in drawn]
            right = [one for one, why in zip(drawn, problems, strict=True) if why is None]
            if right:
                best = min(right, key=lambda one: one.perplexity)
                found.append(Answer(best.text.strip(), self.origin))
            elif self.otherwise == "gold":
                found.append(Answer(self.task.example(document).answer, "gold: none right"))
            else:
                found.append(Answer(None, "left out: none right"))
        return found

    def refreshed(self, of: Checkpoint) -> SelfOutput:
        """The same recipe with the answers of a later checkpoint (§13: fixed against refreshed)."""
        return replace(self, of=of)
