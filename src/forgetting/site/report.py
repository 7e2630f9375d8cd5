"""A reader's own run as one page of HTML, beside what the book published.

The page holds all it shows: pictures are inside, nothing is asked of another host. The chapter's
prose speaks of the published runs, so it stays in the book; headings, figures and tables are here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from forgetting import home
from forgetting.chapters.published import verdicts
from forgetting.evidence.claims import Verdict
from forgetting.evidence.records import Tier
from forgetting.experiments import parameters
from forgetting.site.markup import render

HEADING = re.compile(r"^(#{2,4}) +(.+?) *$", re.MULTILINE)


def published(chapter: str) -> list[Verdict]:
    """The chapter's verdicts from the records in the book's own `results/`, as they are now."""
    with home.without("FORGETTING_RESULTS"):
        return verdicts(chapter)


def page(
    chapter: str,
    executed: Path,
    settings: Mapping[str, Any],
    before: Sequence[Verdict],
    book_page: Path,
) -> str:
    """The page of a notebook that was `executed` with the parameters `settings`.

    `before` are the published verdicts, `book_page` is the chapter as the book may have staged it.
    """
    tier: Tier | None = settings.get("tier")
    return render(
        "report.html.jinja",
        title=parameters.title_of(executed),
        chapter=chapter,
        today=date.today(),
        tier=tier,
        settings={name: parameters.typed(value) for name, value in settings.items()},
        verdicts=verdicts(chapter, tier),
        published={verdict.id: verdict for verdict in before},
        cells=list(_cells(nbformat.read(executed, as_version=4))),
        figures=_figures(book_page),
    )


def _cells(notebook: NotebookNode) -> Iterator[dict[str, Any]]:
    """What each cell showed, below its headings: pictures and tables, and what it printed."""
    headings: list[tuple[int, str]] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for marks, text in HEADING.findall(cell.source):
                # Of headings without anything below them stays the last, and what it stands under.
                above = [(level, title) for level, title in headings if level < len(marks)]
                headings = [*above, (len(marks), text)]
            continue
        printed = "".join(o.text for o in cell.outputs if o.get("name") == "stdout")
        outputs = [shown for output in cell.outputs if (shown := _shown(output))]
        if printed or outputs:
            yield {"headings": headings, "outputs": outputs, "printed": printed}
            headings = []


def _shown(output: NotebookNode) -> dict[str, str]:
    """A picture, `png` in base 64 with its words, or else a table as `html`; empty for the rest."""
    data = output.get("data", {})
    if "image/png" in data:
        about = output.get("metadata", {}).get("image/png", {})
        alt = about.get("alt", "A figure of this chapter.")
        return {"png": "".join(data["image/png"].split()), "alt": alt}
    return {"html": data["text/html"]} if "text/html" in data else {}


def _figures(book_page: Path) -> dict[str, str]:
    """The published figures by their alternative texts; none where the book was not staged."""
    cells = nbformat.read(book_page, as_version=4).cells if book_page.is_file() else []
    outputs = [_shown(output) for cell in cells for output in cell.get("outputs", [])]
    return {shown["alt"]: shown["png"] for shown in outputs if "png" in shown}
