"""Numbers in prose: `{{ "%.2f"|format(r.freezing.full.lost) }}` is read from the run records.

A page that asks for a number which no record holds gets a warning from MyST, and the book is built
with warnings as errors. So a number on a page is either measured or the build stops.
"""

import importlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def values(root: Path) -> dict[str, Any]:
    """What `r` stands for in the book at `root`; empty when nothing has been run."""
    if not (root / "results").is_dir() or find_spec("forgetting.records") is None:
        return {}
    book_values = getattr(importlib.import_module("forgetting.records"), "book_values", None)
    return {} if book_values is None else dict(book_values(root))


def set_substitutions(app: Sphinx, config: Config) -> None:
    # Sphinx stores this setting with its pages, so new values make it read every page again.
    # Pages lie in <root>/build/source, which is where a build without FORGETTING_ROOT starts from.
    root = Path(os.environ.get("FORGETTING_ROOT") or Path(app.srcdir).parents[1])
    config.myst_substitutions = {**config.myst_substitutions, "r": values(root)}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", set_substitutions)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
