"""Pages that are made and not written: from records, claims, papers and methods.

Each module makes one kind of page as MyST text. Nothing here measures or trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forgetting.evidence import claims
from forgetting.pages import (
    choosing,
    failures,
    method_cards,
    paper_list,
    plane,
    run_records,
    scoreboard,
    status,
)
from forgetting.pages.markup import Contents, PageError

__all__ = ["Contents", "PageError", "pages"]


def pages(notebooks: Sequence[str]) -> dict[Path, str]:
    """All of them, by path under the book's source. `notebooks` are the stems of the chapters.

    Raises `PageError` where a page would have to leave out what it promises.
    """
    contents = Contents(tuple(notebooks))
    board, runs = claims.scoreboard(), plane.measured()
    return {
        Path("scoreboard.md"): scoreboard.page(board, contents),
        Path("failures.md"): failures.page(board, contents),
        Path("papers.md"): paper_list.page(board),
        Path("choosing.md"): choosing.page(runs, contents),
        Path("status.md"): status.page(contents),
        **method_cards.pages(runs, contents),
        **run_records.pages(contents),
    }
