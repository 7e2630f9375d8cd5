"""What all objectives share. An objective is a value that enters a lineage key.

It sees one optimiser step's supervised tokens, all rows' one after another (`Step`). Two more
things an objective may do: unsupervise tokens before the training begins (`keep`), and compare with
the model as it was then (`before`). One may also hold the weights near to where they were
(`begin`).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch.nn import functional

from forgetting.lineage import Checkpoint, Drawn

# Rows (as `rows.Row`) and an objective to that objective's value, with its graph.
Read = Callable[[list[dict[str, Any]], "Objective"], torch.Tensor]
# A checkpoint to its weights by name.
Weights = Callable[[Checkpoint], Mapping[str, torch.Tensor]]


class Step(NamedTuple):
    """One optimiser step at its supervised tokens; a row's part and weight stand at each of them.

    `logits` are (tokens, vocabulary), `wanted` (tokens,) the token that each should predict;
    `before` are the logits of the model as it was when the training began, or None.
    """

    logits: torch.Tensor
    wanted: torch.Tensor
    parts: torch.Tensor
    weights: torch.Tensor
    before: torch.Tensor | None


@dataclass(frozen=True)
class Objective:
    """What a training asks for.

    `reads_before`: it needs the logits of the untrained model. `mean`: it is one mean over all
    tokens of a step, so that processes can share the step's rows.
    """

    reads_before: ClassVar[bool] = False
    mean: ClassVar[bool] = True

    def recipe(self) -> dict[str, Any]:
        """What enters a lineage key."""
        return {"objective": type(self).__name__, **asdict(self)}

    def keep(self, before: torch.Tensor, wanted: torch.Tensor, seed: int) -> torch.Tensor:
        """(tokens,) booleans: which supervised tokens of a row stay so; `before` are its logits."""
        return torch.ones(len(wanted), dtype=torch.bool, device=wanted.device)

    def loss(self, step: Step) -> torch.Tensor:
        """The scalar to make small, nats."""
        raise NotImplementedError

    def begin(
        self, model: Any, tokenizer: Any, read: Read, weights: Weights, drawn: Drawn
    ) -> Callable[[], None] | None:
        """What is done to the gradients after every backward pass; usually nothing.

        Called when the training begins. `read(rows, objective)` is the objective of other rows,
        `weights(checkpoint)` are another model's, `drawn(samples)` what models wrote.
        """
        return None


def divergence(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """KL(before ‖ after) of logits (tokens, vocabulary), the mean over tokens, nats."""
    was, now = (logits.float().log_softmax(dim=-1) for logits in (before, after))
    return (was.exp() * (was - now)).sum(dim=-1).mean()


def nats(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(tokens,) negative log-likelihood of each token."""
    return functional.cross_entropy(logits.float(), tokens, reduction="none")


def require_any(tokens: torch.Tensor) -> None:
    """Raise `ValueError` where no token is supervised."""
    if not len(tokens):
        raise ValueError("labels: no supervised token in this batch; lengthen `length`")
