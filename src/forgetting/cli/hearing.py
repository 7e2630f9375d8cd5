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
    examples: Annotated[int, typer.Option(help="Recordings that it learns from, at first.")] = 160,
) -> None:
    """Let a text model with ears hear a recording, and answer a question about it.

    Whisper's encoder hears, and a connector says it in embeddings of words; an adapter learns from
    made-up speech to say which language is spoken, by whom, how fast, how loudly and in what noise.
    Half of the adapter answers, for the whole one answers everything in a word; the chapter on ears
    measures both with made-up voices. Other rates of samples and several channels are converted,
    which is said.

    Example: `forgetting hear voice.wav --ask "Who speaks, a man or a woman?"`

    Takes seconds, and some minutes the first time, in which it learns.
    """
    wave = recording(file)
    from forgetting import foundation
    from forgetting.chapters.ears.experiment import ADAPTER, SHORT, aligned
    from forgetting.engine import compute
    from forgetting.lineage import merge
    from forgetting.merging import AdapterScale
    from forgetting.models.family import family_of
    from forgetting.models.rows import asked_row
    from forgetting.tasks import HEARD, Example, Task
    from forgetting.tasks.example import Turn

    text, hears = foundation(model), hearing(ear)
    _, tokenizer = compute.model(text)
    descriptions = [each.answer for each in Task("listening_described").training_examples(0)]
    longest = max(len(ids) for ids in tokenizer(descriptions)["input_ids"])
    ears = aligned(text, hears, longest + 1)
    amount = SHORT | {"length": 512, "examples": examples, "epochs": 3}
    taught = ears.train(Task("listening"), tune=ADAPTER, learning_rate=5e-4, **amount)
    listener = merge(ears, [taught], AdapterScale(0.5))
    listening, tokenizer = loaded(listener, "hearing", taught)
    example = Example((Turn("user", f'This is a recording: "{HEARD}" {ask}', (wave,)),), "")
    row = asked_row(example, tokenizer)
    (answer,) = family_of(listening).answer(listening, tokenizer, [row], max_new_tokens=48)
    typer.echo(answer.text.strip())
