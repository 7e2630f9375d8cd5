"""The records behind a chapter's figures and tables: each with its recipe, one row a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from forgetting.evidence import claims, records
from forgetting.evidence.records import Run
from forgetting.site.markup import Contents, render


def pages(contents: Contents) -> dict[Path, str]:
    """A page an experiment that has runs, and their index."""
    stored = published()
    of_chapters = {
        Path("records", f"{chapter}.md"): chapter_page(chapter, of_chapter, contents)
        for chapter, of_chapter in stored.items()
    }
    return {Path("records", "index.md"): index(stored, contents), **of_chapters}


def published() -> dict[str, list[Run]]:
    """The runs of the published tiers, by chapter; chapters without any are left out."""
    stored = {
        chapter: [r for tier in claims.PUBLISHED for r in records.stored(chapter, tier)]
        for chapter in records.experiments()
    }
    return {chapter: of_chapter for chapter, of_chapter in stored.items() if of_chapter}


def index(stored: Mapping[str, Sequence[Run]], contents: Contents) -> str:
    """The index: how many records each chapter has, and when the last was made."""
    last = {c: max(r.timing["date"] for r in of_chapter)[:10] for c, of_chapter in stored.items()}
    return render("records.md.jinja", stored=stored, last=last, contents=contents)


def chapter_page(chapter: str, stored: Sequence[Run], contents: Contents) -> str:
    """One chapter's records. The table is plain HTML: a recipe has lines, MyST's cells have not."""
    return render(
        "records_of_chapter.md.jinja",
        chapter=chapter,
        runs=stored,
        first={run.key: run for run in reversed(stored)},  # what its key leads to
        contents=contents,
        steps=steps,
        recipe_in_short=recipe_in_short,
    )


def steps(run: Run) -> str:
    """As JSON: its lineage, and what it was asked: task by task, version and number of items."""
    asked = {s.task: f"version {s.version:g}, {s.n} items" for s in run.scores.values()}
    return json.dumps({"lineage": run.lineage, "asked": asked}, ensure_ascii=False, indent=1)


def recipe_in_short(run: Run) -> str:
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
    return ", ".join(part for part in (last["task"]["task"], last["tune"]["kind"], amount) if part)
