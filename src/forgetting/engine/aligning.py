"""A connector that learns to say what it hears in the words' own embeddings.

A step of its own, for the text model is never run: what it embeds the description of a sound as is
all that is asked of it. Denisov and Vu (2024, arXiv 2404.10922, from notes) begin so, with
CTC over all of a transcript where this has an embedding for each word of a description.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional

from forgetting import checking
from forgetting.engine import compute
from forgetting.lineage import Checkpoint, Step
from forgetting.models.family import family_of, on_device
from forgetting.tasks import Task

WARMTH = 0.1  # cosines are divided by it


@dataclass(frozen=True)
class Align(Step):
    """`parent`, of family listening; each embedding of a sound nears a word's of its description.

    `shown` has a description as answer to every sound. One with fewer tokens than a sound has
    embeddings is filled up with its last. AdamW down the cross-entropy of which of the
    descriptions' tokens is meant, by cosine, and the squared distance to its embedding; the rate
    falls evenly. With `examples` only so many sounds, drawn. Raises `checking.BadValue` for a
    description with more tokens than a sound has embeddings.
    """

    kind: ClassVar[str] = "align"
    doing: ClassVar[str] = "aligning"

    parent: Checkpoint
    shown: Task
    epochs: int = 30
    learning_rate: float = 1e-3
    batch: int = 32
    examples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checking.whole("epochs", self.epochs, 1)
        checking.whole("batch", self.batch, 1)
        checking.seed(self.seed)
        if self.examples is not None:
            checking.whole("examples", self.examples, 1)
        if not 0 < self.learning_rate < 1:
            raise checking.BadValue(f"learning_rate={self.learning_rate}: one between 0 and 1")

    @property
    def costs(self) -> bool:
        return True

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.parent,)

    def text(self, *parents: str) -> str:
        return f"align({parents[0]}, {self.shown.name!r}, {self.learning_rate:g})"


@compute.weights.register
def _align(step: Align) -> dict[str, torch.Tensor]:
    loaded, tokenizer = compute.model(step.parent)
    model: Any = loaded
    family: Any = family_of(model)
    model.requires_grad_(False)
    model.connector.requires_grad_(True)
    examples = list(step.shown.training_examples(step.seed))[: step.examples]
    waves = [example.turns[-1].frames[0] for example in examples]
    words = [
        _tokens(tokenizer, example.answer, family.places(model, wave))
        for example, wave in zip(examples, waves, strict=True)
    ]
    heard = on_device(family.heard(model, waves), model)
    model.connector.settle(**heard)
    meant, known = _among([token for each in words for token in each])
    wanted = torch.tensor(known).split([len(each) for each in words])
    targets = model.language_model.get_input_embeddings().weight[torch.tensor(meant)]
    optimiser = torch.optim.AdamW(
        model.connector.parameters(), lr=step.learning_rate, weight_decay=0.0
    )
    order = list(range(len(examples)))
    groups = -(-len(order) // step.batch)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0, groups * step.epochs)
    dice = random.Random(step.seed)
    for _ in range(step.epochs):
        dice.shuffle(order)
        for at in range(0, len(order), step.batch):
            group = order[at : at + step.batch]
            said = model.read(**{name: rows[group] for name, rows in heard.items()})
            optimiser.zero_grad()
            loss_of(
                said, targets, torch.cat([wanted[number] for number in group]).to(targets.device)
            ).backward()
            optimiser.step()
            falling.step()
    return {name: p.detach().cpu() for name, p in model.named_parameters()}


def loss_of(said: torch.Tensor, targets: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Of embeddings, (places, hidden), for which of `targets`, (words, hidden), is wanted."""
    cosines = functional.normalize(said, dim=-1) @ functional.normalize(targets, dim=-1).T
    apart = (said - targets[wanted]).square().mean() / targets.var()
    return functional.cross_entropy(cosines / WARMTH, wanted) + apart


def _tokens(tokenizer: Any, description: str, places: int) -> list[int]:
    """The tokens that a sound's embeddings should be near, one each."""
    tokens = tokenizer(description, add_special_tokens=False)["input_ids"]
    if not 0 < len(tokens) <= places:
        raise checking.BadValue(
            f"shown: a description has {len(tokens)} tokens ({description!r}), and a sound becomes "
            f"{places} embeddings; take a connector of more"
        )
    return tokens + [tokens[-1]] * (places - len(tokens))


def _among(tokens: list[int]) -> tuple[list[int], list[int]]:
    """The distinct tokens in order, and of each token which of these it is."""
    distinct = sorted(set(tokens))
    number = {token: n for n, token in enumerate(distinct)}
    return distinct, [number[token] for token in tokens]
