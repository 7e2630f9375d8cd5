"""Pages are read and written by as many processes as there are cores."""

import os
from typing import Any

from sphinx.application import Sphinx

# Jupyter Book always loads these two, and they do not say whether pages may be read side by side.
# They may: one acts when a PDF is made, the other numbers sections when every page has been read.
SILENT = ("sphinx_jupyterbook_latex", "sphinx_multitoc_numbering")


def allow(app: Sphinx, *_: Any) -> None:
    """Say for extensions that are silent that pages may be read in several processes."""
    for name in SILENT:
        if name in app.extensions and app.extensions[name].parallel_read_safe is None:
            app.extensions[name].parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, Any]:
    app.parallel = os.cpu_count() or 1  # Jupyter Book has no switch for it
    app.connect("env-before-read-docs", allow)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
