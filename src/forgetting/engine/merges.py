"""What a merge may ask of the models that it merges: how they score, what matters to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from statistics import fmean
from typing import Any

import torch
from accelerate.utils import send_to_device

from forgetting.checking import BadValue
from forgetting.engine.training import batch_of, loss_of
from forgetting.lineage import Checkpoint, Settings
from forgetting.merging import State
from forgetting.models.family import Family
from forgetting.models.parts import Part
from forgetting.models.rows import Row, example_row, rows_of
from forgetting.objectives import EWC, Objective
from forgetting.objectives.old import mean_gradient, moving_weights
from forgetting.tasks import Task

# Where a part's items begin; it has every second one.
PARTS = {"choose": 0, "report": 1}
LENGTH = 256  # tokens of an example


class Operands:
    """`merging.base.Tools` over weights and the checkpoints that they are of, the base first.

    Weights of no checkpoints have parts, and cannot be asked anything: `ValueError`.

    `load` makes the model of a checkpoint with given weights, in evaluation mode; models of these
    checkpoints are of one `family`. `say` gets a line whenever merged weights were scored.
    """

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        states: Sequence[State],
        load: Callable[[Checkpoint, State], Any],
        family: Callable[[], Family],
        say: Callable[[str], None] = print,
    ) -> None:
        self.checkpoints = checkpoints
        self.states = states
        self.load = load
        self.ask_family = family
        self.say = say
        self.tries = 0

    @cached_property
    def family(self) -> Family:
        return self.ask_family()

    @cached_property
    def model(self) -> Any:
        """The model that is asked: one, whose weights change."""
        return self.load(self.checkpoint(0), self.states[0])

    def checkpoint(self, operand: int) -> Checkpoint:
        if not self.checkpoints:
            raise BadValue("method: asks the models a task; call forgetting.merge in Python")
        return self.checkpoints[operand]

    def part(self, name: str) -> Part:
        return self.family.part(name)

    def nats(self, state: State, task: Task, part: str) -> list[float]:
        """The test items are asked as the first checkpoint's tokenizer and template ask them.

        "choose" are the first item, the third, and so on, "report" the others. Answers are cut
        where an item is longer than 256 tokens, and items without room for one are left out.
        Raises `ValueError` where nothing is left.
        """
        tokenizer = self.checkpoint(0).foundation.tokenizer()
        documents = task.documents("test")[: task.items][PARTS[part] :: 2]
        examples = [example_row(task.example(each), tokenizer, LENGTH) for each in documents]
        rows = [row for row in examples if row is not None]
        if not rows:
            raise ValueError(f"task={task.name!r}: no item of its part {part!r} has an answer")
        self.model.load_state_dict(dict(state), strict=False)
        scored = self.family.log_likelihoods(self.model, rows)
        nats = [-float(each.log_likelihoods.mean()) for each in scored]
        self.tries += 1
        self.say(f"try {self.tries}: {fmean(nats):.4f} nats a token of {task.name}")
        return nats

    def importance(self, operand: int, task: Task, examples: int) -> State:
        """On the first `examples` training examples in the order of seed 0, of 256 tokens each."""
        checkpoint = self.checkpoint(operand)
        model = self.load(checkpoint, self.states[operand])
        settings = Settings(style="sft", examples=examples, length=LENGTH)
        rows = rows_of(task, checkpoint.foundation.tokenizer(), settings, 0)
        with self.family.reader(model, keep=False, alone=True) as reader:

            def read(rows: list[Row], objective: Objective) -> torch.Tensor:
                batch = send_to_device(batch_of(rows, reader), model.device)
                return loss_of(model, reader, objective, batch, None)

            found = mean_gradient(moving_weights(model), rows, read, EWC.output, EWC.size)
        return {name: tensor.detach().cpu() for name, tensor in found.items()}
