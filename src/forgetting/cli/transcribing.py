"""The command that writes down a recording, before and after adapting to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forgetting.cli.recordings import hearing, loaded, recording

app = typer.Typer()
WAYS = {"suta": "SUTA", "sdpl": "SDPL"}


@app.command(no_args_is_help=True)
def listen(
    file: Annotated[Path, typer.Argument(help="A recording: WAV, FLAC, OGG or MP3, at most 30 s.")],
    adapt: Annotated[str, typer.Option(help="How it adapts to it: suta or sdpl.")] = "suta",
    steps: Annotated[int, typer.Option(help="Steps on the recording.")] = 10,
    rate: Annotated[float, typer.Option(help="Learning rate of these steps.")] = 1e-4,
    ear: Annotated[str, typer.Option(help="The Whisper that hears.")] = "whisper-tiny-en",
    examples: Annotated[int, typer.Option(help="Sentences that it learns to spell from.")] = 780,
) -> None:
    """Write down a recording, as the recogniser is and as it is after adapting to it.

    Whisper's encoder hears, and a head over it has learned from synthetic speech to write English
    letters. It adapts without being told what was said, and forgets again.

    Example: `forgetting listen voice.wav --adapt suta`

    Takes seconds, and minutes the first time, in which it learns to spell.
    """
    from forgetting.checking import BadValue
    from forgetting.wording import did_you_mean

    if adapt not in WAYS:
        hint = did_you_mean(adapt, list(WAYS), f"there are {', '.join(WAYS)}")
        raise BadValue(f"adapt={adapt!r}: no such way; {hint}")
    wave = recording(file)
    from forgetting import adaptation
    from forgetting.engine.spelling import Spell
    from forgetting.lineage import Checkpoint
    from forgetting.models.ctc import Characters
    from forgetting.tasks import Task

    how = getattr(adaptation, WAYS[adapt])(steps=steps, learning_rate=rate)
    whisper = hearing(ear)
    untaught = whisper.graft(whisper, Characters())
    recogniser = Checkpoint(Spell(untaught, Task("dictation"), examples=examples))
    listener = how.begin(*loaded(recogniser, "spelling"))
    typer.echo(f"before: {listener.weights.write(wave)}")
    typer.echo(f"{adapt}: {listener.answer(wave)}")
