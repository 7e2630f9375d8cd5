"""Stripping executed notebooks of what differs between two executions of the same code."""

import re
import sys
from pathlib import Path

from nbformat import NotebookNode

from forgetting.site.markup import BookError

MEMORY_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
STYLER_ID = re.compile(r"\bT_[0-9a-f]{5}(?=[\"_ ]|$)")  # pandas draws a new one for each table
WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGES = {"image/png", "image/svg+xml", "image/jpeg"}


def normalise(notebook: NotebookNode, name: str, root: Path) -> NotebookNode:
    """Strip stderr, widgets and the ids of pandas tables; alt texts move to where MyST-NB looks.

    Raises `BookError` for an absolute path or a memory address.
    """
    folders = {str(root), str(Path.home()), sys.prefix} - {"/", "/usr", "/usr/local"}
    local = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, folders))})(?=[/\s'\"]|$)")
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        where = f"{name}, cell {number}"
        shown = [output for output in cell.outputs if output.get("name") != "stderr"]
        cell.outputs = [output for output in shown if WIDGET not in output.get("data", {})]
        for index, output in enumerate(cell.outputs):
            _fix_table(output.get("data", {}), f"T_{number:03d}{index:02d}")
            for text in _texts(output):
                if path := local.search(text):
                    raise BookError(f"{where}: its output shows a path of this machine: {path[0]}")
                if address := MEMORY_ADDRESS.search(text):
                    raise BookError(f"{where}: its output shows a memory address: {address[0]}")
        _describe_images(cell, where)
    return notebook


def _fix_table(data: dict[str, str], identifier: str) -> None:
    if "text/html" in data:
        data["text/html"] = STYLER_ID.sub(identifier, data["text/html"])
        if "text/plain" in data:  # not shown, and a styled table's is its memory address
            data["text/plain"] = MEMORY_ADDRESS.sub("", data["text/plain"])


def _texts(output: NotebookNode) -> list[str]:
    data = output.get("data", {}).items()
    shown = [value for kind, value in data if kind.startswith("text/") or kind == "image/svg+xml"]
    return [output.get("text", ""), *shown, *output.get("traceback", [])]


def _describe_images(cell: NotebookNode, where: str) -> None:
    """Move the alt text that a figure was displayed with into the metadata of its cell."""
    alts: set[str] = set()
    for output in cell.outputs:
        data, about = output.get("data", {}), output.get("metadata", {})
        images = data.keys() & IMAGES
        if data.get("text/plain", "").startswith("<Figure size") and not images:
            raise BookError(f"{where}: a figure was shown as text; show it with figures.show")
        alts |= {about[kind]["alt"] for kind in images if about.get(kind, {}).get("alt")}
    if len(alts) > 1:
        raise BookError(f"{where}: shows figures with different alt texts; give each its own cell")
    for alt in alts:
        cell.metadata.setdefault("mystnb", {}).setdefault("image", {}).setdefault("alt", alt)
