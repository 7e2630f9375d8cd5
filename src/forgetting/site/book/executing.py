"""Executing notebooks, each once for the same code, records and library.

Jupyter Book's own cache (jupyter-cache) knows a notebook by its code alone: after a new record or a
change of the library its pages would go on showing old outputs.
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

import nbclient
import nbformat
from nbformat import NotebookNode

from forgetting import registry
from forgetting.site.book.normalising import normalise
from forgetting.site.markup import BookError

LIBRARY = Path(__file__).parents[2]  # the folder of the package `forgetting`
PACKAGES = ("nbclient", "ipykernel", "ipython", "matplotlib", "seaborn", "pandas", "numpy", "scipy")
ENVIRONMENT = {
    "FORGETTING_RENDER": "1",  # the library refuses to train
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "0",  # matplotlib writes no date into its files
}


def executed(notebooks: Sequence[Path], root: Path, cwd: Path) -> list[NotebookNode]:
    """The notebooks with their outputs: run in fresh kernels unless the same code ran before.

    Several run side by side, a kernel a core.
    """
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel before the user's
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(_executed, fingerprint(root), root, cwd), notebooks))


def fingerprint(root: Path) -> str:
    """Hash of all that a notebook's outputs depend on beside its own code."""
    at_hand = filter(registry.available, registry.names())  # with gold answers tables say more
    known = [sys.version, *map(version, PACKAGES), *at_hand]
    digest = hashlib.sha256(" ".join(known).encode())
    for folder in (LIBRARY, root / "results", root / "data"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"\0{path.relative_to(folder)}\0{content}".encode())
    return digest.hexdigest()


def _executed(library: str, root: Path, cwd: Path, path: Path) -> NotebookNode:
    page = nbformat.read(path, as_version=4)
    code = [cell for cell in page.cells if cell.cell_type == "code"]
    content = json.dumps([library, [[cell.source, cell.metadata] for cell in code]], sort_keys=True)
    outcomes = root / "build" / "executed" / f"{hashlib.sha256(content.encode()).hexdigest()}.json"
    if not outcomes.exists():
        normalise(execute(page, path.name, root, cwd), path.name, root)
        outcomes.parent.mkdir(parents=True, exist_ok=True)
        unfinished = outcomes.with_suffix(".partial")
        unfinished.write_text(json.dumps(code))
        unfinished.rename(outcomes)
    for cell, outcome in zip(code, json.loads(outcomes.read_text()), strict=True):
        cell.update(nbformat.from_dict(outcome))
    return page


def execute(notebook: NotebookNode, name: str, root: Path, cwd: Path) -> NotebookNode:
    """Run a notebook in a fresh kernel of this environment. Raises `BookError`."""
    client = nbclient.NotebookClient(
        notebook,
        kernel_name="python3",
        coalesce_streams=True,  # how printed text is cut into messages depends on timing
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=CRITICAL"],  # not that it listens on TCP, not how it ends
    )
    try:
        environment = {**os.environ, **ENVIRONMENT, "FORGETTING_ROOT": str(root)}
        return client.execute(cwd=str(cwd), env=environment)
    except nbclient.exceptions.CellExecutionError as error:
        outputs = [cell.get("outputs", []) for cell in notebook.cells]
        index = next(i for i, shown in enumerate(outputs) if any("ename" in o for o in shown))
        first = notebook.cells[index].source.strip().splitlines()[0]
        last = f"{error.ename}: {error.evalue}".strip().splitlines()[-1]
        raise BookError(f"{name}, cell {index + 1} ({first}): {last}") from error
