"""SDFT: the model says the right answer in its own words (Yang et al. 2024, arXiv 2402.13669)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.lineage import Checkpoint, Drawn, Samples, Settings
from forgetting.method import method
from forgetting.recipes.answers import Answer, Answers, Document, asked, questions, why_not
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

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        template, begun = self.template
        examples = map(self.task.example, questions(self.task, tokenizer, self.settings, self.seed))
        texts = [template.format(question=e.question, answer=e.answer) for e in examples]
        return [asked(tokenizer, Example.of(text, ""), begun=begun) for text in texts]


@method(
    name="paraphrase",
    title="Paraphrase (SDFT, 2024)",
    idea="The model is shown a question with its answer and tells the answer anew; what it says "
    "becomes the target. Where that is wrong, empty, cut off or speaks of its own making, the "
    "given answer stays.",
    equation=r"\tilde y \sim \pi_0(\cdot \mid c, x, y), \qquad y' = \tilde y \text{ if it passes "
    r"its checks, else } y",
    cost="One answer drawn for each example, before the training.",
    use="Where the model is able enough to retell an answer; look at how often it falls back "
    "before you credit it.",
    citations=("yang2024selfdistillation",),
    colour="#56B4E9",
    marker="^",
)
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
        self,
        documents: Sequence[Document],
        tokenizer: Any,
        settings: Settings,
        seed: int,
        drawn: Drawn,
    ) -> list[Answer]:
        (samples,) = self.samples(settings, seed)
        begun = TEMPLATES.get(self.task.name, (INSTRUCTIONS, ""))[1]
        answers = []
        for document, (completion,) in zip(documents, drawn(samples), strict=True):
            text = (begun + completion.text).strip()
            problem = why_not(self.task, document, text, completion.ended)
            gold = self.task.example(document).answer
            retold = Answer(text, self.origin)
            answers.append(Answer(gold, f"gold: {problem}") if problem else retold)
        return answers
