"""A content-addressed store of weights and scores: atomic, checksummed.

One folder an entry, `<home>/store/<kind>/<key>/`, with a manifest that holds the sha256 of every
file. An entry appears by one rename, so a killed run leaves nothing half-written under a key. A
damaged entry is set aside and reported as missing, so that it is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError

from forgetting.checking import BadValue
from forgetting.home import home

MANIFEST = "manifest.json"
log = logging.getLogger(__name__)


class NotStored(OSError):
    """The disk is full, or the folder cannot be written to; nothing half-written is left."""


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
    """A key: 20 hexadecimal digits of the sha256 over a recipe's canonical JSON.

    Raises `BadValue` for a number that is not finite, and for what JSON cannot hold.
    """
    for name, value in _leaves(recipe):
        if isinstance(value, float) and not math.isfinite(value):
            raise BadValue(f"{name}={value}: a finite number is needed")
        if not isinstance(value, str | bool | int | float | None):
            raise BadValue(f"{name}={value!r}: no recipe holds a {type(value).__name__}")
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def get(kind: str, key: str) -> Path | None:
    """The folder of entry `key`, every file checked against its sha256; None where it is missing.

    A damaged entry is moved to `<home>/store/damaged/` with a warning and counts as missing.
    """
    folder = root() / kind / key
    if not folder.exists():
        return None
    damage = problem(folder)
    if damage is None:
        return folder
    set_aside(folder, f"{kind} {key}", damage)
    return None


def set_aside(path: Path, name: str, problem: str) -> None:
    """Move a damaged file or folder to `<home>/store/damaged/`, with a warning."""
    aside = root() / "damaged" / f"{name.replace(' ', '-')}-{uuid4().hex[:8]}"
    what = f"{name} is damaged ({problem})"
    try:
        aside.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            path.rename(aside)
        else:
            aside.mkdir()
            shutil.move(path, aside / path.name)  # records may lie on another disk
    except OSError as error:
        if path.exists():  # else another process was faster
            log.warning("%s and cannot be set aside (%s)", what, error.strerror)
        return
    log.warning("%s: set aside, will be computed again", what)


def put(kind: str, key: str, write: Callable[[Path], None]) -> Path:
    """Store what `write(folder)` leaves in `folder` under `key`, at once or not at all.

    Where another process stored the same key first, its entry stays: same key, same content.
    Raises `NotStored`.
    """
    final = root() / kind / key
    with explained(f"{kind} {key}", root()):
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=final.parent, prefix=".writing-"))
        try:
            write(scratch)
            note_files(scratch)
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
    """Write a small text file by rename, so that readers see the old or the new one, whole.

    Raises `NotStored`.
    """
    with explained(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.chmod(scratch, 0o644)
            os.replace(scratch, path)
        except BaseException:
            os.unlink(scratch)
            raise


def entries() -> Iterator[Entry]:
    """Everything stored, damaged entries included (kind `damaged`)."""
    for kind in sorted(p for p in root().glob("*") if p.is_dir()):
        for folder in sorted(kind.iterdir()):
            size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
            yield Entry(kind.name, folder.name, folder, size)


def clean(kinds: set[str] | None = None) -> int:
    """Delete the entries of `kinds` (all kinds by default) and leftovers; bytes freed.

    What a symbolic link points to is somebody else's: it stays, and so does the link.
    """
    freed = 0
    for entry in list(entries()):
        if entry.folder.is_symlink() or entry.folder.parent.is_symlink():
            continue
        if kinds is None or entry.kind in kinds or entry.key.startswith(".writing-"):
            shutil.rmtree(entry.folder)
            freed += entry.size
    return freed


def _leaves(value: Any, name: str = "recipe") -> Iterator[tuple[str, Any]]:
    """Every plain value of nested ones, with the name of its field."""
    if isinstance(value, Mapping):
        for field, inner in value.items():
            yield from _leaves(inner, str(field))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value


def note_files(folder: Path) -> None:
    """Write a folder's manifest: the sha256 of every file in it."""
    hashes = {path.name: sha256(path) for path in _files(folder)}
    (folder / MANIFEST).write_text(_manifest(hashes))


def problem(folder: Path) -> str | None:
    """What in a folder is not as its manifest says; None where all is."""
    try:
        text = (folder / MANIFEST).read_text()
        hashes = json.loads(text)
        if text != _manifest(hashes):
            return f"{MANIFEST} is not as it was written"
        for name, expected in hashes.items():
            if sha256(folder / name) != expected:
                return f"{name} does not match its sha256"
        for path in _files(folder):
            if path.name not in hashes:
                return f"{path.name} was not there"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _files(folder: Path) -> list[Path]:
    """What a manifest lists: all but itself and hidden files, which desktops leave."""
    hidden = {MANIFEST, *(path.name for path in folder.glob(".*"))}
    return sorted(path for path in folder.iterdir() if path.name not in hidden)


def _manifest(hashes: dict[str, str]) -> str:
    return json.dumps(hashes, indent=1) + "\n"


@contextmanager
def explained(what: str, folder: Path) -> Iterator[None]:
    """Any failure to write `what` as one line that says what to do."""
    try:
        yield
    except NotStored:
        raise
    except (OSError, SafetensorError) as error:  # whose is a full disk too, without its number
        reason = getattr(error, "strerror", None) or error
        raise NotStored(
            f"{what} could not be written to {folder} ({reason}); what is stored "
            "can be read; free space with `forgetting clean`, or name another folder "
            "(FORGETTING_HOME for the cache, FORGETTING_RESULTS for records)"
        ) from error


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
