"""How a training step runs: rates, lengths and amounts, as they enter a key."""

import math
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from forgetting.checking import Checked


class Settings(Checked):
    """How a training step runs. Rates per step, lengths and amounts in tokens.

    Defaults follow Li & Lee (2024)'s configuration file where a laptop allows it: constant rate,
    AdamW with β (0.9, 0.95), ε 1e-5, weight decay 0.1, gradient norm clipped at 1. They trained on
    1 billion tokens in steps of 4 million; a laptop has thousands in steps of hundreds.

    The amount is `tokens`, or `examples` and how many `epochs` each of them is seen in. The rate
    is constant, so a training of two epochs is the beginning of one of four; unless it rises over
    the share `warmup` of the steps, or with `decay` falls in a line to 0 at the last.

    With `precision` "bfloat16" products and attention are made in it (Micikevicius et al. 2018);
    weights, moments, norms and losses stay in float32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    style: Literal["pretrain", "sft"] = "pretrain"
    learning_rate: float = Field(3e-4, gt=0, le=1)
    tokens: int = Field(8192, ge=16)
    examples: int | None = Field(None, ge=1)
    epochs: int = Field(1, ge=1)
    length: int = Field(256, ge=8)
    batch: int = Field(2, ge=1)
    weight_decay: float = Field(0.1, ge=0)
    beta2: float = Field(0.95, gt=0, lt=1)
    epsilon: float = Field(1e-5, gt=0)
    clip: float = Field(1.0, gt=0)
    warmup: float = Field(0.0, ge=0, lt=1)
    decay: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if self.examples is not None and "tokens" in self.model_fields_set:
            raise ValueError(f"examples={self.examples}: tokens={self.tokens} is given; name one")
        if self.examples is None and self.epochs != 1:
            raise ValueError(f"epochs={self.epochs}: of how many examples? name `examples`")
        return self

    @property
    def rows(self) -> int:
        """Different places in the data: `examples`, or as many rows as `tokens` fill."""
        return self.examples or self.batch * max(1, self.tokens // (self.batch * self.length))

    @property
    def epoch_steps(self) -> int:
        """Optimiser steps an epoch: rows ÷ batch, rounded up."""
        return math.ceil(self.rows / self.batch)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.epoch_steps

    def recipe(self) -> dict[str, Any]:
        """What enters a lineage key: the fields that say something, in one way only."""
        silent = {"examples", "epochs"} if self.examples is None else {"tokens"}
        silent |= {name for name in ("warmup", "decay") if not getattr(self, name)}
        silent |= {"precision"} if self.precision == "float32" else set()
        return self.model_dump(mode="json", exclude=silent)

    @property
    def scheduled(self) -> bool:
        """Whether the rate depends on how long the whole training is."""
        return bool(self.warmup or self.decay)
