"""What the commands that hear a recording share: the file, the ear, and the first time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from forgetting.lineage import Checkpoint


def recording(file: Path) -> Any:
    """(samples,) of a file; says what was converted. Raises `sounds.NoSound`."""
    from forgetting.tasks import sounds

    wave, done = sounds.read(file)
    for note in done:
        typer.echo(f"note: {file.name}: {note}", err=True)
    return wave


def hearing(name: str) -> Checkpoint:
    """The foundation that hears. Raises `BadValue` for one that does not."""
    from forgetting import foundation
    from forgetting.checking import BadValue
    from forgetting.engine import compute

    ear = foundation(name)
    if compute.configuration(ear).model_type != "whisper":
        raise BadValue(f"ear={name!r}: does not hear; name whisper-base or whisper-tiny-en")
    return ear


def loaded(taught: Checkpoint, what: str, made_from: Checkpoint | None = None) -> tuple[Any, Any]:
    """Its model and tokenizer; says so where that, or what it is made from, has to learn first."""
    from forgetting import store
    from forgetting.engine import compute

    if store.get("weights", (made_from or taught).key) is None:
        typer.echo(f"note: {what} is learned first, once: that takes minutes", err=True)
    return compute.model(taught)
