"""A content-addressed store of weights and scores: atomic, checksummed.

One folder an entry, `<home>/store/<kind>/<key>/`, with a manifest that holds the sha256 of every
file. An entry appears by one rename, so a killed run leaves nothing half-written under a key. A
damaged entry is set aside and reported as missing, so that it is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetting.registry import home

MANIFEST = "manifest.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One stored thing: what kind, under which key, how large in bytes."""

    kind: str
    key: str
    folder: Path
    size: int


def root() -> Path:
    """The store's folder: `FORGETTING_HOME` or the user's cache folder, then `store`."""
    return home() / "store"


def hash_key(recipe: dict[str, Any]) -> str:
    """A key: 20 hexadecimal digits of the sha256 over a recipe's canonical JSON."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def get(kind: str, key: str) -> Path | None:
    """The folder of entry `key`, every file checked against its sha256; None where it is missing.

    A damaged entry is moved to `<home>/store/damaged/` with a warning and counts as missing.
    """
    folder = root() / kind / key
    if not folder.exists():
        return None
    problem = _problem(folder)
    if problem is None:
        return folder
    aside = root() / "damaged" / f"{kind}-{key}-{time.time_ns()}"
    aside.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(aside)
    log.warning("%s %s is damaged (%s): set aside, will be computed again", kind, key, problem)
    return None


def put(kind: str, key: str, write: Callable[[Path], None]) -> Path:
    """Store what `write(folder)` leaves in `folder` under `key`, at once or not at all.

    Where another process stored the same key first, its entry stays: same key, same content.
    """
    final = root() / kind / key
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=final.parent, prefix=".writing-"))
    try:
        write(scratch)
        hashes = {path.name: _sha256(path) for path in sorted(scratch.iterdir())}
        (scratch / MANIFEST).write_text(json.dumps(hashes, indent=1) + "\n")
        for path in scratch.iterdir():
            _flush(path)
        try:
            scratch.rename(final)
        except OSError:
            if get(kind, key) is None:  # what stood there was damaged and is now set aside
                scratch.rename(final)
        _flush(final.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return final


def write_atomically(path: Path, text: str) -> None:
    """Write a small text file by rename, so that readers see the old or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=".writing-", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def entries() -> Iterator[Entry]:
    """Everything stored, damaged entries included (kind `damaged`)."""
    for kind in sorted(p for p in root().glob("*") if p.is_dir()):
        for folder in sorted(kind.iterdir()):
            size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
            yield Entry(kind.name, folder.name, folder, size)


def clean(kinds: set[str] | None = None) -> int:
    """Delete the entries of `kinds` (all kinds by default) and leftovers; bytes freed."""
    freed = 0
    for entry in list(entries()):
        if kinds is None or entry.kind in kinds or entry.key.startswith(".writing-"):
            shutil.rmtree(entry.folder)
            freed += entry.size
    return freed


def _problem(folder: Path) -> str | None:
    try:
        hashes = json.loads((folder / MANIFEST).read_text())
        for name, expected in hashes.items():
            if _sha256(folder / name) != expected:
                return f"{name} does not match its sha256"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
