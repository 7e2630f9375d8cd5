"""Status: what each chapter's records took, with which versions, on what, from which data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from forgetting import registry, tasks
from forgetting.evidence import claims, records
from forgetting.evidence.records import Record
from forgetting.pages.markup import NOTHING, Contents, page_of, table, title
from forgetting.tasks import Task
from forgetting.wording import listed

INTRODUCTION = """\
What was run for this book, and what with, read from the records. *Minutes* are of one process: a
chapter's steps can also run side by side. Nothing of this runs when the pages are built."""


def page(contents: Contents) -> str:
    by_chapter = {chapter: _published(chapter) for chapter in records.chapters()}
    stored = {chapter: found for chapter, found in by_chapter.items() if found}
    if not stored:
        return page_of("Status", INTRODUCTION, "Nothing has been run yet.")
    return page_of(
        "Status",
        INTRODUCTION,
        "## Chapters",
        _chapters(stored, contents),
        "## Versions and hardware",
        _environments(stored),
        "## Data sets",
        DATA,
        _data(stored),
    )


DATA = """\
Public sets that the records read, with their licences and the commit that was read; task by task
they stand on the {doc}`task cards <tasks/index>`. What was written for this book is not listed."""


def _published(chapter: str) -> list[Record]:
    return [r for tier in claims.PUBLISHED for r in records.stored(chapter, tier)]


def _chapters(stored: dict[str, list[Record]], contents: Contents) -> str:
    rows = []
    for chapter, found in stored.items():
        for tier in dict.fromkeys(record.tier for record in found):
            of_tier = [record for record in found if record.tier == tier]
            about = claims.summary(of_tier)
            rows.append(
                (
                    contents.link(chapter),
                    tier,
                    listed(sorted({record.model["name"] for record in of_tier})),
                    f"{{doc}}`{about['runs']} </records/{chapter}>`",
                    about["seeds"],
                    f"{about['minutes']:.0f}",
                    f"{about['peak_memory_gib']:.1f}",
                    " to ".join(dict.fromkeys((about["first"], about["last"]))),
                )
            )
    heads = ("chapter", "tier", "model", "records", "seeds", "minutes", "peak memory, GiB", "dates")
    return table(heads, rows)


def _environments(stored: dict[str, list[Record]]) -> str:
    packages = ("python", "torch", "transformers", "peft", "lm_eval", "accelerate", "numpy")
    known = ("device", "system", *packages)
    counts: Counter[tuple[str, ...]] = Counter()
    for chapter, found in stored.items():
        for record in found:
            counts[title(chapter), *(record.environment.get(key, NOTHING) for key in known)] += 1
    rows = [(chapter, number, *rest) for (chapter, *rest), number in counts.items()]
    return table(("chapter", "records", *known), rows)


def _data(stored: dict[str, list[Record]]) -> str:
    used: dict[str, set[str]] = {}
    for chapter, found in stored.items():
        for name in data_sets(found):
            used.setdefault(name, set()).add(title(chapter))
    rows = []
    for name in sorted(used):
        data = registry.dataset(name)
        source = f"[{data.repo}](https://github.com/{data.repo}/tree/{data.commit})"
        size = sum(file.bytes for file in data.files) / 1e6
        rows.append(
            (f"`{name}`", source, data.licence, f"{size:.1f} MB", ", ".join(sorted(used[name])))
        )
    return table(("set", "from", "licence", "size", "chapters"), rows)


def data_sets(found: Sequence[Record]) -> set[str]:
    """Names of the public data sets that records were trained on or measured with."""
    return {
        entry
        for name in _tasks(found)
        for entry in Task(name).metadata["data"]
        if ":" not in entry  # "bundled:…" is written for the book
    }


def _tasks(found: Iterable[Record]) -> set[str]:
    known = set(tasks.names())
    names: set[str] = set()
    for record in found:
        names |= {name.partition(":")[0] for name in record.scores}
        if record.training:
            names.add(record.training["task"]["task"])
    return names & known
