"""LAMOL: the model dreams of its old tasks (Sun et al. 2020, arXiv 1909.03329, §3)."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from forgetting.lineage import Checkpoint, Completion, Drawn, Samples, Settings
from forgetting.method import method
from forgetting.models.rows import OLD, Row
from forgetting.recipes import lamol_form
from forgetting.recipes.dreams import LONGEST, Pair, gallery
from forgetting.recipes.in_form import InForm, examples
from forgetting.recipes.lamol_form import Example
from forgetting.tasks import Task

TOP_K = 20  # the authors' for dreams and, at test time, for answers
DREAMT = 1  # the first of `lamol_form.marks` to begin with; its place 0 is the answer token


@method(
    title="LAMOL",
    idea="The model learns to write whole examples of a task as well as to answer them. Before "
    "the next task it dreams examples of the earlier ones and rehearses them with the new task.",
    equation=r"L = L_{\mathrm{QA}} + \lambda\, L_{\mathrm{LM}}, \qquad \gamma \cdot |\text{new}| "
    r"\text{ dreams in all}",
    cost="A second loss on every example, and the dreams: a share of the new task's examples, "
    "drawn before each task.",
    use="Where old data may not be kept; look at how many dreams are valid, and at real examples "
    "in the same budget.",
    citations=("sun2020lamol",),
    colour="#0072B2",
    marker="o",
)
@dataclass(frozen=True)
class Lamol(InForm):
    """The new task's examples as answers and as texts, and dreams of the `previous` tasks.

    `by`, the model as the last of them left it, writes ⌊⌈γ·|new|⌉ / tasks⌋ examples of each of
    these: after the generation token (`tokens="gen"`), or after the task's own ("task"), drawn from
    the 20 likeliest tokens, at most `settings.length` long. Dreams are learned like examples if
    exactly one answer token splits them. `real` takes as many real examples in their place (the
    authors' upper comparison). To be trained with `objectives.QuestionAndText(0.25)`; with `kept`,
    which marks old examples `OLD`, with `QuestionTextAndKept`.

    γ is a share of the new task's examples for all previous tasks together (authors: 0.05, 0.2).
    Departures from the authors' code: `lamol_form` says which tokens; they write up to 1024 tokens.
    """

    previous: tuple[Task, ...] = ()
    by: Checkpoint | None = None
    gamma: float = 0.2
    tokens: Literal["gen", "task"] = "gen"
    real: bool = False
    top_k: int = TOP_K
    kept: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.gamma <= 10:
            raise ValueError(f"gamma={self.gamma}: a share of the new examples above 0")
        if self.tokens not in ("gen", "task"):
            raise ValueError(f"tokens={self.tokens!r}: one of gen, task")
        if self.previous and (self.by is None) != self.real:
            raise ValueError(
                f"by={self.by!r}, real={self.real}: name who dreams, or take real ones"
            )

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.by,) if self.by and self.previous else ()

    def missing(self) -> list[str]:
        """Public data sets that it needs, the previous ones for a report, and that are not here."""
        return [name for task in (self.task, *self.previous) for name in task.missing()]

    def settings(self) -> dict[str, Any]:
        # Nothing can be old in the first training of a sequence: it has one name for every γ.
        own: dict[str, Any] = {"begin": self.begin(len(self.previous))}
        if self.previous:
            own |= {"previous": [task.recipe() for task in self.previous], "gamma": self.gamma}
            own |= {"by": "real"} if self.by is None else {"by": self.by.key, "top_k": self.top_k}
            own |= {"kept": True} if self.kept else {}
        return own

    def begin(self, place: int) -> int:
        """Which of `lamol_form.marks` begins the texts of the task at this place."""
        return DREAMT + (place if self.tokens == "task" else 0)

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """The dreams: those of the first task first."""
        each = share(settings.rows, self.gamma, len(self.previous))
        if self.by is None or not each:
            return ()
        begins = tuple(self.begin(place) for place in range(len(self.previous)))
        return (
            Samples(
                self.by,
                Begun(begins, each),
                settings.length - 2,
                temperature=1.0,
                top_k=self.top_k,
                seed=seed,
            ),
        )

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """A row an example, its answer supervised, its text as `also`; in a drawn order."""
        new, last = examples(self.task, tokenizer, settings, seed), len(self.previous)
        placed = [(last, example) for example in new]
        placed += self.old(tokenizer, settings, seed, drawn)
        marks = lamol_form.marks(tokenizer)
        rows = []
        for place, example in placed:
            begin = marks[self.begin(place)]
            answer = lamol_form.answer_row(tokenizer, example, settings.length)
            text = lamol_form.text_row(tokenizer, example, begin, settings.length)
            if answer is not None and text is not None:
                old = {"part": torch.tensor(OLD)} if self.kept and place < last else {}
                rows.append(answer | old | {"also": [text | old]})
        random.Random(f"LAMOL {seed}").shuffle(rows)
        return rows

    def old(
        self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn
    ) -> list[tuple[int, Example]]:
        """What stands for the previous tasks, with the place of the task that it is meant for."""
        if self.real:
            few = share(settings.rows, self.gamma, len(self.previous))
            return [
                (place, example)
                for place, task in enumerate(self.previous)
                for example in examples(task, tokenizer, settings, seed)[:few]
            ]
        middle = lamol_form.answer_token(tokenizer)
        return [
            (place, example)
            for place, dream in self.dreams(settings, seed, drawn)
            if (example := lamol_form.split(dream.ids, middle))
        ]

    def dreams(self, settings: Settings, seed: int, drawn: Drawn) -> list[tuple[int, Completion]]:
        """All that was written, with the place of the task that it is meant for."""
        each = share(settings.rows, self.gamma, len(self.previous))
        return [
            (number // each, dream)
            for samples in self.samples(settings, seed)
            for number, (dream,) in enumerate(drawn(samples))
        ]

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many examples are new and old, and of dreams what they are worth (`gallery`)."""
        old = self.old(tokenizer, settings, seed, drawn)
        counts = {"new": settings.rows, "old": len(old)}
        dreams = self.dreams(settings, seed, drawn)
        if not dreams:
            return counts
        middle = lamol_form.answer_token(tokenizer)
        marks = Counter(min(dream.ids.count(middle), 2) for _, dream in dreams)
        kept = _texts(tokenizer, (example for _, example in old))
        real = {
            task.name: _texts(tokenizer, examples(task, tokenizer, settings, seed))
            for task in self.previous
        }
        refused = [tokenizer.decode(d.ids) for _, d in dreams if d.ids.count(middle) != 1]
        return counts | {
            "dreams": len(dreams),
            "valid": marks[1],
            "refused": {"no answer token": marks[0], "several": marks[2]},
            "unfinished": sum(not dream.ended for _, dream in dreams),
            "gallery": gallery(kept, real),
            "refused texts": [text[:LONGEST] for text in refused[:2]],
        }


@dataclass(frozen=True)
class Begun:
    """Prompts: for each of `begins`, places in `lamol_form.marks`, its token `each` times."""

    begins: tuple[int, ...]
    each: int

    def recipe(self) -> dict[str, Any]:
        return {"prompts": "begun", "begins": list(self.begins), "each": self.each}

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        marks = lamol_form.marks(tokenizer)
        return [marks[place] for place in self.begins for _ in range(self.each)]


def share(new: int, gamma: float, tasks: int) -> int:
    """Old examples of each of so many previous tasks beside `new` new ones: ⌊⌈γ·new⌉ / tasks⌋.

    The authors' code makes ⌈γ·new⌉ a multiple of the number of tasks and divides. None without
    previous tasks.
    """
    return math.ceil(new * gamma) // tasks if tasks else 0


def _texts(tokenizer: Any, examples: Iterable[Example]) -> list[Pair]:
    decode = tokenizer.decode
    return [(decode(example.question), decode(example.answer)) for example in examples]
