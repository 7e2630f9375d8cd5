"""The chapters: a folder each, with all of it but its prose.

`experiment.py` is its design, `views.py` what only it draws, `exercises.py` the tests of its
exercises, `claims.toml` what it judges. Those of a book in another folder (`FORGETTING_ROOT`) are
found there too.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from forgetting import home

if TYPE_CHECKING:
    from forgetting.experiments.experiment import Experiment


class UnknownChapter(ValueError):
    """No chapter has this name."""


def folders() -> dict[str, Path]:
    """The folder of each chapter, by name."""
    places = [Path(__file__).parent]
    root = home.folder("FORGETTING_ROOT")
    if root and (own := root / "src" / "forgetting" / "chapters").is_dir():
        if str(own) not in __path__:
            __path__.append(str(own))
        places.append(own)
    found = sorted(path.parent for place in places for path in place.glob("*/experiment.py"))
    return {folder.name: folder for folder in reversed(found)}


def names() -> list[str]:
    """All chapters."""
    return sorted(folders())


def experiment(name: str) -> Experiment:
    """A chapter's design. Raises `UnknownChapter`."""
    if name not in (known := folders()):
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
        raise UnknownChapter(f"chapter={name!r}: no such chapter; {hint}")
    return _experiment(name, known[name])


@lru_cache
def _experiment(name: str, folder: Path) -> Experiment:
    return import_module(f"forgetting.chapters.{name}.experiment").experiment
