"""Status: what each chapter's records took, with which versions, on what, from which data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from forgetting import registry, tasks
from forgetting.evidence import claims
from forgetting.evidence.records import Run
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
        for run in of_chapter:
            for values in _environments(run):
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


def _environments(run: Run) -> set[tuple[str, ...]]:
    """What a run was measured with: one for all of its sessions, if nothing changed between."""
    environments = [session.environment for session in run.sessions.values()]
    return {tuple(values.get(key, NOTHING) for key in HARDWARE) for values in environments}


def _runs(chapter: str, stored: Sequence[Run]) -> list[dict[str, Any]]:
    """What the runs of a chapter took, tier by tier."""
    by_tier: dict[str, list[Run]] = defaultdict(list)
    for run in stored:
        by_tier[run.tier].append(run)
    return [
        claims.summary(of_tier)
        | {"chapter": chapter, "models": sorted({run.model["name"] for run in of_tier})}
        for of_tier in by_tier.values()
    ]


def data_sets(stored: Iterable[Run]) -> set[str]:
    """Names of the public data sets that runs were trained on or measured with."""
    names: set[str] = set()
    for run in stored:
        names |= {scores.task.partition(":")[0] for scores in run.scores.values()}
        names |= {step["task"]["task"] for step in run.lineage.values() if "task" in step}
    return {data_set for name in names & set(tasks.names()) for data_set in Task(name).public}
