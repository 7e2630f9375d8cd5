"""Laying out the source of the book: prose, executed notebooks and generated pages."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from forgetting.site import opening, run_card
from forgetting.site.book.executing import executed
from forgetting.site.book.folding import folded
from forgetting.site.book.verifying import toc_entries
from forgetting.site.pages import cards, citing, explorer, pages

HOW_TO = "contributing.txt"  # book/add_your_own.md includes it
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
SECTION, VERDICT = re.compile(r"## "), re.compile(r"## Verdict\b")


def stage(root: Path) -> Path:
    """Lay out `build/source` and return it.

    Of the notebooks those are executed that the table of contents names: a chapter enters the book
    when its records are there.
    """
    source = root / "build" / "source"
    source.mkdir(parents=True, exist_ok=True)
    prose = (path for path in (root / "book").rglob("*") if path.is_file())
    files = {path.relative_to(root / "book"): path.read_bytes() for path in prose}
    chapters = chapters_of(root)
    generated = pages(chapters)
    for path, notebook in zip(chapters, executed(chapters, root, source), strict=True):
        records = Path("records", f"{path.stem.partition('_')[2]}.md")
        figures = data_files(notebook.cells, path.stem.partition("_")[2])
        figures |= dress(notebook, path, root, linked=records in generated)
        files |= {Path(name): text.encode() for name, text in figures.items()}
        files[Path("notebooks", path.name)] = serialise(notebook)
    for page, file in {"benchmarks.md": "benchmarks/README.md", HOW_TO: "CONTRIBUTING.md"}.items():
        if (root / file).exists():
            files[Path(page)] = (root / file).read_bytes()
    if (root / "CITATION.cff").exists():
        generated[Path("cite.md")] = citing.page(root)
    files |= {path: page.encode() for path, page in (generated | cards.pages()).items()}
    if Path("explorer.md") in files:
        files[Path("explorer", "explorer.html")] = explorer.page(root).encode()
    shutil.rmtree(source)  # what is gone from the book is gone from here
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    return source


def chapters_of(root: Path) -> list[Path]:
    """The notebooks that the table of contents names."""
    named = {PurePosixPath(name).stem for name in toc_entries(root / "_toc.yml")}
    return sorted(path for path in (root / "notebooks").glob("*.ipynb") if path.stem in named)


def dress(notebook: NotebookNode, path: Path, root: Path, *, linked: bool) -> dict[str, str]:
    """Add to a chapter what no author writes; return the files that its opening links to."""
    cells = with_generated_cells(notebook.cells, path, linked=linked)
    opened = opening.opened(path, notebook.cells, root / "_toc.yml")
    notebook.cells = with_opening(cells, opened.cells)
    return opened.files


def with_generated_cells(
    cells: Iterable[NotebookNode], notebook: Path, *, linked: bool
) -> list[NotebookNode]:
    """`cells` as a page shows them, and between them what no author writes.

    Below the background stands the chapter's diagram, below each figure its takeaway, its words and
    its data, and below what was made from records, where these have a page (`linked`), a link to
    it. Code is folded; the parameters move into the run card, at the end of the verdict.
    """
    cells, chapter = list(cells), notebook.stem.partition("_")[2]
    takeaways = iter(opening.takeaways(chapter, sum(bool(_alt(cell)) for cell in cells)))
    link = f"{{doc}}`records and recipes </records/{chapter}>`"
    staged: list[NotebookNode] = []
    for cell in cells:
        staged.append(folded(cell))
        below = []
        if cell.source.startswith("## Background") and (diagram := opening.diagram(chapter)):
            below.append(diagram)
        if alt := _alt(cell):
            takeaway = next(takeaways, "")
            below.append(f"{{.caption}}\n{f'**{takeaway}** ' if takeaway else ''}{alt}")
        links = [link] if linked and any(map(_is_of_records, cell.get("outputs", []))) else []
        links += [f"{{download}}`data (CSV) </{name}>`" for name in data_files([cell], chapter)]
        if links:
            below.append("{.of-records}\n" + " · ".join(links))
        staged += map(unwritten, below)
    if any("parameters" in cell.metadata.get("tags", []) for cell in staged):
        staged.insert(_end_of_verdict(staged), unwritten(run_card.card(notebook)))
    return staged


def _alt(cell: NotebookNode) -> str:
    """The words of the figure that a cell shows; "" where it shows none."""
    return str(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))


def unwritten(source: str) -> NotebookNode:
    """A cell that no author wrote: how long a chapter is does not depend on it."""
    return nbformat.v4.new_markdown_cell(source, metadata={"generated": True})


def data_files(cells: Iterable[NotebookNode], chapter: str) -> dict[str, str]:
    """The data of the figures of a chapter's cells as CSV, by path under the book's source."""
    texts = [
        about["csv"]
        for cell in cells
        for output in cell.get("outputs", [])
        if (about := output.get("metadata", {}).get("image/png", {})).get("csv")
    ]
    digests = (hashlib.sha256(text.encode()).hexdigest()[:8] for text in texts)
    return {f"data/{chapter}-{name}.csv": text for name, text in zip(digests, texts, strict=True)}


def with_opening(cells: Sequence[NotebookNode], generated: Sequence[str]) -> list[NotebookNode]:
    """`cells`, with what is generated between the title and what follows it in its cell."""
    title, _, rest = cells[0].source.partition("\n")
    written = [nbformat.v4.new_markdown_cell(source) for source in (title, rest.strip()) if source]
    return [*written[:1], *map(unwritten, generated), *written[1:], *cells[1:]]


def _end_of_verdict(cells: list[NotebookNode]) -> int:
    """The place of the first section after the verdict's; the end where there is none."""
    heads = [bool(SECTION.match(cell.source)) for cell in cells]
    verdict = next((n for n, cell in enumerate(cells) if VERDICT.match(cell.source)), len(cells))
    return next((n for n in range(verdict + 1, len(cells)) if heads[n]), len(cells))


def _is_of_records(output: NotebookNode) -> bool:
    about = output.get("metadata", {}).get("image/png", {})
    page = output.get("data", {}).get("text/html", "")
    return bool(about.get("records")) or "dataframe" in page or 'data-of="records"' in page


def serialise(notebook: NotebookNode) -> bytes:
    """A notebook's file: cells are named by their place, and where it ran is left out."""
    cells = [{**cell, "id": f"cell-{index:03d}"} for index, cell in enumerate(notebook.cells)]
    metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
