"""Status: what each chapter's records took, with which versions, on what, from which data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from forgetting import registry, tasks
from forgetting.evidence import claims
from forgetting.evidence.records import Record
from forgetting.site.markup import NOTHING, Contents, render, title
from forgetting.site.pages.run_records import published
from forgetting.tasks import Task

PACKAGES = ("python", "torch", "transformers", "peft", "lm_eval", "accelerate", "numpy")
HARDWARE = ("device", "system", *PACKAGES)


def page(contents: Contents) -> str:
    """The page: chapters with what their runs took, then versions and hardware, then data sets."""
    stored = published()
    environments: Counter[tuple[str, ...]] = Counter()
    chapters: dict[str, list[str]] = defaultdict(list)
    for chapter, of_chapter in stored.items():
        for record in of_chapter:
            values = (record.environment.get(key, NOTHING) for key in HARDWARE)
            environments[title(chapter), *values] += 1
        for name in data_sets(of_chapter):
            chapters[name].append(title(chapter))
    return render(
        "status.md.jinja",
        runs=[runs for chapter in stored for runs in _runs(chapter, stored[chapter])],
        environments=[(name, amount, *rest) for (name, *rest), amount in environments.items()],
        hardware=HARDWARE,
        data_sets=[(registry.dataset(name), sorted(chapters[name])) for name in sorted(chapters)],
        link=contents.link,
    )


def _runs(chapter: str, stored: Sequence[Record]) -> list[dict[str, Any]]:
    """What the runs of a chapter took, tier by tier."""
    by_tier: dict[str, list[Record]] = defaultdict(list)
    for record in stored:
        by_tier[record.tier].append(record)
    return [
        claims.summary(of_tier)
        | {"chapter": chapter, "models": sorted({record.model["name"] for record in of_tier})}
        for of_tier in by_tier.values()
    ]


def data_sets(stored: Iterable[Record]) -> set[str]:
    """Names of the public data sets that records were trained on or measured with."""
    names: set[str] = set()
    for record in stored:
        names |= {name.partition(":")[0] for name in record.scores}
        if record.training:
            names.add(record.training["task"]["task"])
    return {data_set for name in names & set(tasks.names()) for data_set in Task(name).public}
