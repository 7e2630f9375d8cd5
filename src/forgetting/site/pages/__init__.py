"""The book's pages about records, claims, papers, methods and tasks: one module a kind of page."""

from collections.abc import Sequence
from pathlib import Path

from forgetting.chapters import published
from forgetting.site import plane
from forgetting.site.markup import Contents
from forgetting.site.pages import board, choosing, drift, method_cards, run_records, teaching


def pages(notebooks: Sequence[Path]) -> dict[Path, str]:
    """All but the task cards, by path under the book's source. `notebooks` are the chapters'.

    Raises `BookError` where a page would have to leave out what it promises.
    """
    contents = Contents(tuple(path.stem for path in notebooks))
    verdicts, planes = published.scoreboard(), plane.measured()
    stored = run_records.published()
    return {
        Path("scoreboard.md"): board.scoreboard(verdicts, contents),
        Path("failures.md"): board.failures(verdicts, contents),
        Path("drift.md"): drift.page(contents),
        Path("verdict_changes.md"): board.changes(verdicts),
        Path("intervals.md"): board.intervals(),
        Path("papers.md"): board.papers(verdicts),
        Path("choosing.md"): choosing.page(planes, contents),
        Path("teach.md"): teaching.page(notebooks, verdicts),
        Path("status.md"): run_records.status(stored, contents),
        Path("records", "index.md"): run_records.index(stored, contents),
        **{
            Path("records", f"{chapter}.md"): run_records.chapter_page(chapter, runs, contents)
            for chapter, runs in stored.items()
        },
        **method_cards.pages(planes, contents, verdicts),
    }
