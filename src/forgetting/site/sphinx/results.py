"""Numbers in prose: `{{ "%.2f"|format(r.freezing.minutes) }}` is read from the run records.

A page that asks for a number which no record holds gets a warning from MyST, and the book is built
with warnings as errors. So a number on a page is either measured or the build stops. The one
exception says so: `r.definitions` holds invented examples and what is computed from them.
`r.times` and `r.conversation` are tables: how long the chapters take, and what a model said.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from forgetting import home
from forgetting.chapters import published
from forgetting.chapters.operation.conversation import NoConversation
from forgetting.site import conversation, times, worked_examples


def values(root: Path) -> dict[str, Any]:
    """What `r` stands for in the book at `root`; empty when nothing has been run."""
    return published.book_values() if (root / "results").is_dir() else {}


def set_substitutions(app: Sphinx, config: Config) -> None:
    # Sphinx stores this setting with its pages, so new values make it read every page again.
    # Pages lie in <root>/build/source, which is where a build without FORGETTING_ROOT starts from.
    root = Path(home.setting("FORGETTING_ROOT") or Path(app.srcdir).parents[1])
    found = {**values(root), "definitions": worked_examples.book_values()}
    with suppress(NoConversation):  # the page that asks for it warns, and the build stops
        found["conversation"] = conversation.before_and_after()
    found["times"] = times.of_chapters(sorted(Path(app.srcdir, "notebooks").glob("*.ipynb")))
    config.myst_substitutions = {**config.myst_substitutions, "r": found}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", set_substitutions)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
