"""Pages that ask no other host for anything: MathJax is copied in, Thebe is left out."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import sphinx_thebe
from sphinx.application import Sphinx

MATHJAX_PACKAGE = "sphinx-mathjax-offline"  # its import name has hyphens too


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Put the one script named by `mathjax_path` into `_static`.

    The package's own extension copies its whole folder, ten times as much, and chooses the output
    that also needs font files. The SVG output draws its glyphs itself.
    """
    if exception is not None or app.builder.format != "html":
        return
    spec = importlib.util.find_spec(MATHJAX_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{MATHJAX_PACKAGE}: not installed, and pages need its MathJax")
    script = Path(app.config.mathjax_path)
    source = Path(spec.origin).parent / "static" / script
    target = Path(app.outdir) / "_static" / script
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def leave_thebe_out(app: Sphinx) -> None:
    """Drop what Thebe adds to each page: the address of a script at a CDN, ready to be loaded.

    Jupyter Book always loads that extension and has no switch against it.
    """
    for listeners in app.events.listeners.values():
        listeners[:] = [
            one
            for one in listeners
            if one.handler not in (sphinx_thebe.init_thebe_core, sphinx_thebe.update_thebe_context)
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    leave_thebe_out(app)
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
