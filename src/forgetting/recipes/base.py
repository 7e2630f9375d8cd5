"""What recipes of one task share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from forgetting.lineage import Checkpoint, Samples, Settings
from forgetting.models.rows import TooLittleText
from forgetting.tasks import Task

T = TypeVar("T")


@dataclass(frozen=True)
class OneTask:
    """Shows examples of one task; unless a subclass says so, none that a checkpoint wrote."""

    task: Task

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return ()

    def missing(self) -> list[str]:
        return self.task.missing()

    def settings(self) -> dict[str, Any]:
        """What the examples depend on beside the task, as plain JSON."""
        return {}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        return ()


def first_fitting(task: Task, settings: Settings, fitting: Iterable[T]) -> list[T]:
    """The first `settings.rows`. Raises `rows.TooLittleText` where there are not so many."""
    first = list(islice(fitting, settings.rows))
    if len(first) < settings.rows:
        raise TooLittleText(
            f"examples={settings.rows}: {task.name} has {len(first)} that fit in "
            f"{settings.length} tokens; lower examples or raise length"
        )
    return first
