"""Stripping executed notebooks of what differs between two executions of the same code."""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from forgetting.site.book.shared import BookError

VOLATILE = ("papermill", "execution", "widgets", "collapsed", "vscode", "colab")
MEMORY_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
STYLER_ID = re.compile(r"\bT_[0-9a-f]{5}(?=[\"_ ]|$)")  # pandas draws a new one for each table
WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGES = ("image/png", "image/svg+xml", "image/jpeg")


def normalise(notebook: NotebookNode, name: str, root: Path) -> NotebookNode:
    """Strip what differs between two executions of the same code, so that their bytes are equal.

    Gone are papermill's and the kernel's timings, cell ids, stderr, widgets and the ids of pandas
    tables. An absolute path or a memory address cannot be repaired here: it is refused.
    """
    notebook.metadata = page_metadata(notebook.metadata)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    give_ids(notebook.cells)
    for number, cell in enumerate(notebook.cells, start=1):
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            where = f"{name}, cell {number}"
            cell.outputs = _joined_streams(out for out in cell.outputs if not _is_noise(out))
            for index, output in enumerate(cell.outputs):
                _fix_table_ids(output, f"T_{number:03d}{index:02d}")
                _refuse_local(output, where, root)
            _describe_images(cell, where)
    return notebook


def page_metadata(metadata: NotebookNode) -> NotebookNode:
    kept = {key: value for key, value in metadata.items() if key not in VOLATILE}
    kept["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    kept["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return nbformat.from_dict(kept)


def give_ids(cells: Iterable[NotebookNode]) -> None:
    for index, cell in enumerate(cells):
        cell["id"] = f"cell-{index:03d}"


def _is_noise(output: NotebookNode) -> bool:
    return output.get("name") == "stderr" or WIDGET in output.get("data", {})


def _joined_streams(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    # How printed text is cut into messages depends on timing.
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _texts(output: NotebookNode) -> list[str]:
    data = output.get("data", {}).items()
    shown = [value for kind, value in data if kind.startswith("text/") or kind == "image/svg+xml"]
    return [output.get("text", ""), *shown, *output.get("traceback", [])]


def _fix_table_ids(output: NotebookNode, identifier: str) -> None:
    data = output.get("data", {})
    if html := data.get("text/html"):
        data["text/html"] = STYLER_ID.sub(identifier, html)
        if "text/plain" in data:  # not shown, and a styled table's is its memory address
            data["text/plain"] = MEMORY_ADDRESS.sub("", data["text/plain"])


def _refuse_local(output: NotebookNode, where: str, root: Path) -> None:
    folders = {str(root), str(Path.home()), sys.prefix} - {"/", "/usr", "/usr/local"}
    either = "|".join(map(re.escape, folders))
    local = re.compile(rf"(?<![\w./-])(?:{either})(?=[/\s'\"]|$)")
    for text in _texts(output):
        if found := local.search(text):
            raise BookError(f"{where}: its output shows a path of this machine: {found[0]}")
        if found := MEMORY_ADDRESS.search(text):
            raise BookError(f"{where}: its output shows a memory address: {found[0]}")


def _describe_images(cell: NotebookNode, where: str) -> None:
    """Move the alt text that a figure was displayed with to where MyST-NB looks for it."""
    for output in cell.outputs:
        data = output.get("data", {})
        if data.get("text/plain", "").startswith("<Figure size") and not data.keys() & set(IMAGES):
            raise BookError(f"{where}: a figure was shown as text; show it with figures.show")
    texts = {
        about["alt"]
        for output in cell.outputs
        for kind, about in output.get("metadata", {}).items()
        if kind in IMAGES and about.get("alt")
    }
    if len(texts) > 1:
        raise BookError(f"{where}: shows figures with different alt texts; give each its own cell")
    for alt in texts:
        cell.metadata.setdefault("mystnb", NotebookNode()).setdefault("image", NotebookNode())
        cell.metadata.mystnb.image.setdefault("alt", alt)


def serialise(notebook: NotebookNode) -> bytes:
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
