"""SSR: old examples synthesised from a few (Huang et al. 2024, arXiv 2403.01244)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forgetting.lineage import Checkpoint, Drawn, Samples, Settings
from forgetting.method import method
from forgetting.models.rows import Row
from forgetting.recipes import lamol_form
from forgetting.recipes.dreams import Pair, gallery, similarity
from forgetting.recipes.in_form import InForm
from forgetting.tasks import Task

# A text that ends in a line break is cut into other tokens than the same text that goes on, and a
# model that is to go on from there leaves the pattern. So each worked example opens with a word,
# and a prompt ends with it.
OPENING = "Question:"
BETWEEN = "\n\n"  # worked examples
POOL = 20  # real examples to choose them from, as in the paper
MORE = 2  # as many times more are written than are kept


@dataclass(frozen=True)
class Demonstrations:
    """Prompts: two worked examples of a task out of its first `POOL`, and a third's opening."""

    task: Task
    count: int
    seed: int

    def recipe(self) -> dict[str, Any]:
        own = {"opening": OPENING, "pool": POOL, "count": self.count, "seed": self.seed}
        return own | {"prompts": "demonstrations", "task": self.task.recipe()}

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        documents = self.task.training_documents(self.seed)[:POOL]
        generator = random.Random(f"demonstrations {self.seed}")
        worked = [worked_example(self.task, document) for document in documents]
        return ["".join(generator.sample(worked, 2)) + OPENING for _ in range(self.count)]


@dataclass(frozen=True)
class Refreshed:
    """Prompts: the questions that were synthesised, asked in LAMOL's form, invalid ones empty."""

    questions: Samples

    def recipe(self) -> dict[str, Any]:
        return {"prompts": "refreshed", "questions": self.questions.key}

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        middle = lamol_form.marks(tokenizer)[0]
        return [(question or "") + middle for question in synthesised(self.questions, drawn)]


@method(
    name="self-synthesised-rehearsal",
    title="Self-synthesised rehearsal (SSR)",
    idea="The model as it was released writes questions like a few examples in its prompt, the "
    "latest model answers them, and a spread-out choice of these is rehearsed with the new task.",
    equation=r"x' \sim \pi_0(\cdot \mid \text{two examples}), \qquad y' = \arg\max_y \pi_{k-1}(y "
    r"\mid x')",
    cost="Questions and answers drawn for every earlier task, and a clustering of them.",
    use="Where a handful of old examples is at hand and the model writes well enough to imitate "
    "them.",
    citations=("huang2024mitigating",),
    colour="#7A7A00",
    marker="o",
)
@dataclass(frozen=True)
class Synthesised(InForm):
    """Self-synthesised rehearsal of one old task: what stands for `settings.rows` examples of it.

    The model `of`, which needs to have learned nothing, writes questions after two worked examples
    out of `POOL` real ones (the paper: 20, temperature 0.9, nucleus 0.6); `latest`, which has
    learned the task, answers them anew, greedily; of `MORE` times as many as are wanted those that
    are unlike one another are kept. Departures: no repetition penalty; the farthest-first choice
    by shared words stands for k-means on sentence embeddings, which the paper finds not essential.
    """

    of: Checkpoint
    latest: Checkpoint

    @property
    def name(self) -> str:
        return f"{self.task.name}, synthesised"

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.of, self.latest)

    def settings(self) -> dict[str, Any]:
        own = {"of": self.of.key, "latest": self.latest.key}
        return own | {"opening": OPENING, "pool": POOL, "more": MORE}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """The questions with an answer that is thrown away; then the answers."""
        asked = Samples(
            self.of,
            Demonstrations(self.task, MORE * settings.rows, seed),
            settings.length,
            temperature=0.9,
            top_p=0.6,
            until=(BETWEEN,),
            seed=seed,
        )
        most = self.task.config["generation_kwargs"]["max_gen_toks"]
        return asked, Samples(self.latest, Refreshed(asked), most)

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """A row an example that is kept; fewer than asked for where too few were valid."""
        pairs = self.kept(settings, seed, drawn)
        examples = (lamol_form.encoded(tokenizer, *pair) for pair in pairs)
        return lamol_form.answer_rows(tokenizer, examples, settings.length)

    def kept(self, settings: Settings, seed: int, drawn: Drawn) -> list[Pair]:
        """(question, answer) of those that are kept, the least alike first."""
        asked, answered = self.samples(settings, seed)
        answers = [completion.text.strip() for (completion,) in drawn(answered)]
        pairs = zip(synthesised(asked, drawn), answers, strict=True)
        return spread([(question, answer) for question, answer in pairs if question], settings.rows)

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many were written, were valid and are kept, and what they are worth."""
        asked, _ = self.samples(settings, seed)
        kept = self.kept(settings, seed, drawn)
        questions = synthesised(asked, drawn)
        documents = self.task.training_documents(seed)[: max(settings.rows, POOL)]
        real = [(lamol_form.question(self.task, d), self.task.example(d).answer) for d in documents]
        return {
            "dreams": len(questions),
            "valid": sum(question is not None for question in questions),
            "old": len(kept),
            "gallery": gallery(kept, {self.task.name: real}),
        }


def worked_example(task: Task, document: dict[str, Any]) -> str:
    """`OPENING`, a question and its answer as the task's own template writes them, a blank line."""
    question, answer = lamol_form.question(task, document), task.example(document).answer
    return f"{OPENING} {question}{lamol_form.ANSWER_WORD} {answer}{BETWEEN}"


def synthesised(asked: Samples, drawn: Drawn) -> list[str | None]:
    """The question of each text; None unless the answer's word stands once, after a question."""
    questions: list[str | None] = []
    for (completion,) in drawn(asked):
        question, _, _ = completion.text.partition(lamol_form.ANSWER_WORD)
        valid = completion.text.count(lamol_form.ANSWER_WORD) == 1 and question.strip()
        questions.append(question.strip() if valid else None)
    return questions


def spread(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """`count` of the examples, each next one the least similar to its nearest before."""
    left, chosen = list(dict.fromkeys(pairs)), list[Pair]()
    while left and len(chosen) < count:
        best = min(left, key=lambda pair: max((similarity(pair, c) for c in chosen), default=0))
        left.remove(best)
        chosen.append(best)
    return chosen
