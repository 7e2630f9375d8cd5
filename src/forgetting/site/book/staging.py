"""Laying out the source of the book: prose, executed notebooks and generated pages."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from forgetting.site import run_card
from forgetting.site.book.executing import executed
from forgetting.site.book.verifying import toc_entries
from forgetting.site.pages import cards, explorer, pages

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}


def stage(root: Path) -> Path:
    """Lay out `build/source` and return it.

    Of the notebooks those are executed that the table of contents names: a chapter enters the book
    when its records are there.
    """
    source = root / "build" / "source"
    source.mkdir(parents=True, exist_ok=True)
    prose = (path for path in (root / "book").rglob("*") if path.is_file())
    files = {path.relative_to(root / "book"): path.read_bytes() for path in prose}
    named = {PurePosixPath(name).stem for name in toc_entries(root / "_toc.yml")}
    chapters = sorted(p for p in (root / "notebooks").glob("*.ipynb") if p.stem in named)
    generated = pages([path.stem for path in chapters])
    for path, notebook in zip(chapters, executed(chapters, root, source), strict=True):
        records = Path("records", f"{path.stem.partition('_')[2]}.md")
        notebook.cells = with_generated_cells(notebook.cells, path, linked=records in generated)
        files[Path("notebooks", path.name)] = serialise(notebook)
    benchmarks = root / "benchmarks" / "README.md"
    if benchmarks.exists():
        files[Path("benchmarks.md")] = benchmarks.read_bytes()
    files |= {path: page.encode() for path, page in (generated | cards.pages()).items()}
    if Path("explorer.md") in files:
        files[Path("explorer", "explorer.html")] = explorer.page(root).encode()
    shutil.rmtree(source)  # what is gone from the book is gone from here
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    return source


def with_generated_cells(
    cells: Iterable[NotebookNode], notebook: Path, *, linked: bool
) -> list[NotebookNode]:
    """`cells`, and below them what no author writes.

    Below the parameters stands the run card; below each figure and table that was made from
    records, where these have a page (`linked`), a link to it.
    """
    chapter = notebook.stem.partition("_")[2]
    link = f"{{.of-records}}\n{{doc}}`Records and recipes </records/{chapter}>`"
    staged: list[NotebookNode] = []
    for cell in cells:
        staged.append(cell)
        if "parameters" in cell.metadata.get("tags", []):
            staged.append(nbformat.v4.new_markdown_cell(run_card.card(notebook)))
        elif linked and any(map(_is_of_records, cell.get("outputs", []))):
            staged.append(nbformat.v4.new_markdown_cell(link))
    return staged


def _is_of_records(output: NotebookNode) -> bool:
    about = output.get("metadata", {}).get("image/png", {})
    return bool(about.get("records")) or "dataframe" in output.get("data", {}).get("text/html", "")


def serialise(notebook: NotebookNode) -> bytes:
    """A notebook's file: cells are named by their place, and where it ran is left out."""
    cells = [{**cell, "id": f"cell-{index:03d}"} for index, cell in enumerate(notebook.cells)]
    metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
