"""Task cards: one page a task, made from its YAML, its documents and the stored base scores."""

from __future__ import annotations

import html
import json
from functools import partial
from pathlib import Path
from typing import Any

from forgetting import registry, store, tasks
from forgetting.evidence import records
from forgetting.evidence.records import Record, Scores
from forgetting.store import hash_key
from forgetting.tasks import Task

CHAPTER = "tasks"  # base scores are the records of this name
CARD_VERSION = 1
LONGEST_EXAMPLE = 700
FAMILIES = {
    "text": "Text to read",
    "retention": "What may be lost",
    "alignment": "Alignment",
    "sequence": "Sequence learning",
    "targets": "Targets of fine-tuning",
    "decathlon": "A decathlon in miniature",
}
KINDS = {
    "loglikelihood": "the likelihood of an answer",
    "loglikelihood_rolling": "the likelihood of a text",
    "multiple_choice": "a choice, by likelihood",
    "generate_until": "an answer, greedily generated",
}


def pages() -> dict[Path, str]:
    """The cards and their index as MyST pages, by path under the book's source."""
    scores = base_scores()
    cards = {name: card(Task(name), scores) for name in tasks.names()}
    found = {Path(CHAPTER, f"{name}.md"): text for name, text in cards.items()}
    return {Path(CHAPTER, "index.md"): index(scores), **found}


def base_scores() -> dict[str, Record]:
    """The newest record of the untouched SmolLM2-135M by the name of each task it measured."""
    found: dict[str, Record] = {}
    stored = records.select(records.stored(CHAPTER), method="untouched")
    for record in sorted(stored, key=lambda r: r.timing["date"]):
        if record.model["name"] == "smollm2-135m":
            found |= dict.fromkeys(record.scores, record)
    return found


def index(scores: dict[str, Record]) -> str:
    """The index page: a table a family, with kind, number of items and base score."""
    lines = [
        "# Tasks",
        "",
        "Every skill that the book teaches, tests or finds lost, defined once: the same template",
        "trains and tests. Base scores are those of SmolLM2-135M-Instruct before any training,",
        "± their standard error over items.",
        "",
    ]
    for family, title in FAMILIES.items():
        members = [name for name in tasks.names() if Task(name).family == family]
        if not members:
            continue
        lines += [f"## {title}", "", "| task | what it is | test items | base score |"]
        lines += ["|---|---|---|---|"]
        for name in members:
            task = Task(name)
            size = facts(task)["test"] if not task.missing() else "–"
            shown = main_score(scores[name].scores[name]) if name in scores else "–"
            lines.append(
                f"| [{name}]({name}.md) | {_cell(task.metadata['title'])} | {size} | {shown} |"
            )
        lines.append("")
    return "\n".join(lines)


def card(task: Task, scores: dict[str, Record]) -> str:
    """One task's page: what it asks, an example, its data, its metrics and the base score."""
    config, metadata = task.config, task.metadata
    about = facts(task) if not task.missing() else None
    metrics = ", ".join(
        entry["metric"] + ("" if entry.get("higher_is_better", True) else " (lower is better)")
        for entry in config["metric_list"]
    )
    rows = {
        "asks for": KINDS[config["output_type"]],
        "speaks through": "the chat template" if task.chat else "plain text",
        "test items": about["test"] if about else "unknown until its data are at hand",
        "training documents": (about["train"] or "none") if about else "unknown",
        "metric": metrics,
        "chance": f"{metadata['chance']:.3g}" if "chance" in metadata else "–",
        "version": f"{metadata['version']}, templates {task.recipe()['templates']}",
    }
    lines = [
        "---",
        "orphan: true",
        "---",
        "",
        f"# {task.name}",
        "",
        f"**{metadata['title']}.** {about['about'] if about else ''}",
    ]
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {key} | {_cell(value)} |" for key, value in rows.items()]
    lines += ["", "## Base score", "", *_score_lines(task, scores), "", "## Example", ""]
    lines += [*_example_lines(task, about), "", "## Data", "", *_data_lines(task)]
    lines += ["", "## Run it", "", "```python"]
    lines += ["from forgetting import Task, evaluate, foundation", ""]
    lines += [f'evaluate(foundation("smollm2-135m"), [Task("{task.name}", 100)])', "```"]
    chat = " --apply_chat_template" if task.chat else ""
    command = f"lm_eval --include_path data/tasks --tasks {task.name}{chat}"
    lines += ["", "The same numbers come from lm-eval itself:", "", "```sh"]
    lines += [f"{command} --model hf --model_args pretrained=FOLDER", "```", ""]
    return "\n".join(lines)


