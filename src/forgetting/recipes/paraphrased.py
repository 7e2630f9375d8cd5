"""SDFT: the model says the right answer in its own words (Yang et al. 2024, arXiv 2402.13669)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.lineage import Drawn, Samples, Settings
from forgetting.method import method
from forgetting.recipes.answers import Answer, Document, Questions, Written, asked, why_not
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


def template(task: Task) -> tuple[str, str]:
    """What the model is told, and how its response begins."""
    return TEMPLATES.get(task.name, (INSTRUCTIONS, ""))


@dataclass(frozen=True)
class Retelling(Questions):
    """Prompts: each question with its answer, to be told anew."""

    def recipe(self) -> dict[str, Any]:
        return super().recipe() | {"prompts": "retelling", "template": list(template(self.task))}

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        words, begun = template(self.task)
        examples = self.examples(tokenizer)
        texts = [words.format(question=e.question, answer=e.answer) for e in examples]
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
class Paraphrased(Written):
    """ỹ ~ of(· | template(x, y)), and y itself where ỹ fails its checks (§3 and their repository).

    Checks: it says nothing of its own making, is not empty, ended by itself, and where the task can
    grade it, is right. Greedy by default; the model that retells is `of`, the one to be trained.
    """

    max_new_tokens: int = 192
    temperature: float = 0.0
    origin: ClassVar[str] = "paraphrase"

    def settings(self) -> dict[str, Any]:
        own = super().settings() | {"template": list(template(self.task))}
        return own | {"by": own.pop("of")}

    def samples(self, settings: Settings, seed: int) -> tuple[Samples]:
        prompts = Retelling(self.task, settings, seed)
        return (
            Samples(self.of, prompts, self.max_new_tokens, temperature=self.temperature, seed=seed),
        )

    def answers(
        self, documents: Sequence[Document], settings: Settings, seed: int, drawn: Drawn
    ) -> list[Answer]:
        _, begun = template(self.task)
        written = self.written(settings, seed, drawn)
        answers = []
        for document, (completion,) in zip(documents, written, strict=True):
            text, origin = (begun + completion.text).strip(), self.origin
            if problem := why_not(self.task, document, text, completion.ended):
                text, origin = self.task.example(document).answer, f"gold: {problem}"
            answers.append(Answer(text, origin))
        return answers
