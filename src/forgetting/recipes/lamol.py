"""LAMOL: the model dreams of its old tasks (Sun et al. 2020, arXiv 1909.03329, §3)."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from forgetting.lineage import Checkpoint, Completion, Drawn, Samples, Settings
from forgetting.models import causal
from forgetting.recipes import lamol_form
from forgetting.recipes.dreams import LONGEST, gallery
from forgetting.recipes.lamol_form import Example
from forgetting.tasks import Task

TOP_K = 20  # the authors' for dreams and, at test time, for answers
DREAMT = 1  # the first of `lamol_form.marks` to begin with; its place 0 is the answer token


@dataclass(frozen=True)
class InForm:
    """A task's own training examples in LAMOL's form, to be answered: plain fine-tuning.

    The first `settings.rows` in the seed's order; what leaves a question no room is passed over.
    """

    task: Task

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """None: it shows no checkpoint's words."""
        return ()

    def missing(self) -> list[str]:
        """Public data sets that it needs and that are not at hand."""
        return self.task.missing()

    def recipe(self) -> dict[str, Any]:
        """One name for all tasks of a sequence, whose records are compared; the task is inside."""
        own = {"recipe": type(self).__name__, "task": self.task.recipe()}
        return {"task": "in LAMOL's form", "shown": own | self.settings()}

    def settings(self) -> dict[str, Any]:
        """What the examples depend on beside the task, as plain JSON."""
        return {}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """What has to be generated first."""
        return ()

    def rows(
        self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn
    ) -> list[causal.Example]:
        """A row an example: its answer is supervised."""
        found = examples(self.task, tokenizer, settings, seed)
        rows = [lamol_form.answer_row(tokenizer, one, settings.length) for one in found]
        return [row for row in rows if row is not None]

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many examples."""
        return {"new": len(self.rows(tokenizer, settings, seed, drawn))}


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
        """Who dreams."""
        return (self.by,) if self.by and self.previous else ()

    def missing(self) -> list[str]:
        """Public data sets that it needs, the previous ones for a report, and that are not here."""
        return [name for task in (self.task, *self.previous) for name in task.missing()]

    def settings(self) -> dict[str, Any]:
        """What the examples depend on beside the task, as plain JSON."""
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
                max_new_tokens=settings.length - 2,
                temperature=1.0,
                top_k=self.top_k,
                seed=seed,
            ),
        )

    def rows(
        self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn
    ) -> list[causal.Example]:
        """A row an example, its answer supervised, its text as `also`; in a drawn order."""
        new = examples(self.task, tokenizer, settings, seed)
        told = [(len(self.previous), one) for one in new]
        told += self.old(tokenizer, settings, seed, drawn)
        marks = lamol_form.marks(tokenizer)
        rows = []
        for place, one in told:
            answer = lamol_form.answer_row(tokenizer, one, settings.length)
            text = lamol_form.text_row(tokenizer, one, marks[self.begin(place)], settings.length)
            if answer is not None and text is not None:
                old = (
                    {"part": torch.tensor(causal.OLD)}
                    if self.kept and place < len(self.previous)
                    else {}
                )
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
                (place, one)
                for place, task in enumerate(self.previous)
                for one in examples(task, tokenizer, settings, seed)[:few]
            ]
        return [
            (place, one)
            for place, written in self.dreams(settings, seed, drawn)
            if (one := lamol_form.split(written.ids, lamol_form.answer_token(tokenizer)))
        ]

    def dreams(self, settings: Settings, seed: int, drawn: Drawn) -> list[tuple[int, Completion]]:
        """All that was written, with the place of the task that it is meant for."""
        found: list[tuple[int, Completion]] = []
        for wanted in self.samples(settings, seed):
            each = share(settings.rows, self.gamma, len(self.previous))
            found += [(number // each, one) for number, (one,) in enumerate(drawn(wanted))]
        return found

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many examples are new and old, and of dreams what they are worth (`gallery`)."""
        counts = {"new": settings.rows, "old": len(self.old(tokenizer, settings, seed, drawn))}
        dreams = self.dreams(settings, seed, drawn)
        if not dreams:
            return counts
        middle = lamol_form.answer_token(tokenizer)
        marks = Counter(min(one.ids.count(middle), 2) for _, one in dreams)
        kept = [_text(tokenizer, one) for _, one in self.old(tokenizer, settings, seed, drawn)]
        real = {
            task.name: [_text(tokenizer, one) for one in examples(task, tokenizer, settings, seed)]
            for task in self.previous
        }
        refused = [tokenizer.decode(one.ids) for _, one in dreams if one.ids.count(middle) != 1]
        return counts | {
            "dreams": len(dreams),
            "valid": marks[1],
            "refused": {"no answer token": marks[0], "several": marks[2]},
            "unfinished": sum(not one.ended for _, one in dreams),
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


def examples(task: Task, tokenizer: Any, settings: Settings, seed: int) -> list[Example]:
    """The first `settings.rows` training examples of a task that leave room for their question.

    Raises `causal.TooLittleText` where there are not so many.
    """
    found = []
    for document in task.training_documents(seed):
        one = lamol_form.example(tokenizer, task, document)
        if lamol_form.answer_row(tokenizer, one, settings.length) is not None:
            found.append(one)
            if len(found) == settings.rows:
                return found
    raise causal.TooLittleText(
        f"examples={settings.rows}: {task.name} has {len(found)} that fit in {settings.length} "
        "tokens; lower examples or raise length"
    )


def _text(tokenizer: Any, one: Example) -> tuple[str, str]:
    return tokenizer.decode(one.question), tokenizer.decode(one.answer)
