"""Records behind figures and tables, a page a chapter; and what they took, with what, on what."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from forgetting import registry, tasks
from forgetting.evidence import claims, records
from forgetting.evidence.records import Run
from forgetting.site.markup import NOTHING, Contents, render, title
from forgetting.tasks import Task

PACKAGES = ("python", "torch", "transformers", "peft", "lm_eval", "accelerate", "numpy")
HARDWARE = ("device", "system", *PACKAGES)

Stored = Mapping[str, Sequence[Run]]  # by chapter


def published() -> dict[str, list[Run]]:
    """The runs of the published tiers, by chapter; chapters without any are left out."""
    stored = {
        chapter: [r for tier in claims.PUBLISHED for r in records.stored(chapter, tier)]
        for chapter in records.experiments()
    }
    return {chapter: runs for chapter, runs in stored.items() if runs}


def index(stored: Stored, contents: Contents) -> str:
    """The index: how many records each chapter has, and when the last was made."""
    last = {chapter: claims.summary(runs)["last"] for chapter, runs in stored.items()}
    return render("records.md.jinja", stored=stored, last=last, contents=contents)


def chapter_page(chapter: str, runs: Sequence[Run], contents: Contents) -> str:
    """One chapter's records. The table is plain HTML: a recipe has lines, MyST's cells have not."""
    return render(
        "records_of_chapter.md.jinja",
        chapter=chapter,
        runs=runs,
        first={run.key: run for run in reversed(runs)},  # what its key leads to
        contents=contents,
        steps=_steps,
        recipe_in_short=_recipe_in_short,
    )


def _steps(run: Run) -> str:
    """As JSON: its lineage, and what it was asked: task by task, version and number of items."""
    asked = {s.task: f"version {s.version:g}, {s.n} items" for s in run.scores.values()}
    return json.dumps({"lineage": run.lineage, "asked": asked}, ensure_ascii=False, indent=1)


def _recipe_in_short(run: Run) -> str:
    """ "zh_articles, LoRA, 5120 tokens": what was taught, what moved, how much of it.

    "merge, ties" of another step than a training: what was done, and how.
    """
    if run.start:
        return "as it was"
    last = run.last_step
    if last["step"] != "train":
        return ", ".join(filter(None, (last["step"], last.get("how", {}).get("kind"))))
    settings = last["settings"]
    amount = next((f"{settings[k]:g} {k}" for k in ("examples", "tokens") if settings.get(k)), "")
    return ", ".join(filter(None, (last["task"]["task"], last["tune"]["kind"], amount)))


def status(stored: Stored, contents: Contents) -> str:
    """Chapters with what their runs took, then versions and hardware, then data sets."""
    environments: Counter[tuple[str, ...]] = Counter()
    chapters: dict[str, list[str]] = defaultdict(list)  # by data set
    by_tier: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for chapter, runs in stored.items():
        for run in runs:
            by_tier[chapter, run.tier].append(run)
            # Its sessions are one where nothing changed between them.
            sessions = run.sessions.values()
            used = {tuple(s.environment.get(h, NOTHING) for h in HARDWARE) for s in sessions}
            environments.update((title(chapter), *values) for values in used)
        for name in data_sets(runs):
            chapters[name].append(title(chapter))
    return render(
        "status.md.jinja",
        runs=[
            claims.summary(runs)
            | {"chapter": chapter, "models": sorted({run.model["name"] for run in runs})}
            for (chapter, _), runs in by_tier.items()
        ],
        environments=[(name, amount, *rest) for (name, *rest), amount in environments.items()],
        hardware=HARDWARE,
        data_sets=[(registry.dataset(name), sorted(chapters[name])) for name in sorted(chapters)],
        link=contents.link,
    )


def data_sets(runs: Iterable[Run]) -> set[str]:
    """Names of the public data sets that runs were trained on or measured with."""
    names: set[str] = set()
    for run in runs:
        names |= {scores.task.partition(":")[0] for scores in run.scores.values()}
        names |= {step["task"]["task"] for step in run.lineage.values() if "task" in step}
    return {data_set for name in names & set(tasks.names()) for data_set in Task(name).public}
