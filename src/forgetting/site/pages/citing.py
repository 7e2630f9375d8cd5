"""How to cite the book: made from CITATION.cff, the one place where it is said."""

from pathlib import Path
from typing import Any

import yaml

from forgetting.site.markup import render


def page(root: Path) -> str:
    """The page, from the file at the top of the book."""
    text = (root / "CITATION.cff").read_text(encoding="utf-8")
    about = yaml.safe_load(text)
    return render("cite.md.jinja", about=about, bibtex=bibtex(about), text=text.rstrip())


def bibtex(about: dict[str, Any]) -> str:
    """A CITATION.cff's content as a BibTeX entry; the names of groups are kept whole by braces."""
    fields = {
        "author": " and ".join(map(_author, about["authors"])),
        "title": about["title"],
        "version": str(about["version"]),
        "year": str(about["date-released"])[:4],
        "license": about["license"],
        "url": about["repository-code"],
    }
    lines = (f"  {name:<7} = {{{value}}}" for name, value in fields.items())
    return "@software{forgetting,\n" + ",\n".join(lines) + "\n}"


def _author(author: dict[str, str]) -> str:
    if "name" in author:
        return f"{{{author['name']}}}"
    return f"{author['family-names']}, {author['given-names']}"
