"""On-policy recipes: the model's own answers, right and wrong, as it gives them now.

A round is a training on what the model said when the round began; with several optimiser steps a
round, the later ones are as far from on-policy as the earlier ones moved the model.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from forgetting.lineage import Completion, Drawn, Samples, Settings
from forgetting.models import template
from forgetting.models.rows import Row, continued, prompt_row
from forgetting.recipes.answers import Asking, Document, Written, questions

RIGHT = {True: "right", False: "wrong"}


@dataclass(frozen=True)
class Spoken(Written):
    """`count` answers that `of` draws for each question, each a row of its own tokens."""

    count: int = 8
    max_new_tokens: int = 96
    temperature: float = 1.0

    def samples(self, settings: Settings, seed: int) -> tuple[Samples]:
        return (
            Samples(
                self.of,
                Asking(self.task, settings, seed),
                self.max_new_tokens,
                per_prompt=self.count,
                temperature=self.temperature,
                seed=seed,
            ),
        )

    def completions(
        self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn
    ) -> Iterator[tuple[Document, list[Completion]]]:
        """Each question with all answers to it."""
        documents = questions(self.task, tokenizer, settings, seed)
        return zip(documents, self.written(settings, seed, drawn), strict=True)

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many of all answers are right, how many questions have some of each, mean length."""
        answered = [*self.completions(tokenizer, settings, seed, drawn)]
        graded = [
            [bool(self.task.is_right(document, completion.text)) for completion in completions]
            for document, completions in answered
        ]
        lengths = [len(completion.ids) for _, completions in answered for completion in completions]
        return {
            "questions": len(answered),
            "origins": dict(sorted(Counter(RIGHT[any(rights)] for rights in graded).items())),
            "right": sum(map(sum, graded)),
            "mixed": sum(0 < sum(rights) < len(rights) for rights in graded),
            "mean_tokens": round(sum(lengths) / len(lengths), 2),
        }


def spoken_row(
    tokenizer: Any, prompt: str, completion: Completion, length: int, *, chat: bool = True
) -> Row:
    """A prompt and the very tokens that were drawn after it, cut at `length`; these supervised.

    Text is not made tokens again: what was drawn may be other tokens than those of its text. One
    that ended has the end of a turn, without `chat` that of a text.
    """
    end = template.end(tokenizer, chat=chat)
    written = [*completion.ids, *[end] * completion.ended]
    row = continued(prompt_row(prompt, tokenizer), written, length)
    assert row is not None  # its prompt leaves room
    return row
