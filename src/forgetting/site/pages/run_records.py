"""The records behind a chapter's figures and tables: each with its recipe, one row a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from forgetting.evidence import claims, records
from forgetting.evidence.records import Record
from forgetting.site.markup import Contents, render


def pages(contents: Contents) -> dict[Path, str]:
    """A page a chapter that has records, and their index."""
    stored = published()
    of_chapters = {
        Path("records", f"{chapter}.md"): chapter_page(chapter, of_chapter, contents)
        for chapter, of_chapter in stored.items()
    }
    return {Path("records", "index.md"): index(stored, contents), **of_chapters}


def published() -> dict[str, list[Record]]:
    """The records of the published tiers, by chapter; chapters without any are left out."""
    stored = {
        chapter: [r for tier in claims.PUBLISHED for r in records.stored(chapter, tier)]
        for chapter in records.chapters()
    }
    return {chapter: of_chapter for chapter, of_chapter in stored.items() if of_chapter}


def index(stored: Mapping[str, Sequence[Record]], contents: Contents) -> str:
    """The index: how many records each chapter has, and when the last was made."""
    last = {c: max(r.timing["date"] for r in of_chapter)[:10] for c, of_chapter in stored.items()}
    return render("records.md.jinja", stored=stored, last=last, contents=contents)


def chapter_page(chapter: str, stored: Sequence[Record], contents: Contents) -> str:
    """One chapter's records. The table is plain HTML: a recipe has lines, MyST's cells have not."""
    return render(
        "records_of_chapter.md.jinja",
        chapter=chapter,
        records=stored,
        contents=contents,
        steps=steps,
        recipe_in_short=recipe_in_short,
    )


def steps(record: Record) -> str:
    """As JSON: its lineage, and what it was asked: task by task, version and number of items."""
    asked = {name: f"version {s.version:g}, {s.n} items" for name, s in record.scores.items()}
    return json.dumps({"lineage": record.lineage, "asked": asked}, ensure_ascii=False, indent=1)


def recipe_in_short(record: Record) -> str:
    """ "zh_articles, LoRA, 5120 tokens": what was taught, what moved, how much of it."""
    last = record.training
    if not last:
        return "as it was"
    settings = last["settings"]
    amount = next((f"{settings[k]:g} {k}" for k in ("examples", "tokens") if settings.get(k)), "")
    return ", ".join(part for part in (last["task"]["task"], last["tune"]["kind"], amount) if part)
