"""SDPL: a recogniser believes what it wrote, and learns it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch

from forgetting.adaptation.base import recipe_of
from forgetting.adaptation.moving import Weights, checked
from forgetting.adaptation.suta import Episodes
from forgetting.checking import BadValue
from forgetting.method import method
from forgetting.models import ctc
from forgetting.tuning.base import Tuning
from forgetting.tuning.only_norms import OnlyNorms

AXES = {"classes": -1, "time": 0}


@method(
    title="Pseudo-labels on a single utterance (SDPL)",
    idea="The recogniser writes down an utterance, takes its own transcript for the right one, "
    "and learns that for a few steps before it writes again. Mistakes are learned, too.",
    equation=r"L = -\log p_{\mathrm{CTC}}(\hat y \mid x), \qquad \hat y = \mathrm{greedy}(x)",
    cost="As SUTA.",
    use="As what a loss without labels has to beat.",
    citations=("lin2022listen",),
    beside=("SUTA",),
    colour="#E69F00",
    marker="p",
)
@dataclass(frozen=True)
class SDPL:
    """`steps` of AdamW down the CTC loss of the own greedy transcript, then all as it was.

    `over`="time" is what Lin et al. 2022's code does (main_SDPL.py): its softmax runs over the
    utterance's frames in the place of the classes. Where nothing was written nothing is learned.
    """

    kind: ClassVar[str] = "SDPL"

    steps: int = 10
    learning_rate: float = 1e-4
    over: Literal["classes", "time"] = "classes"
    tune: Tuning = field(default_factory=OnlyNorms)

    def __post_init__(self) -> None:
        checked(self.steps, self.learning_rate, self.tune)
        if self.over not in AXES:
            raise BadValue(f"over={self.over!r}: one of {', '.join(AXES)}")

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any = None, write: Any = None) -> Episodes:
        return Episodes(Weights(model, self.tune, self.learning_rate), self)

    def adapt(self, weights: Weights, wave: Any) -> None:
        """The steps on one utterance."""
        model, features = weights.model, weights.model.features(wave)
        with torch.no_grad():
            classes = ctc.spelled(model.text(model(features)[0]), model.config.alphabet)
        for _ in range(self.steps if len(classes) else 0):
            weights.step([lambda: ctc.loss(model(features)[0], classes, AXES[self.over])])
