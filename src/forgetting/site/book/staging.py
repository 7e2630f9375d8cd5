"""Laying out the source of the book: prose, executed notebooks and generated pages."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from forgetting.site import run_card
from forgetting.site.book.executing import executed
from forgetting.site.book.shared import BookError, toc_entries
from forgetting.site.markup import PageError
from forgetting.site.pages import cards, explorer, pages

METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


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
    try:
        made = pages([path.stem for path in chapters])
    except PageError as error:
        raise BookError(str(error)) from error
    for path, notebook in zip(chapters, executed(chapters, root, source), strict=True):
        chapter = path.stem.partition("_")[2]
        notebook = run_card.with_card(notebook, path)
        if Path("records", f"{chapter}.md") in made:
            notebook.cells = with_records(notebook.cells, chapter)
        files[Path("notebooks", path.name)] = serialise(notebook)
    measured = root / "benchmarks" / "README.md"
    if measured.exists():
        files[Path("benchmarks.md")] = measured.read_bytes()
    files |= {path: page.encode() for path, page in (made | cards.pages()).items()}
    if Path("explorer.md") in files:
        files[Path("explorer", "explorer.html")] = explorer.page(root).encode()
    shutil.rmtree(source)  # what is gone from the book is gone from here
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    return source


def with_records(cells: Iterable[NotebookNode], chapter: str) -> list[NotebookNode]:
    """`cells`, and below each figure and table that was made from records a link to these."""
    linked: list[NotebookNode] = []
    for cell in cells:
        linked.append(cell)
        if cell.cell_type == "code" and any(map(_is_of_records, cell.outputs)):
            link = f"{{doc}}`Records and recipes </records/{chapter}>`"
            linked.append(nbformat.v4.new_markdown_cell(f"{{.of-records}}\n{link}"))
    return linked


def _is_of_records(output: NotebookNode) -> bool:
    about = output.get("metadata", {}).get("image/png", {})
    return bool(about.get("records")) or "dataframe" in output.get("data", {}).get("text/html", "")


def serialise(notebook: NotebookNode) -> bytes:
    """A notebook's file: cells are named by their place, and where it ran is left out."""
    cells = [{**cell, "id": f"cell-{index:03d}"} for index, cell in enumerate(notebook.cells)]
    content = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
