"""Pages that screen readers can walk through: roles that no longer exist are replaced."""

from typing import Any

from sphinx.application import Sphinx

# docutils lists references as `doc-biblioentry`, which ARIA 1.3 has withdrawn: a list has items.
ENTRY, ITEM = 'role="doc-biblioentry"', 'role="listitem"'


def replace_roles(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    if "body" in context:
        context["body"] = context["body"].replace(ENTRY, ITEM)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", replace_roles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
