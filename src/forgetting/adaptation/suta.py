"""SUTA: a recogniser makes up its mind on the very utterance that it hears, then forgets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from forgetting.adaptation.base import recipe_of
from forgetting.adaptation.moving import State, Weights, checked
from forgetting.method import method
from forgetting.tuning.base import Tuning
from forgetting.tuning.only_norms import OnlyNorms

BLANK = 0


def entropy(logits: torch.Tensor, temperature: float = 2.5, spoken: bool = True) -> torch.Tensor:
    """Mean entropy of softmax(z/T), nats, of (frames, classes) logits z.

    With `spoken`, only of frames whose likeliest class is not the blank; 0 where there are none.
    """
    found = _entropies(logits / temperature)
    if not spoken:
        return found.mean()
    heard = (logits.argmax(-1) != BLANK).to(found)
    return (found * heard).sum() / heard.sum().clamp(min=1)


def confusion(logits: torch.Tensor, temperature: float = 2.5, weigh: bool = True) -> torch.Tensor:
    """Minimum class confusion (Jin et al. 2020, section 3): 0 where no two classes are mixed up.

    Of P = softmax(z/T), (frames, classes), M = Pᵀ W P with each column divided by its sum: what
    stands beside the diagonal, over the classes. W weighs frames by 1 + exp(-entropy), their mean
    1, and no gradient passes it; without `weigh` it is the identity.
    """
    scaled = logits / temperature
    shares = scaled.softmax(-1)
    weights = torch.ones_like(shares[:, 0])
    if weigh:
        weights = 1 + torch.exp(-_entropies(scaled).detach())
        weights = weights * len(weights) / weights.sum()
    mixed = shares.T @ (weights[:, None] * shares)
    mixed = mixed / mixed.sum(dim=1).clamp(min=torch.finfo(mixed.dtype).tiny)
    return (mixed.sum() - mixed.trace()) / mixed.shape[1]


def _entropies(logits: torch.Tensor) -> torch.Tensor:
    spread = logits.log_softmax(-1)
    return -(spread.exp() * spread).sum(-1)


@method(
    title="Single-utterance adaptation (SUTA)",
    idea="Before it writes down an utterance, the recogniser takes a few steps that make it surer "
    "of what it hears in it, and less apt to mix up characters. Then it is what it was before.",
    equation=r"L = a \cdot \frac{1}{|S|} \sum_{i \in S} H(p_i) + (1 - a) \cdot \frac{1}{C} "
    r"\sum_{j \ne k} \tilde M_{jk}, \qquad M = P^\top W P,\; p_i = \mathrm{softmax}(z_i / T)",
    cost="A forward and a backward pass for every step, of every utterance; nothing is labelled.",
    use="Where each recording may come from another room, and none may spoil the next.",
    citations=("lin2022listen",),
    colour="#56B4E9",
    marker="p",
)
@dataclass(frozen=True)
class SUTA:
    """`steps` of AdamW on one utterance, then weights and optimiser as they were.

    `share` is a, the weight of entropy against class confusion: 1 leaves entropy alone, 0 confusion
    alone. Defaults are those of Lin et al. 2022 (arXiv 2203.14222, their code; the rate is for
    wav2vec 2.0). A recogniser in which only blanks are heard has its confusion alone.
    """

    kind: ClassVar[str] = "SUTA"

    steps: int = 10
    learning_rate: float = 2e-5
    share: float = 0.3
    temperature: float = 2.5
    weigh: bool = True
    spoken: bool = True
    tune: Tuning = field(default_factory=OnlyNorms)

    def __post_init__(self) -> None:
        checked(self.steps, self.learning_rate, self.tune)

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """L of an utterance's (frames, classes) logits."""
        sure = entropy(logits, self.temperature, self.spoken)
        mixed = confusion(logits, self.temperature, self.weigh)
        return self.share * sure + (1 - self.share) * mixed

    def begin(self, model: Any, tokenizer: Any = None, write: Any = None) -> Episodes:
        return Episodes(Weights(model, self.tune, self.learning_rate), self)

    def adapt(self, weights: Weights, wave: Any) -> None:
        """The steps on one utterance."""
        features = weights.model.features(wave)
        for _ in range(self.steps):
            weights.step([lambda: self.loss(weights.model(features)[0])])


@dataclass
class Episodes:
    """Each utterance is adapted to, written down, and forgotten."""

    weights: Weights
    how: Any
    start: State = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.weights.state()

    def answer(self, wave: Any) -> str:
        try:
            self.how.adapt(self.weights, wave)
            return self.weights.write(wave)
        finally:
            self.weights.restore(self.start)

    def state(self) -> State:
        return {}

    def resume(self, state: State) -> None:
        pass

    def changed(self) -> None:
        pass
