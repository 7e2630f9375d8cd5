"""Laying out the source of the book: prose, executed notebooks and generated pages."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from forgetting.site import run_card
from forgetting.site.book.executing import executed
from forgetting.site.book.normalising import give_ids, serialise
from forgetting.site.book.shared import BookError, toc_entries
from forgetting.site.markup import PageError
from forgetting.site.pages import cards, explorer, pages


def stage(root: Path) -> Path:
    """Lay out `build/source` and return it; a file whose bytes did not change is left untouched.

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
    _sync(source, files)
    return source


def with_records(cells: Iterable[NotebookNode], chapter: str) -> list[NotebookNode]:
    """`cells`, and below each figure and table that was made from records a link to these."""
    found: list[NotebookNode] = []
    for cell in cells:
        found.append(cell)
        if cell.cell_type == "code" and any(map(_is_of_records, cell.outputs)):
            link = f"{{doc}}`Records and recipes </records/{chapter}>`"
            found.append(nbformat.v4.new_markdown_cell(f"{{.of-records}}\n{link}"))
    give_ids(found)
    return found


def _is_of_records(output: NotebookNode) -> bool:
    told = output.get("metadata", {}).get("image/png", {})
    return bool(told.get("records")) or "dataframe" in output.get("data", {}).get("text/html", "")


def _sync(folder: Path, files: Mapping[Path, bytes]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder) not in files:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
