"""Sounds written down, in rooms, by a recogniser or by one that adapts; resumable anywhere.

What was written and what the listener remembers are kept in one file beside the store, replaced at
once every few sounds: a stream that was killed goes on from there, to the same bytes.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import save_file

from forgetting import checking, home, store
from forgetting.engine import compute
from forgetting.lineage import Adapt, Checkpoint
from forgetting.models import transcripts
from forgetting.models.family import family_of
from forgetting.probes import playing
from forgetting.probes.measures import OfTask
from forgetting.probes.scores import Sample, Scores
from forgetting.tasks import transcription
from forgetting.tasks.rooms import Room

KIND, KEPT, DIGITS = "dictated", "dictated.safetensors", 5
OFTEN = 10  # sounds between two files


class Utterance(NamedTuple):
    """A document's number and the room that it is heard in."""

    item: int
    room: Room


class Written(NamedTuple):
    """A transcript, and whether the decoder that wrote it looped."""

    text: str
    looped: bool = False


@dataclass(frozen=True)
class Dictation(OfTask):
    """A task's test sounds in an order drawn from `order`, written down one after another.

    They are heard in `rooms` ("babble 10"), another one every `every` sounds, and round again; 0
    stays in the first. `length` sounds in all, documents again where there are fewer; 0: each once.

    Items stand in the task's own order, `place` is where in the stream. Their `wer` and `cer` are
    errors over the mean number of words, or characters, of an item, so that the mean over items is
    the rate of the whole; `looped` is 1 where Whisper's decoder looped. A stream's sounds in one
    room are a block of the interval. `language` is the one that Whisper is told.
    """

    rooms: tuple[str, ...] = ("quiet",)
    every: int = 0
    length: int = 0
    order: int = 0
    language: str | None = None

    def __post_init__(self) -> None:
        if not self.rooms:
            raise checking.BadValue("rooms=(): name at least one, such as quiet")
        for room in self.rooms:
            Room.of(room)
        for name in ("every", "length", "order"):
            checking.whole(name, getattr(self, name))

    @property
    def name(self) -> str:
        more = [f"every {self.every}"] * bool(self.every) + [f"order {self.order}"]
        return f"{self.task.name}:{', '.join([*self.rooms, *more])}"

    def test_recipe(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("every", "length", "order", "language")}
        return self.task.test_recipe() | {"task": self.name, "dictation": 1, **own}

    recipe = test_recipe

    def utterances(self) -> list[Utterance]:
        """What is heard, in order: each document once before one comes again."""
        count, draw = len(self.documents()), random.Random(f"dictation {self.order}")
        numbers: list[int] = []
        while len(numbers) < (self.length or count):
            numbers += draw.sample(range(count), count)
        rooms = [Room.of(name) for name in self.rooms]
        return [
            Utterance(number, rooms[(place // self.every if self.every else 0) % len(rooms)])
            for place, number in enumerate(numbers[: self.length or count])
        ]

    def waves(self) -> list[np.ndarray]:
        """Each utterance as it is heard, (samples,) float32."""
        clean = [self.task.example(d).turns[-1].frames[0] for d in self.documents()]
        return [
            room.heard(clean[item], item, [*clean[:item], *clean[item + 1 :]])
            for item, room in self.utterances()
        ]

    def watches(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint is asked as a System, and not as weights."""
        return playing.watches(self, checkpoint)

    def scores(
        self, checkpoint: Checkpoint, model: Any, tokenizer: Any
    ) -> tuple[Scores, list[Sample]]:
        """A System listens with a model of its own: what it moves nobody else reads.

        One with a stream of its own of this kind tells what became of that, whatever its order.
        """
        step = checkpoint.step
        if not (isinstance(step, Adapt) and self.watches(checkpoint)):
            write = self.writer(model, tokenizer)
            return self._scored([write(wave) for wave in self.waves()])
        own = step.stream if isinstance(step.stream, Dictation) else self
        return own._scored(own._by_system(Checkpoint(Adapt(step.parent, step.how)))[0])

    def writer(self, model: Any, tokenizer: Any) -> Callable[[Any], Written]:
        """What a recogniser that stays as it is makes of a waveform."""
        if model.config.model_type == "whisper":

            def whisper(wave: Any) -> Written:
                sound = transcripts.encoded(model, wave)
                found = transcripts.transcribe(model, tokenizer, sound, self.language)
                return Written(found.text, found.looped)

            return whisper
        family = family_of(model)
        return lambda wave: Written(
            family.answer(model, tokenizer, [{"frames": [wave]}], max_new_tokens=1)[0].text
        )

    def weights(self, step: Adapt) -> dict[str, Any]:
        """All weights that a System's own stream left, by name."""
        _, state = self._by_system(Checkpoint(Adapt(step.parent, step.how)))
        moved = {n.removeprefix("weight "): t for n, t in state.items() if n.startswith("weight ")}
        return compute.state(step.parent) | moved

    def _by_system(self, checkpoint: Checkpoint) -> tuple[list[Written], dict[str, torch.Tensor]]:
        key = store.hash_key({"of": checkpoint.key, "probe": self.test_recipe()})
        if folder := store.get(KIND, key):
            return read(folder / KEPT)
        compute.refuse_while_rendering(f"stream of {checkpoint.key}")
        begun = home.home() / "begun" / f"{key}.safetensors"
        begun.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{begun}.lock"):
            if (folder := store.get(KIND, key)) is None:
                step: Any = checkpoint.step
                listener = step.how.begin(*compute.model(step.parent))
                listen(listener, self.waves(), [u.room for u in self.utterances()], begun)
                folder = store.put(KIND, key, lambda made: _moved_into(made, begun))
                begun.unlink()
        return read(folder / KEPT)

    def _scored(self, written: Sequence[Written]) -> tuple[Scores, list[Sample]]:
        heard, documents = self.utterances(), self.documents()
        in_order = sorted(range(len(heard)), key=lambda place: (heard[place].item, place))
        texts = [self.task.example(documents[heard[place].item]).answer for place in in_order]
        said = [written[place] for place in in_order]
        items: dict[str, list[float]] = {}
        for name, count in (("wer", transcription.words), ("cer", transcription.characters)):
            found = [count(text, each.text) for text, each in zip(texts, said, strict=True)]
            mean = sum(errors.said for errors in found) / len(found)
            items[name] = [round(errors.wrong / mean, DIGITS) for errors in found]
        items["looped"] = [float(each.looped) for each in said]
        items["place"] = [float(place) for place in in_order]
        blocks = [place // self.every for place in in_order] if self.every else None
        samples = [
            Sample(task=self.name, prompt=f"{heard[place].room.name}: {text}", answer=each.text)
            for place, text, each in zip(in_order, texts, said, strict=True)
        ]
        return self.scores_of(self.name, items, blocks=blocks), samples


def listen(
    listener: Any, waves: Sequence[Any], rooms: Sequence[Any], kept: Path, often: int = OFTEN
) -> None:
    """Let a listener write down all waves; `kept` holds how far it came, and in the end all.

    A listener that can be told is told where a room begins that is not the last one.
    """
    written: list[Written] = []
    if kept.exists():
        written, state = read(kept)
        listener.resume(state)
    for place in range(len(written), len(waves)):
        if place and rooms[place] != rooms[place - 1]:
            listener.changed()
        written.append(Written(listener.answer(waves[place])))
        if (place + 1) % often == 0 and place + 1 < len(waves):
            _keep(kept, written, listener.state())
    _keep(kept, written, listener.state())


def _keep(path: Path, written: Sequence[Written], state: dict[str, torch.Tensor]) -> None:
    scratch = path.with_suffix(".writing")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(tensors, scratch, metadata={"written": json.dumps(written, ensure_ascii=False)})
    os.replace(scratch, path)


def read(path: Path) -> tuple[list[Written], dict[str, torch.Tensor]]:
    """What was written so far, and what the listener remembered then."""
    with safe_open(path, framework="pt") as file:
        written = [Written(*each) for each in json.loads(file.metadata()["written"])]
        return written, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _moved_into(folder: Path, file: Path) -> None:
    (folder / KEPT).write_bytes(file.read_bytes())
