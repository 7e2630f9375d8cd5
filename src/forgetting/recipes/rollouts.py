"""The model's own answers with their reward, right and wrong."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from forgetting.lineage import Drawn, Settings
from forgetting.method import method
from forgetting.models.rows import Row, supervised
from forgetting.recipes.answers import asked
from forgetting.recipes.spoken import Spoken, spoken_row


@method(
    title="Rollouts",
    see="PolicyGradient",
    colour="#0072B2",
    marker="s",
)
@dataclass(frozen=True)
class Rollouts(Spoken):
    """Answers with their advantage, for `objectives.PolicyGradient`.

    The reward is 1 for an answer that the task's grader gives its first metric in full, else 0; the
    advantage is the reward minus the mean over the question's answers (GRPO without the division by
    the standard deviation, which favours questions that are nearly solved or nearly hopeless).
    Answers of a question that are all right or all wrong teach nothing and are left out.
    """

    origin: ClassVar[str] = "rollouts"

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """A row an answer. Where no answer has an advantage, one row that moves nothing."""
        rows = []
        for document, each in self.completions(tokenizer, settings, seed, drawn):
            rewards = [float(bool(self.task.is_right(document, c.text))) for c in each]
            mean = sum(rewards) / len(rewards)
            prompt = asked(tokenizer, self.task.example(document))
            for completion, reward in zip(each, rewards, strict=True):
                row = spoken_row(tokenizer, prompt, completion, settings.length)
                tokens = int(supervised(row).sum())
                rows.append(row | {"weights": torch.full((tokens,), reward - mean)})
        moving = [row for row in rows if row["weights"].any()]
        return moving or rows[:1]
