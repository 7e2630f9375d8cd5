"""A System at work on a stream: question, answer, one bit, and so on; resumable at every question.

What was answered is kept line by line beside the store. A System follows from what it was told, so
that an interrupted stream is told to a new one, and goes on where it stood, to the same end.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from forgetting import home, store
from forgetting.engine import compute
from forgetting.lineage import Adapt, Checkpoint
from forgetting.models import agreement, template
from forgetting.models.family import family_of
from forgetting.models.growing_prompt import GrowingPrompt
from forgetting.models.rows import Row, asked_row, continued, example_row, shortened
from forgetting.models.sampling import Sampler
from forgetting.tasks import Example, Task

LONGEST = 2048  # tokens of a prompt, where the model reads as many; the last ones count
KIND, ANSWERS, MOVED = "played", "told.jsonl", "changed.safetensors"


class Told(NamedTuple):
    """An item of the task: its answer, whether it was right, remembered answers in the prompt.

    `nats` are the log-likelihoods of all answers that there are; empty where they are not known.
    """

    item: int
    answer: str
    right: bool
    shots: int
    nats: tuple[float, ...]


@dataclass
class Writer:
    """What a model answers to the prompts of a task: freely, or the likeliest of `labels`."""

    model: Any
    tokenizer: Any
    task: Task
    labels: Sequence[str] = ()
    example: Example = field(default_factory=lambda: Example.of("", ""))  # the stream's next one
    nats: tuple[float, ...] = ()
    _prompts: GrowingPrompt | None = None

    @property
    def prompts(self) -> GrowingPrompt:
        if self._prompts is None:
            self._prompts = GrowingPrompt(self.model)
        return self._prompts

    def __call__(self, prompt: str, draw: float | None = None) -> str:
        if self.labels:
            scored = self.prompts.log_likelihoods([*self.choices(prompt).values()])
            self.nats = tuple(round(float(s.log_likelihoods.double().sum()), 5) for s in scored)
            return self.labels[_chosen(self.nats, draw)]
        settings = self.task.config["generation_kwargs"]
        new, heat = settings["max_gen_toks"], 0.0 if draw is None else 1.0
        until = [string for string in settings.get("until", ()) if string]
        asked, seed = self._asked(prompt, new), int((draw or 0) * 2**31)
        if agreement.fast(self.model):
            sampler = Sampler(self.model, self.tokenizer, new, until, heat, None, None)
            ids = asked["input_ids"].tolist()
            return self.prompts.answer(sampler, ids, seed).text.strip()
        (completion,) = family_of(self.model).answer(
            *(self.model, self.tokenizer, [asked]),
            max_new_tokens=new,
            until=until,
            temperature=heat,
            seeds=[seed],
        )
        return completion.text.strip()

    def row(self, prompt: str, answer: str) -> Row:
        row = example_row(self.example.asking(prompt).answered(answer), self.tokenizer, LONGEST)
        if row is None:
            raise ValueError(f"prompt: fills {LONGEST} tokens; ask shorter questions")
        return row

    def choices(self, prompt: str) -> dict[str, Row]:
        example = self.example.asking(prompt)
        before = template.prompt(self.tokenizer, example)
        delimiter = "" if example.chat else example.delimiter
        answers = {
            label: template.answer_ids(self.tokenizer, before, delimiter + label)
            for label in self.labels
        }
        asked = self._asked(prompt, max(map(len, answers.values()), default=1))
        rows = {label: continued(asked, written) for label, written in answers.items()}
        return {label: row for label, row in rows.items() if row is not None}

    def _asked(self, prompt: str, new: int) -> Row:
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", LONGEST)
        row = asked_row(self.example.asking(prompt), self.tokenizer)
        return shortened(row, min(LONGEST, positions) - new)


def _chosen(nats: Sequence[float], draw: float | None) -> int:
    """The place of the likeliest answer, or where `draw` falls among the answers' shares."""
    if draw is None:
        return max(range(len(nats)), key=nats.__getitem__)
    most = max(nats)
    left = draw * math.fsum(math.exp(each - most) for each in nats)
    for place, each in enumerate(nats):
        left -= math.exp(each - most)
        if left < 0:
            return place
    return len(nats) - 1


