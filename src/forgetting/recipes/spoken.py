"""On-policy recipes: the model's own answers, right and wrong, as it gives them now.

A round is a training on what the model said when the round began; with several optimiser steps a
round, the later ones are as far from on-policy as the earlier ones moved the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forgetting.lineage import Checkpoint, Completion, Drawn, Samples, Settings
from forgetting.models.rows import Row, continued, prompt_row
from forgetting.recipes.answers import Answer, Answers, Asking, Document, questions

RIGHT = {True: "right", False: "wrong"}


@dataclass(frozen=True)
class Spoken(Answers):
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
        self,
        documents: Sequence[Document],
        tokenizer: Any,
        settings: Settings,
        seed: int,
        drawn: Drawn,
    ) -> list[Answer]:
        """The first answer to each question, and whether it is right: for the report alone."""
        written = self.written(settings, seed, drawn)
        answers = []
        for document, (first, *_) in zip(documents, written, strict=True):
            right = self.task.is_right(document, first.text)
            answers.append(Answer(first.text, "ungraded" if right is None else RIGHT[right]))
        return answers

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many of all answers are right, how many questions have some of each, mean length."""
        documents = questions(self.task, tokenizer, settings, seed)
        written = self.written(settings, seed, drawn)
        graded = [
            [bool(self.task.is_right(document, completion.text)) for completion in each]
            for document, each in zip(documents, written, strict=True)
        ]
        lengths = [len(completion.ids) for each in written for completion in each]
        return {
            "questions": len(documents),
            "origins": dict(sorted(Counter(RIGHT[any(each)] for each in graded).items())),
            "right": sum(map(sum, graded)),
            "mixed": sum(0 < sum(each) < len(each) for each in graded),
            "mean_tokens": round(sum(lengths) / len(lengths), 2),
        }

    def written(self, settings: Settings, seed: int, drawn: Drawn) -> list[list[Completion]]:
        """All answers, a list for each question."""
        (samples,) = self.samples(settings, seed)
        return drawn(samples)


def spoken_row(tokenizer: Any, prompt: str, said: Completion, length: int) -> Row:
    """A prompt and the very tokens that were drawn after it, cut at `length`; these supervised.

    Text is not made tokens again: what was drawn may be other tokens than those of its text.
    """
    written = [*said.ids, *[tokenizer.eos_token_id] * said.ended]
    row = continued(prompt_row(prompt, tokenizer), written, length)
    assert row is not None  # its prompt leaves room
    return row
