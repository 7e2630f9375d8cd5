"""Task cards: one page a task, made from its YAML, its documents and the stored base scores."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from forgetting import registry, store, tasks
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.probes import baselines
from forgetting.probes.scores import Scores
from forgetting.site.markup import render
from forgetting.tasks import Task

CHAPTER = "tasks"  # base scores are the runs of this name
CARD_VERSION = 1
LONGEST_EXAMPLE = 700
FAMILIES = {
    "text": "Text to read",
    "retention": "What may be lost",
    "alignment": "Alignment",
    "sequence": "Sequence learning",
    "targets": "Targets of fine-tuning",
    "decathlon": "A decathlon in miniature",
    "streams": "Streams",
    "listening": "Recordings",
    "dictation": "Dictation",
}
KINDS = {
    "loglikelihood": "the likelihood of an answer",
    "loglikelihood_rolling": "the likelihood of a text",
    "multiple_choice": "a choice, by likelihood",
    "generate_until": "an answer, greedily generated",
}


def pages() -> dict[Path, str]:
    """The cards and their index, by path under the book's source."""
    base = base_run()
    cards = {Path(CHAPTER, f"{name}.md"): card(Task(name), base) for name in tasks.names()}
    return {Path(CHAPTER, "index.md"): index(base), **cards}


def base_run() -> Run | None:
    """The run of SmolLM2-135M before any training, asked tasks in the roles of their names."""
    runs = (run for run in records.stored(CHAPTER) if run.model["name"] == "smollm2-135m")
    return next((run for run in runs if run.start), None)


def index(base: Run | None) -> str:
    """The index page: a table a family, with kind, number of items and base score."""
    known = [Task(name) for name in tasks.names()]
    return render(
        "tasks.md.jinja",
        families={t: [task for task in known if task.family == f] for f, t in FAMILIES.items()},
        facts=facts,
        base={name: main_score(scores) for name, scores in base.scores.items()} if base else {},
    )


def card(task: Task, base: Run | None = None) -> str:
    """One task's page: what it asks, an example, its data, its metrics and the base score."""
    scores = base.scores.get(task.name) if base else None
    return render(
        "task.md.jinja",
        task=task,
        kind=KINDS[task.config["output_type"]],
        templates=task.recipe()["templates"],
        about=facts(task),
        scores=scores,
        floors=floors(task, scores) if scores else {},
        session=base.sessions.get(task.name) if base else None,
        data_sets={name: registry.dataset(name) for name in task.public},
        shortened=_shortened,
    )


def facts(task: Task) -> dict[str, Any] | None:
    """Counts, the loader's own words and one test item, kept in the cache by the task's recipe.

    None where the task's data are not at hand.
    """
    if task.missing():
        return None
    key = store.hash_key({"card": CARD_VERSION, "of": task.recipe(), "about": task.about})
    folder = store.get("cards", key) or store.put("cards", key, partial(_write_facts, task=task))
    return json.loads((folder / "card.json").read_text(encoding="utf-8"))


def floors(task: Task, scores: Scores) -> dict[str, dict[str, float]]:
    """Of each metric what it is without reading, kept in the cache where the data are at hand."""

    def write(folder: Path) -> None:
        found = {metric: baselines.floors(scores, metric) for metric in scores.metrics}
        (folder / "floors.json").write_text(json.dumps(found), encoding="utf-8")

    about = {"floors": CARD_VERSION, "of": task.recipe(), "metrics": scores.metrics, "n": scores.n}
    key = store.hash_key(about | {"at hand": not task.missing()})
    folder = store.get("cards", key) or store.put("cards", key, write)
    return json.loads((folder / "floors.json").read_text(encoding="utf-8"))


def _write_facts(folder: Path, task: Task) -> None:
    test = task.documents("test")
    # Of a sound its length counts.
    example = task.example(min(test, key=lambda document: len(json.dumps(document, default=len))))
    values = {
        "about": task.about,
        "test": len(test),
        "train": len(task.documents("train")) if "train" in task.splits() else 0,
        "prompt": example.question,
        "answer": example.answer,
    }
    text = json.dumps(values, ensure_ascii=False)
    (folder / "card.json").write_text(text, encoding="utf-8")


def main_score(scores: Scores) -> str:
    """A task's first metric with its standard error over items; nats a token for a likelihood."""
    metric = "nats" if "nats" in scores.metrics else scores.metrics[0]
    return f"{scores.mean(metric):.3g} ± {scores.stderr(metric):.2g} {metric}"


def _shortened(text: str) -> str:
    """An example's text, cut where it grows long; it cannot end the block that it stands in."""
    text = text.strip("\n").replace("````", "'''")
    return text if len(text) <= LONGEST_EXAMPLE else text[:LONGEST_EXAMPLE].rstrip() + " …"
