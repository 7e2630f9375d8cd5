"""The chapters: a folder each, with all of it but its prose.

`experiment.py` is its design, `views.py` what only it draws, `exercises.py` the tests of its
exercises, `claims.toml` what it judges. Those of a book in another folder (`FORGETTING_ROOT`) are
found there too.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import TYPE_CHECKING

from forgetting import home
from forgetting.wording import did_you_mean

if TYPE_CHECKING:
    from forgetting.experiments.experiment import Experiment


class UnknownChapter(ValueError):
    """No chapter has this name."""


def folders() -> dict[str, Path]:
    """The folder of each chapter, by name."""
    designs = (path for place in _places() for path in place.glob("*/experiment.py"))
    return {path.parent.name: path.parent for path in designs}


def _places() -> list[Path]:
    """The folder of another book, and this one, from which Python imports as well."""
    here, root = Path(__file__).parent, home.folder("FORGETTING_ROOT")
    own = root / "src" / "forgetting" / "chapters" if root else here
    if own == here or not own.is_dir():
        return [here]
    if str(own) not in __path__:
        __path__.append(str(own))
        invalidate_caches()
    return [own, here]


def names() -> list[str]:
    """All chapters."""
    return sorted(folders())


def experiment(name: str) -> Experiment:
    """A chapter's design. Raises `UnknownChapter`."""
    if name not in (known := folders()):
        hint = did_you_mean(name, known, f"there are {', '.join(sorted(known))}")
        raise UnknownChapter(f"chapter={name!r}: no such chapter; {hint}")
    return _experiment(name, known[name])


@lru_cache
def _experiment(name: str, folder: Path) -> Experiment:
    return import_module(f"forgetting.chapters.{name}.experiment").experiment


_places()  # whoever imports a chapter of another book need not ask for the names first
