"""Scores: what a probe gives, item by item, and what the model said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from forgetting.probes.baselines import BALANCED, label_weights


class Scores(BaseModel):
    """One task's scores: every metric's value for every item, in the task's order.

    `log_likelihood` is a sum over the item's tokens in nats and goes with `tokens`; the other
    metrics are means over items. `blocks` numbers each item's group where some belong together
    (turns of a dialogue, a whole stream): groups, not items, are the sample then.

    Raises pydantic's `ValidationError` for a value that is not finite, or a list of other than `n`.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    task: str
    version: float
    templates: str
    n: int = Field(ge=1)
    batch: int = Field(ge=1)
    items: dict[Annotated[str, Field(pattern=r"^[\w -]+$")], list[float]]
    tokens: list[Annotated[int, Field(ge=1)]] | None = None
    blocks: list[int] | None = Field(default=None, exclude_if=lambda blocks: blocks is None)

    @model_validator(mode="after")
    def _one_value_an_item(self) -> Self:
        lists: dict[str, Sequence[float] | None] = {**self.items}
        lists |= {"tokens": self.tokens, "blocks": self.blocks}
        for name, values in lists.items():
            if values is not None and len(values) != self.n:
                raise ValueError(f"{name}: {len(values)} values of n={self.n} items")
        if "log_likelihood" in self.items and self.tokens is None:
            raise ValueError("tokens: missing; a log-likelihood goes with them")
        return self

    def mean(self, metric: str) -> float:
        """The metric's mean over items. For `nats`: negative log-likelihood per token.

        For `balanced`: over gold labels, the mean share of a label's items that are right.
        """
        values, weights = self.values(metric)
        return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)

    def stderr(self, metric: str) -> float:
        """Standard error of `mean` over items (ratio estimator where items differ in tokens)."""
        values, weights = self.values(metric)
        mean, n = self.mean(metric), len(values)
        if n < 2:
            return math.nan
        scale = sum(weights) / n
        spread = sum(((v - mean) * w / scale) ** 2 for v, w in zip(values, weights, strict=True))
        return math.sqrt(spread / (n - 1) / n)

    def values(self, metric: str) -> tuple[list[float], list[float]]:
        """Per-item values of `metric` and their weights: ones but for `nats` and `balanced`.

        `nats` are weighed by tokens, right answers by how rare their label is. Raises `KeyError`.
        """
        if metric == BALANCED:
            return self.items["em"], label_weights(self)
        if metric == "nats":
            tokens = [float(t) for t in self.tokens or []]
            pairs = zip(self.items["log_likelihood"], tokens, strict=True)
            return [-ll / t for ll, t in pairs], tokens
        if metric not in self.items:
            known = ", ".join(self.metrics)
            raise KeyError(f"metric={metric!r}: {self.task} has {known}")
        return self.items[metric], [1.0] * self.n

    @property
    def metrics(self) -> list[str]:
        """Names that `mean` takes."""
        return ["nats" if name == "log_likelihood" else name for name in self.items]


class Sample(BaseModel):
    """One prompt and what the model answered."""

    model_config = ConfigDict(extra="forbid")

    task: str
    prompt: str
    answer: str


def rounded(value: Any) -> float:
    """Seven significant digits: far below any standard error, and short in a record."""
    return float(f"{float(value):.7g}")
