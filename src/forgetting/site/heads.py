"""What pages say of themselves to those who only look: their description, a card, a map of all.

Addresses begin with `html_baseurl`. Without one the map's are relative, and cards have no picture,
since only a whole address finds it.
"""

import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from forgetting.site.markup import render

LONGEST = 160  # characters that a description may have before search engines cut it
SHORTEST = 40  # of a paragraph that describes a page: kickers and badges are shorter
PICTURE = "_static/card.png"


def describe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Add to the head of a page its description and its card."""
    if doctree is None:
        return
    book = app.config.html_title
    title = html.unescape(re.sub(r"<[^>]+>", "", context.get("title", "")))
    context["metatags"] = context.get("metatags", "") + render(
        "head.html.jinja",
        book=book,
        title=title,
        description=description(doctree) or title or book,
        address=app.config.html_baseurl and address(app, pagename),
        picture=f"{app.config.html_baseurl.rstrip('/')}/{PICTURE}",
    )


def description(doctree: nodes.document) -> str:
    """The first paragraph of running text, cut between words where it grows long."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if len(text) >= SHORTEST and isinstance(paragraph.parent, nodes.section):
            return text if len(text) <= LONGEST else text[: LONGEST - 2].rpartition(" ")[0] + " …"
    return ""


def address(app: Sphinx, pagename: str) -> str:
    """Where a page will lie: under `html_baseurl`, or relative to the site's top."""
    base = app.config.html_baseurl
    return (base.rstrip("/") + "/" if base else "") + app.builder.get_target_uri(pagename)


def write_sitemap(app: Sphinx) -> None:
    """Write `sitemap.xml` with every page."""
    addresses = [address(app, page) for page in sorted(app.env.found_docs)]
    text = render("sitemap.xml.jinja", addresses=addresses)
    Path(app.outdir, "sitemap.xml").write_text(text, encoding="utf-8")
