"""What an experiment asks: roles, the public task behind each and its stand-in, and how much.

A role says what a question stands for ("chat", "formats"): claims, figures and tables speak of
roles, never of data sets. Which task stands behind it depends on the data that are at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from forgetting import home
from forgetting.evidence.records import Tier
from forgetting.probes.evaluation import Asked
from forgetting.tasks import Task

Source = Literal["auto", "public", "bundled"]
Data = Literal["public", "bundled"]

# Items at a tier in terms of the laptop's. The smoke tier asks a few of everything.
SCALE: dict[Tier, float] = {"smoke": 0, "classroom": 0.7, "laptop": 1, "full": 8, "paper": 40}
SMOKE_LENGTH = 4  # the smoke tier's model has a token for nearly every letter


@dataclass(frozen=True)
class Ask:
    """One question of an experiment: its role, its public task and the stand-in, its items.

    `items` are those of the laptop tier. A task without a public form is written for the book and
    stands for both (`bundled` empty). What is asked `everywhere` is asked of every run: choices,
    likelihoods, little that generates; the rest of the central runs alone. `keep`: records keep what
    was answered. `how` makes the probe of a task, or of a task and a `length` in tokens (of texts
    that are cut); without it the task is asked as it is. A probe of no task has an empty `public`.
    """

    role: str
    public: str = ""
    bundled: str = ""
    items: int = 1
    everywhere: bool = False
    keep: bool = False
    how: Callable[..., Asked] | None = None
    length: int | None = None

    def task(self, data: Data, tier: Tier | None = None) -> Task:
        """The task that stands behind the role; without a tier, all its items."""
        name = self.bundled if data == "bundled" and self.bundled else self.public
        return Task(name, scaled(self.items, tier) if tier else None)

    def probe(self, data: Data, tier: Tier) -> Asked:
        """What is asked of a System at a tier."""
        if not self.public:
            assert self.how, f"ask {self.role!r}: names neither a task nor a probe"
            return self.how()
        task = self.task(data, tier)
        if self.how is None:
            return task
        if self.length is None:
            return self.how(task)
        return self.how(task, self.length * (SMOKE_LENGTH if tier == "smoke" else 1))

    def of(self, role: str, public: str, bundled: str = "") -> Ask:
        """The same question of another task, in the role "task, role"."""
        name = f"{role}, {self.role}" if self.role else role
        return replace(self, role=name, public=public, bundled=bundled)


def scaled(items: int, tier: Tier) -> int:
    """The laptop's number of items at another tier; at least two."""
    return max(2, round(items * SCALE[tier]))


def resolve(source: Source, probes: Iterable[Asked]) -> Data:
    """`auto` is public data where all that the probes read is at hand (mirror or cache).

    While a book is rendered it is public: published records are.
    """
    if source != "auto":
        return source
    if home.rendering():
        return "public"
    return "bundled" if any(probe.missing() for probe in probes) else "public"