def listen(
    how: Any,
    write: Writer,
    order: Sequence[int],
    before: Sequence[Told] = (),
    keep: Callable[[Told], None] = lambda told: None,
) -> list[Told]:
    """Put the documents of these numbers to a System, or, where `how` is None, to the model.

    What was told `before` is told again and not asked again. `keep` gets each item once its answer
    is known. Raises `ValueError` for a task whose answers nobody grades.
    """
    documents = write.task.documents("test")
    listener = how.begin(write.model, write.tokenizer, write) if how else None
    told = []
    for place, number in enumerate(order):
        document = documents[number]
        write.example = write.task.example(document)
        question = write.example.question
        if place < len(before):
            now = before[place]
        else:
            write.nats = ()
            answer = (listener.answer if listener else write)(question)
            right = write.task.is_right(document, answer)
            if right is None:
                raise ValueError(f"task={write.task.name!r}: its answers are not graded")
            now = Told(number, answer, bool(right), getattr(listener, "used", 0), write.nats)
            keep(now)
        if listener:
            listener.learn(question, now.answer, now.right)
            if getattr(how, "tune", None) is not None:
                write.prompts.forget()
        told.append(now)
    return told


def heard(step: Adapt, task: Task, labels: Sequence[str], order: Sequence[int]) -> list[Told]:
    """What became of a System's own stream, in its order; put to it where nothing is stored."""
    lines = (_folder(step, task, labels, order) / ANSWERS).read_text(encoding="utf-8")
    return _read(lines)


def left(step: Adapt, task: Task, labels: Sequence[str], order: Sequence[int]) -> dict[str, Any]:
    """All weights that a System's own stream left, by name."""
    folder = _folder(step, task, labels, order)
    how: Any = step.how
    state = compute.state(step.parent)
    return compute.laid(step.parent, how.tune, load_file(folder / MOVED), state)


def _folder(step: Adapt, task: Task, labels: Sequence[str], order: Sequence[int]) -> Path:
    key = Checkpoint(step).key
    if folder := store.get(KIND, key):
        return folder
    compute.refuse_while_rendering(f"stream of {key}")
    journal = home.home() / "begun" / f"{key}.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{journal}.lock"):
        if folder := store.get(KIND, key):  # another process was faster
            return folder
        return _put(step, Writer(*compute.model(step.parent), task, labels), order, journal)


def _put(step: Adapt, write: Writer, order: Sequence[int], journal: Path) -> Path:
    """Put the stream to the System from where the journal ends, and store what became of it."""
    how: Any = step.how
    tune = getattr(how, "tune", None)
    if tune is not None:
        torch.manual_seed(getattr(how, "seed", 0))  # adapters start from random numbers
        write.model = tune.apply(write.model).eval()
    before = _begun(journal)
    with journal.open("a", encoding="utf-8") as lines:

        def keep(told: Told) -> None:
            lines.write(_line(told))
            lines.flush()
            os.fsync(lines.fileno())

        told = listen(how, write, order, before, keep)

    def fill(folder: Path) -> None:
        (folder / ANSWERS).write_text("".join(map(_line, told)), encoding="utf-8")
        if tune is not None:
            moved = compute.moved_by(tune, write.model)
            save_file({name: t.contiguous() for name, t in moved.items()}, folder / MOVED)

    folder = store.put(KIND, Checkpoint(step).key, fill)
    journal.unlink()
    return folder


def _begun(journal: Path) -> list[Told]:
    """What a journal holds; a last line that was not finished is cut off it."""
    if not journal.exists():
        return []
    text = journal.read_text(encoding="utf-8", errors="ignore")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        store.write_atomically(journal, whole)
    return _read(whole)


def _line(told: Told) -> str:
    return json.dumps(told, ensure_ascii=False) + "\n"


def _read(lines: str) -> list[Told]:
    rows = (json.loads(line) for line in lines.split("\n") if line)
    return [Told(i, answer, right, n, tuple(nats)) for i, answer, right, n, nats in rows]


def watches(probe: Any, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is asked as a System by a stream, and not as weights.

    One with a stream of its own is where that is the same stream, in whatever order.
    """
    step = checkpoint.step
    if not isinstance(step, Adapt) or step.stream is None:
        return isinstance(step, Adapt)
    own: Any = step.stream
    return isinstance(own, type(probe)) and replace(own, order=probe.order) == probe


def in_blocks(count: int, block: int, order: int) -> list[int]:
    """The numbers of `count` items in an order drawn from `order`.

    With a `block`, so many neighbours stay together: blocks are shuffled, and what stands in each.
    """
    draw = random.Random(f"stream {order}")
    if not block:
        places = list(range(count))
        draw.shuffle(places)
        return places
    groups = [list(range(at, min(at + block, count))) for at in range(0, count, block)]
    draw.shuffle(groups)
    for group in groups:
        draw.shuffle(group)
    return [number for group in groups for number in group]
