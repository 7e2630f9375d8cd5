"""The command that lets a model with ears hear a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forgetting.cli.recordings import hearing, loaded, recording

app = typer.Typer()


@app.command(no_args_is_help=True)
def hear(
    file: Annotated[Path, typer.Argument(help="A recording: WAV, FLAC, OGG or MP3, at most 30 s.")],
    ask: Annotated[str, typer.Option(help="What is asked about it.")] = "Which language is it?",
    model: Annotated[str, typer.Option(help="The text model that answers.")] = "smollm2-135m",
    ear: Annotated[str, typer.Option(help="The Whisper whose encoder hears.")] = "whisper-base",
    examples: Annotated[int, typer.Option(help="Recordings that it learns from, at first.")] = 480,
) -> None:
    """Let a text model with ears hear a recording, and answer a question about it.

    Whisper's encoder hears; a connector and an adapter learn from made-up speech to say which
    language is spoken, by whom, how fast, how loudly and in what noise. How much they hear has not
    been measured yet: take the answer as a demonstration. Other rates of samples and several
    channels are converted, which is said.

    Example: `forgetting hear voice.wav --ask "Who speaks, a man or a woman?"`

    Takes seconds, and some minutes the first time, in which it learns.
    """
    wave = recording(file)
    from forgetting import foundation
    from forgetting.models.connectors import Statistics
    from forgetting.models.family import family_of
    from forgetting.models.rows import asked_row
    from forgetting.tasks import HEARD, Example, Task
    from forgetting.tasks.example import Turn
    from forgetting.tuning import LoRA

    ears = foundation(model).graft(hearing(ear), Statistics())
    tune = LoRA(dropout=0, whole=("connector",))
    amount = {"style": "sft", "length": 512, "batch": 8, "examples": examples, "epochs": 3}
    listener = ears.train(Task("listening"), tune=tune, learning_rate=1e-4, **amount)
    listening, tokenizer = loaded(listener, "hearing")
    example = Example((Turn("user", f'This is a recording: "{HEARD}" {ask}', (wave,)),), "")
    row = asked_row(example, tokenizer)
    (answer,) = family_of(listening).answer(listening, tokenizer, [row], max_new_tokens=48)
    typer.echo(answer.text.strip())
