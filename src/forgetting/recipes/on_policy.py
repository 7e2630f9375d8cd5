"""On-policy recipes: the model's own answers, right and wrong, as it gives them now.

A round is a training on what the model said when the round began; with several optimiser steps a
round, the later ones are as far from on-policy as the earlier ones moved the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from forgetting.engine import compute
from forgetting.engine.generation import Completion
from forgetting.lineage import Checkpoint, Samples, Settings
from forgetting.models import causal, template
from forgetting.objectives import OLD
from forgetting.recipes.answers import Answer, Answers, Document, asked, questions
from forgetting.recipes.self_output import Asking

# What the teacher is told beside the question (Shenfeld et al. 2026, arXiv 2601.19897).
DEMONSTRATION = (
    "{question} This is an example for a response to the question: {answer} Now answer with a "
    "response of your own, including the thinking process:"
)


@dataclass(frozen=True)
class _Spoken(Answers):
    """`count` answers that `of` draws for each question, each a row of its own tokens."""

    of: Checkpoint
    count: int = 8
    max_new_tokens: int = 96
    temperature: float = 1.0

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.of,)

    def settings(self) -> dict[str, Any]:
        plain = ("count", "max_new_tokens", "temperature")
        return {"of": self.of.key} | {name: getattr(self, name) for name in plain}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        return (
            Samples(
                self.of,
                Asking(self.task, settings, seed, shots=0),
                per_prompt=self.count,
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                seed=seed,
            ),
        )

    def answers(
        self, documents: Sequence[Document], tokenizer: Any, settings: Settings, seed: int
    ) -> list[Answer]:
        """The first answer to each question, and whether it is right: for the report alone."""
        drawn = self._drawn(settings, seed)
        found = []
        for document, (first, *_) in zip(documents, drawn, strict=True):
            right = self.task.is_right(document, first.text)
            found.append(Answer(first.text, "ungraded" if right is None else RIGHT[right]))
        return found

    def report(self, tokenizer: Any, settings: Settings, seed: int) -> dict[str, Any]:
        """How many of all answers are right, how many questions have some of each, mean length."""
        documents = questions(self.task, tokenizer, settings, seed)
        drawn = self._drawn(settings, seed)
        graded = [
            [bool(self.task.is_right(document, one.text)) for one in each]
            for document, each in zip(documents, drawn, strict=True)
        ]
        lengths = [len(one.ids) for each in drawn for one in each]
        return {
            "questions": len(documents),
            "origins": dict(sorted(Counter(RIGHT[any(each)] for each in graded).items())),
            "right": sum(map(sum, graded)),
            "mixed": sum(0 < sum(each) < len(each) for each in graded),
            "mean_tokens": round(sum(lengths) / len(lengths), 2),
        }

    def _drawn(self, settings: Settings, seed: int) -> list[list[Completion]]:
        (wanted,) = self.samples(settings, seed)
        return compute.samples(wanted)


RIGHT = {True: "right", False: "wrong"}


@dataclass(frozen=True)
class Rollouts(_Spoken):
    """Answers with their advantage, for `objectives.PolicyGradient`.

    The reward is 1 for an answer that the task's grader gives its first metric in full, else 0; the
    advantage is the reward minus the mean over the question's answers (GRPO without the division by
    the standard deviation, which favours questions that are nearly solved or nearly hopeless).
    Answers of a question that are all right or all wrong teach nothing and are left out.
    """

    origin: ClassVar[str] = "rollouts"

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[causal.Example]:
        """A row an answer. Where no answer has an advantage, one row that moves nothing."""
        documents = questions(self.task, tokenizer, settings, seed)
        rows = []
        for document, drawn in zip(documents, self._drawn(settings, seed), strict=True):
            rewards = [float(bool(self.task.is_right(document, one.text))) for one in drawn]
            mean = sum(rewards) / len(rewards)
            prompt = asked(tokenizer, self.task.example(document))
            for one, reward in zip(drawn, rewards, strict=True):
                row = spoken_row(tokenizer, prompt, one, settings.length)
                supervised = int((row["labels"][1:] != causal.IGNORED).sum())
                rows.append(row | {"weights": torch.full((supervised,), reward - mean)})
        moving = [row for row in rows if row["weights"].any()]
        return moving or rows[:1]


@dataclass(frozen=True)
class Distilled(_Spoken):
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

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[causal.Example]:
        """A row an answer, marked `OLD`, with what the teacher reads in its place."""
        documents = questions(self.task, tokenizer, settings, seed)
        rows = []
        for document, drawn in zip(documents, self._drawn(settings, seed), strict=True):
            example = self.task.example(document)
            plain = asked(tokenizer, example)
            shown = DEMONSTRATION.format(question=example.question, answer=example.answer)
            told = asked(tokenizer, example.asking(shown))
            for one in drawn:
                row = spoken_row(tokenizer, plain, one, settings.length)
                kept = int((row["labels"] != causal.IGNORED).sum())
                begun = template.ids(tokenizer, told)
                teachers = torch.cat([torch.tensor(begun), row["input_ids"][-kept:]])
                rows.append(row | {"part": torch.tensor(OLD), "teacher_ids": teachers})
        return rows


def spoken_row(tokenizer: Any, prompt: str, said: Completion, length: int) -> causal.Example:
    """A prompt and the very tokens that were drawn after it, cut at `length`; these supervised.

    Text is not made tokens again: what was drawn may be other tokens than those of its text.
    """
    written = [*said.ids, *[tokenizer.eos_token_id] * said.ended]
    row = causal.continued(causal.prompt_row(prompt, tokenizer), written, length)
    assert row is not None  # its prompt leaves room
    return row
