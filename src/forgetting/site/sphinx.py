"""The book's Sphinx extension: numbers in prose, and pages that ask no other host for anything.

`{{ "%.2f"|format(r.freezing.minutes) }}` in prose is read from the run records. A page that asks
for a number which no record holds gets a warning from MyST, and the book is built with warnings as
errors: a number on a page is measured, or the build stops. The one exception says so:
`r.definitions` holds invented examples and what is computed from them. `r.times` and
`r.conversation` are tables: how long the chapters take, and what a model said.
"""

import importlib.util
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import sphinx_thebe
from sphinx.application import Sphinx
from sphinx.config import Config

from forgetting.chapters import published
from forgetting.chapters.operation.conversation import NoConversation, exchanges
from forgetting.site import fonts, heads, times, worked_examples
from forgetting.views.conversation import conversation

MATHJAX_PACKAGE = "sphinx-mathjax-offline"  # its import name has hyphens too
THEBE = (sphinx_thebe.init_thebe_core, sphinx_thebe.update_thebe_context)
# docutils lists references as `doc-biblioentry`, which ARIA 1.3 has withdrawn: a list has items.
WITHDRAWN_ROLE, ROLE = 'role="doc-biblioentry"', 'role="listitem"'
# Jupyter Book always loads these two, and they do not say whether pages may be read side by side.
# They may: one acts when a PDF is made, the other numbers sections when every page has been read.
SILENT = ("sphinx_jupyterbook_latex", "sphinx_multitoc_numbering")


def setup(app: Sphinx) -> dict[str, Any]:
    app.parallel = os.cpu_count() or 1  # Jupyter Book has no switch for it
    # Nor one against Thebe, which adds to each page the address of a script at a CDN.
    for listeners in app.events.listeners.values():
        listeners[:] = [listener for listener in listeners if listener.handler not in THEBE]
    app.connect("config-inited", set_substitutions)
    app.connect("env-before-read-docs", allow_parallel_reading)
    app.connect("html-page-context", replace_roles)
    app.connect("html-page-context", heads.describe)
    app.connect("build-finished", write_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def set_substitutions(app: Sphinx, config: Config) -> None:
    # Sphinx stores this setting with its pages, so new values make it read every page again.
    values = published.book_values() | {"definitions": worked_examples.book_values()}
    with suppress(NoConversation):  # the page that asks for it warns, and the build stops
        values["conversation"] = conversation(exchanges()).data
    values["times"] = times.of_chapters(sorted(Path(app.srcdir, "notebooks").glob("*.ipynb")))
    config.myst_substitutions = {**config.myst_substitutions, "r": values}


def allow_parallel_reading(app: Sphinx, *_: Any) -> None:
    for name in SILENT:
        if name in app.extensions and app.extensions[name].parallel_read_safe is None:
            app.extensions[name].parallel_read_safe = True


def replace_roles(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    if "body" in context:
        context["body"] = context["body"].replace(WITHDRAWN_ROLE, ROLE)


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Put beside the pages what they ask for, and a map of them."""
    if exception is None and app.builder.format == "html":
        copy_mathjax(app)
        fonts.write(Path(app.outdir, "_static", "fonts"))
        heads.write_sitemap(app)


def copy_mathjax(app: Sphinx) -> None:
    """Put the one script named by `mathjax_path` into `_static`.

    The package's own extension copies its whole folder, ten times as much, and chooses the output
    that also needs font files. The SVG output draws its glyphs itself.
    """
    spec = importlib.util.find_spec(MATHJAX_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{MATHJAX_PACKAGE}: not installed, and pages need its MathJax")
    script = Path(app.config.mathjax_path)
    target = Path(app.outdir) / "_static" / script
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(spec.origin).parent / "static" / script, target)