def facts(task: Task) -> dict[str, Any]:
    """Counts, the loader's own words and one test item, kept in the cache by the task's recipe."""
    key = hash_key({"card": CARD_VERSION, "of": task.recipe(), "about": task.about})
    folder = store.get("cards", key)
    if folder is None:
        text = json.dumps(_facts(task), ensure_ascii=False)
        folder = store.put("cards", key, partial(_write, text=text))
    return json.loads((folder / "card.json").read_text(encoding="utf-8"))


def _write(folder: Path, text: str) -> None:
    (folder / "card.json").write_text(text, encoding="utf-8")


def _facts(task: Task) -> dict[str, Any]:
    splits = task.splits()
    example = task.example(min(task.documents("test"), key=lambda d: len(json.dumps(d))))
    return {
        "about": task.about,
        "test": len(task.documents("test")),
        "train": len(task.documents("train")) if "train" in splits else 0,
        "prompt": example.question,
        "answer": example.answer,
    }


def main_score(found: Scores) -> str:
    """A task's first metric with its standard error over items; nats a token for a likelihood."""
    metric = "nats" if "nats" in found.metrics else found.metrics[0]
    return f"{found.mean(metric):.3g} ± {found.stderr(metric):.2g} {metric}"


def _score_lines(task: Task, scores: dict[str, Record]) -> list[str]:
    if task.name not in scores:
        return ["Not measured yet."]
    record = scores[task.name]
    found = record.scores[task.name]
    lines = ["| metric | SmolLM2-135M-Instruct |", "|---|---|"]
    for metric in found.metrics:
        if metric != "choice":  # which answer was chosen: a label, not a score
            lines.append(f"| {metric} | {found.mean(metric):.3g} ± {found.stderr(metric):.2g} |")
    date = record.timing["date"][:10]
    return [*lines, "", f"{found.n} items, {date}, {record.environment['device']}."]


def _example_lines(task: Task, about: dict[str, Any] | None) -> list[str]:
    if task.family == "alignment":
        return ["The requests stay in their data set; no page of this book repeats them."]
    if about is None:
        names = ", ".join(task.missing())
        return [f"Shown where the data are at hand: `forgetting data fetch {names}`."]
    reading = task.config["output_type"] == "loglikelihood_rolling"
    last = "The text" if reading else "The right answer"
    shown = [("What is asked", about["prompt"]), (last, about["answer"])]
    lines = []
    for title, text in shown:
        if text.strip():
            lines += [f"{title}:", "", "````text", _shortened(text), "````", ""]
    return lines


def _data_lines(task: Task) -> list[str]:
    lines = []
    for entry in task.metadata["data"]:
        if ":" in entry:
            lines.append("- Written for this book; it needs no network.")
            continue
        data = registry.dataset(entry)
        size = sum(file.bytes for file in data.files) / 1e6
        source = f"[{data.repo}](https://github.com/{data.repo}/tree/{data.commit})"
        lines.append(
            f"- `{entry}`: {data.about} Licence: {_cell(data.licence)}. {size:.1f} MB, {source} at "
            f"commit {data.commit[:12]}."
        )
    return lines


def _shortened(text: str) -> str:
    text = text.strip("\n").replace("````", "'''")
    return text if len(text) <= LONGEST_EXAMPLE else text[:LONGEST_EXAMPLE].rstrip() + " …"


def _cell(text: object) -> str:
    return html.escape(" ".join(str(text).split()), quote=False).replace("|", r"\|")
