"""Executing notebooks, each once for the same code, records and library."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from forgetting.site.book.fingerprints import execution_fingerprint, execution_key
from forgetting.site.book.normalising import give_ids, normalise, page_metadata, serialise
from forgetting.site.book.shared import BookError


def executed(notebooks: Sequence[Path], root: Path, cwd: Path) -> list[NotebookNode]:
    """The notebooks with their outputs: run by papermill unless the same code ran before.

    Several run side by side, a kernel a core.
    """
    fingerprint = execution_fingerprint(root)
    written = [nbformat.read(path, as_version=4) for path in notebooks]
    folder = root / "build" / "executed"
    cached = [folder / f"{execution_key(one, fingerprint)}.ipynb" for one in written]
    new = [pair for pair in zip(notebooks, cached, strict=True) if not pair[1].exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with _only_reading(root), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda pair: _run(root, cwd, *pair), new))
    found = [nbformat.read(path, as_version=4) for path in cached]
    return [with_prose(*pair) for pair in zip(found, written, strict=True)]


def _run(root: Path, cwd: Path, notebook: Path, cached: Path) -> None:
    fresh = normalise(execute(notebook, cwd), notebook.name, root)
    unfinished = cached.with_suffix(".partial")
    unfinished.write_bytes(serialise(fresh))
    unfinished.rename(cached)


def execute(path: Path, cwd: Path) -> NotebookNode:
    """Run a notebook in a fresh kernel of this environment."""
    import papermill  # imported late: it is needed only when a notebook has changed

    try:
        return papermill.execute_notebook(
            str(path),
            None,
            kernel_name="python3",
            cwd=str(cwd),
            progress_bar=False,
            extra_arguments=["--log-level=CRITICAL"],  # not that it listens on TCP, not how it ends
        )
    except papermill.PapermillExecutionError as error:
        last = f"{error.ename}: {error.evalue}".strip().splitlines()[-1]
        code = next((line for line in error.source.splitlines() if line.strip()), "")
        where = f"{path.name}, cell {error.cell_index + 1} ({code.strip()})"
        raise BookError(f"{where}: {last}") from error


@contextmanager
def _only_reading(root: Path) -> Iterator[None]:
    """What kernels that start meanwhile find in their environment."""
    before = dict(os.environ)
    os.environ |= {
        "FORGETTING_RENDER": "1",  # the library refuses to train
        "FORGETTING_ROOT": str(root),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel before one in the home folder
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": "0",  # matplotlib writes no date into its files
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def with_prose(executed: NotebookNode, notebook: NotebookNode) -> NotebookNode:
    """`executed` code cells between the markdown of `notebook`, where the same code was found."""
    code = iter([cell for cell in executed.cells if cell.cell_type == "code"])
    page = executed.copy()
    page.metadata = page_metadata(notebook.metadata)
    page.cells = [
        next(code) if cell.cell_type == "code" else cell.copy() for cell in notebook.cells
    ]
    give_ids(page.cells)
    return page
