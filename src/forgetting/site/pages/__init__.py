"""The book's pages about records, claims, papers, methods and tasks: one module a kind of page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forgetting.chapters import published
from forgetting.site import plane
from forgetting.site.markup import Contents
from forgetting.site.pages import (
    choosing,
    failures,
    intervals,
    method_cards,
    paper_list,
    run_records,
    scoreboard,
    status,
)


def pages(notebooks: Sequence[str]) -> dict[Path, str]:
    """All but the task cards, by path under the book's source. `notebooks` are chapters' stems.

    Raises `PageError` where a page would have to leave out what it promises.
    """
    contents = Contents(tuple(notebooks))
    board, runs = published.scoreboard(), plane.measured()
    return {
        Path("scoreboard.md"): scoreboard.page(board, contents),
        Path("failures.md"): failures.page(board, contents),
        Path("intervals.md"): intervals.page(),
        Path("papers.md"): paper_list.page(board),
        Path("choosing.md"): choosing.page(runs, contents),
        Path("status.md"): status.page(contents),
        **method_cards.pages(runs, contents),
        **run_records.pages(contents),
    }
