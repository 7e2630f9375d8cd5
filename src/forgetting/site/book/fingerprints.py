"""Hashes that tell what has to be done again: a notebook executed, a page read."""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nbformat import NotebookNode

from forgetting.site.book.normalising import VOLATILE

LIBRARY = Path(__file__).parents[2]  # the folder of the package `forgetting`
EXECUTING_PACKAGES = (
    "papermill",
    "nbclient",
    "ipykernel",
    "ipython",
    "matplotlib",
    "seaborn",
    "pandas",
    "numpy",
    "scipy",
)
RENDERING_PACKAGES = (
    "jupyter-book",
    "sphinx",
    "myst-nb",
    "myst-parser",
    "sphinx-book-theme",
    "pydata-sphinx-theme",
    "sphinx-exercise",
    "sphinx-mathjax-offline",
    "sphinxcontrib-bibtex",
)
SPEAKS_TO_OTHERS = re.compile(r'^[\s"]*(?:#|\(|:::|```)|\{')


def execution_fingerprint(root: Path) -> str:
    """Hash of all that a notebook's outputs depend on beside its own code."""
    library = sorted(LIBRARY.rglob("*.py"))
    records = sorted(path for name in ("results", "data") for path in (root / name).rglob("*"))
    digest = hashlib.sha256(_versions(EXECUTING_PACKAGES).encode())
    for folder, paths in ((LIBRARY, library), (root, records)):
        for path in paths:
            if path.is_file():
                digest.update(f"\0{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def execution_key(notebook: NotebookNode, fingerprint: str) -> str:
    """Hash of the code cells, with their tags and display options, and of `fingerprint`."""
    code = [
        [cell.source, {k: v for k, v in cell.metadata.items() if k not in VOLATILE}]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return hashlib.sha256(json.dumps([fingerprint, code], sort_keys=True).encode()).hexdigest()


def skeleton(source: Path) -> str:
    """Hash of the lines that may show on pages other than their own: headings, labels, roles."""
    digest = hashlib.sha256()
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(f"\0{path.relative_to(source).as_posix()}\0".encode())
        if path.suffix in (".md", ".ipynb"):
            lines = path.read_text(encoding="utf-8").splitlines()
            digest.update("\n".join(filter(SPEAKS_TO_OTHERS.search, lines)).encode())
        else:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def rendering_fingerprint(root: Path) -> str:
    """Hash of what changes how every page is read; what Sphinx itself notices is left out."""
    digest = hashlib.sha256(_versions(RENDERING_PACKAGES).encode())
    extensions = sorted((LIBRARY / "site" / "sphinx").glob("*.py"))
    bibliographies = sorted((root / "book").glob("*.bib"))
    for path in (root / "_config.yml", root / "_toc.yml", *extensions, *bibliographies):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _versions(packages: Iterable[str]) -> str:
    def installed(package: str) -> str:
        try:
            return f"{package}=={version(package)}"
        except PackageNotFoundError:
            return f"{package}: none"

    return "\n".join([sys.version.split()[0], *map(installed, packages)])
