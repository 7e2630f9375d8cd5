"""Where things are: the environment's `FORGETTING_…` variables, read here and nowhere else.

`FORGETTING_HOME` is the cache (weights, scores, downloads), `FORGETTING_DATA` the data/ folder of
a package that is not installed from a clone, `FORGETTING_DATA_MIRROR` a folder of public data,
`FORGETTING_ROOT` the book, `FORGETTING_RESULTS` the records, `FORGETTING_METHODS` a folder of one's
own methods. `FORGETTING_RENDER` says that a book is being rendered, `FORGETTING_SCHEDULER` and
`FORGETTING_PROCESSES` where steps run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs


def setting(name: str) -> str:
    """The text of an environment variable; empty where it is not set."""
    return os.environ.get(name, "")


@contextmanager
def without(name: str) -> Iterator[None]:
    """Within it an environment variable is not set."""
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value


def folder(name: str) -> Path | None:
    """The absolute folder that an environment variable names, if it names one."""
    value = setting(name)
    return Path(value).expanduser().absolute() if value else None


def home() -> Path:
    """Where downloads and results are kept: `FORGETTING_HOME`, or the platform's cache folder."""
    return folder("FORGETTING_HOME") or Path(platformdirs.user_cache_dir("forgetting"))


def data_dir() -> Path:
    """`FORGETTING_DATA`, or the data/ folder beside src/. Raises `FileNotFoundError`."""
    path = folder("FORGETTING_DATA") or Path(__file__).parents[2] / "data"
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; set FORGETTING_DATA to a clone's data/")
    return path


def rendering() -> bool:
    """Whether a book is being rendered: only stored results may be shown, and nothing written."""
    return bool(setting("FORGETTING_RENDER"))
