"""The records behind a chapter's figures and tables: each with its recipe, one row a record."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forgetting.evidence import claims, records
from forgetting.evidence.records import Record
from forgetting.pages.markup import REPOSITORY, Contents, page_of, table, title
from forgetting.wording import count

INTRODUCTION = """\
Every figure and table of the book is drawn from *records*: small files that say how a checkpoint
was made and what it scored, item by item. A record's key is a hash over its recipe and what was
asked; the same recipe gives the same key everywhere."""

OF_CHAPTER = """\
The records of {chapter}, from which its figures, tables and numbers are made. A key leads to the
file; the recipe unfolds. `forgetting records {name} --key {key}` shows one on your machine, and
`forgetting run {name}` computes what is missing."""

HEADS = ("record", "method", "rate", "epochs", "seed", "tier", "model", "date", "seconds", "recipe")


def pages(contents: Contents) -> dict[Path, str]:
    """A page a chapter that has records, and their index."""
    stored = {
        chapter: [r for tier in claims.PUBLISHED for r in records.stored(chapter, tier)]
        for chapter in records.chapters()
    }
    stored = {chapter: found for chapter, found in stored.items() if found}
    found = {
        Path("records", f"{chapter}.md"): chapter_page(chapter, of_chapter, contents)
        for chapter, of_chapter in stored.items()
    }
    return {Path("records", "index.md"): index(stored, contents), **found}


def index(stored: dict[str, list[Record]], contents: Contents) -> str:
    if not stored:
        return page_of("Records", INTRODUCTION, "There are none yet.")
    rows = [
        (
            f"{{doc}}`{title(chapter)} </records/{chapter}>`",
            len(found),
            max(record.timing["date"] for record in found)[:10],
            contents.link(chapter) if contents.notebook(chapter) else "",
        )
        for chapter, found in stored.items()
    ]
    return page_of(
        "Records", INTRODUCTION, table(("records of", "how many", "last", "chapter"), rows)
    )


def chapter_page(chapter: str, found: Sequence[Record], contents: Contents) -> str:
    """One chapter's records. The table is plain HTML: a recipe has lines, MyST's cells have not."""
    words = contents.link(chapter) if contents.notebook(chapter) else f"*{title(chapter)}*"
    about = OF_CHAPTER.format(chapter=words, name=chapter, key=found[0].key[:8])
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    rows = "\n".join(_row(record) for record in found)
    return page_of(
        f"Records: {title(chapter)}",
        about,
        f"{count(len(found), 'record')}.",
        f'```{{raw}} html\n<table class="table sortable choose-method choose-tier choose-seed">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n```",
    )


def _row(record: Record) -> str:
    labels = record.labels
    address = f"{REPOSITORY}/blob/main/results/{record.chapter}/{record.key}.json"
    recipe = json.dumps(steps(record), ensure_ascii=False, indent=1)
    cells = (
        f'<a id="{record.key}" href="{html.escape(address)}"><code>{record.key[:8]}</code></a>',
        _text(labels["method"]),
        f"{labels['learning_rate']:g}" if record.training else "–",
        _text(labels.get("epochs", "–")),
        _text(labels["seed"]),
        record.tier,
        _text(record.model["name"]),
        record.timing["date"][:10],
        f"{record.timing['seconds']:.0f}",
        f"<details><summary>{_text(recipe_in_short(record))}</summary>"
        f"<pre>{_text(recipe)}</pre></details>",
    )
    return f"<tr>{''.join(f'<td>{text}</td>' for text in cells)}</tr>"


def steps(record: Record) -> dict[str, Any]:
    """The record's lineage, and what it was asked: task by task, version and number of items."""
    asked = {name: f"version {s.version:g}, {s.n} items" for name, s in record.scores.items()}
    return {"lineage": record.lineage, "asked": asked}


def recipe_in_short(record: Record) -> str:
    """ "zh_articles, LoRA, 5120 tokens": what was taught, what moved, how much of it."""
    last = record.training
    if not last:
        return "as it was"
    settings = last["settings"]
    amount = next((f"{settings[k]:g} {k}" for k in ("examples", "tokens") if settings.get(k)), "")
    return ", ".join(part for part in (last["task"]["task"], last["tune"]["kind"], amount) if part)


def _text(value: object) -> str:
    return html.escape(str(value))
