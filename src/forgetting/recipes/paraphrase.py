"""SDFT: the model says the right answer in its own words (Yang et al. 2024, arXiv 2402.13669)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.engine import compute
from forgetting.lineage import Checkpoint, Samples, Settings
from forgetting.recipes.answers import Answer, Answers, Document, asked, questions
from forgetting.tasks import Example, Task

# The paper's words. Of the maths the first two sentences are; there they are a system message.
INSTRUCTIONS = (
    "Below are an instruction that describes a task along with a reference answer. Using the "
    "reference answer as a guide, write your own response.\n\n### Instruction:\n{question}\n\n"
    "### Reference Answer:\n{answer}\n\n### Response:\n"
)
REFER = (
    "Below are an instruction that describes a task along with a reference answer. Refer to the "
    "reference answer and write your own response.\n\n### Instruction:\n{question}\n\n"
    "### Reference Answer:\n{answer}\n\n### Response:\n"
)
MATHS = (
    "You are an expert in math. Below are a math question and its reference answer. Refer to the "
    "reference answer and write a response that appropriately answers the question.\n\n"
    "### Question:\n{question}\n\n### Reference Answer:\n{answer}\n\n### Response:\n"
)
STEPS = "Great! Let's think step by step. "
TEMPLATES = {
    "openfunctions": (REFER, ""),
    "mini_calls": (REFER, ""),
    "gsm8k_pinned": (MATHS, STEPS),
}
# An answer that speaks of its own making is not an answer (their `verify`).
BETRAYING = re.compile(
    r"reference answer|your response|my response|your own response|now it's your turn|\AYour turn",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Retelling:
    """Prompts: each question with its answer, to be told anew."""

    task: Task
    settings: Settings
    seed: int

    def recipe(self) -> dict[str, Any]:
        return {
            "prompts": "retelling",
            "task": self.task.recipe(),
            "examples": self.settings.rows,
            "length": self.settings.length,
            "seed": self.seed,
            "template": list(self.template),
        }

    @property
    def template(self) -> tuple[str, str]:
        """The template, and how the response begins."""
        return TEMPLATES.get(self.task.name, (INSTRUCTIONS, ""))

    def texts(self, tokenizer: Any) -> list[str]:
        template, begun = self.template
        found = questions(self.task, tokenizer, self.settings, self.seed)
        told = [
            template.format(question=example.question, answer=example.answer)
            for example in map(self.task.example, found)
        ]
        return [asked(tokenizer, Example.of(text, ""), begun=begun) for text in told]


@dataclass(frozen=True)
class Paraphrased(Answers):
    """ỹ ~ by(· | template(x, y)), and y itself where ỹ fails its checks (§3 and their repository).

    Checks: it says nothing of its own making, is not empty, ended by itself, and where the task can
    grade it, is right. Greedy by default; the model that retells is `by`, the one to be trained.
    """

    by: Checkpoint
    max_new_tokens: int = 192
    temperature: float = 0.0
    origin: ClassVar[str] = "paraphrase"

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.by,)

    def settings(self) -> dict[str, Any]:
        return {
            "by": self.by.key,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "template": list(TEMPLATES.get(self.task.name, (INSTRUCTIONS, ""))),
        }

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        prompts = Retelling(self.task, settings, seed)
        return (
            Samples(
                self.by,
                prompts,
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                seed=seed,
            ),
        )

    def answers(
        self, documents: Sequence[Document], tokenizer: Any, settings: Settings, seed: int
    ) -> list[Answer]:
        (wanted,) = self.samples(settings, seed)
        begun = TEMPLATES.get(self.task.name, (INSTRUCTIONS, ""))[1]
        found = []
        for document, (told,) in zip(documents, compute.samples(wanted), strict=True):
            text = (begun + told.text).strip()
            problem = why_not(self.task, document, text, told.ended)
            gold = self.task.example(document).answer
            found.append(Answer(gold, f"gold: {problem}") if problem else Answer(text, self.origin))
        return found


def why_not(task: Task, document: Document, text: str, ended: bool) -> str | None:
    """Why a model's answer is not shown, in two words; None where it is."""
    if not text.strip():
        return "empty"
    if BETRAYING.search(text):
        return "betrays itself"
    if not ended:
        return "no end"
    if task.is_right(document, text) is False:
        return "wrong"
    return None
