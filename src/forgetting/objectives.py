"""What it is asked for: objectives map the logits at supervised tokens to a scalar.

An `Objective` is a value that enters a lineage key. It sees one optimiser step's supervised tokens,
all rows' one after another: `logits` (tokens, vocabulary), `wanted` (tokens,) the token that each
should predict, and what else it asks for (`Step`). Two more things an objective may do: unsupervise
tokens before the training begins (`keep`), and compare with the model as it was then (`before`).
One may also hold the weights near to where they were (`begin`): see `regularisers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch.nn import functional

from forgetting.lineage import Checkpoint, Drawn
from forgetting.models.causal import OLD, TARGET, WHOLE

# Tokens whose logits stand in memory together: 25 MB for a vocabulary of 49 thousand. The C library
# asks the system for every tensor above 32 MB anew, which costs as much as filling it.
TOKENS_AT_ONCE = 128

# Rows (as `causal.Example`) and an objective to that objective's value, with its graph.
Read = Callable[[list[dict[str, Any]], "Objective"], torch.Tensor]
# A checkpoint to its weights by name.
Weights = Callable[[Checkpoint], Mapping[str, torch.Tensor]]


class Step(NamedTuple):
    """One optimiser step at its supervised tokens; a row's part and weight stand at each of them.

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


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Mean negative log-likelihood of all supervised tokens: next token, or the answer's."""

    def loss(self, step: Step) -> torch.Tensor:
        _require_any(step.wanted)
        return functional.cross_entropy(step.logits.float(), step.wanted)


@dataclass(frozen=True)
class SelectiveMasking(CrossEntropy):
    """Selective Token Masking (Wu et al. 2025, arXiv 2501.14315): leave out what surprises.

    A token is supervised where its perplexity under the model before training, exp(CE), is at most
    `threshold` (the paper's: 2.5, which left out 20 to 24 % of the tokens).
    """

    threshold: float = 2.5
    reads_before: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.threshold >= 1:
            raise ValueError(f"threshold={self.threshold}: a perplexity is at least 1")

    def keep(self, before: torch.Tensor, wanted: torch.Tensor, seed: int) -> torch.Tensor:
        return _surprise(before, wanted) <= math.log(self.threshold)


@dataclass(frozen=True)
class ShareMasking(CrossEntropy):
    """The mask's controls (2501.14315, Table 3): leave out a `share` of each row's tokens.

    `which`: drawn at `random`, or those of `low` or of `high` perplexity before training.
    """

    which: str = "random"
    share: float = 0.25
    reads_before: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.which not in ("random", "low", "high"):
            raise ValueError(f"which={self.which!r}: one of random, low, high")
        if not 0 <= self.share < 1:
            raise ValueError(f"share={self.share}: at least 0 and below 1")

    def keep(self, before: torch.Tensor, wanted: torch.Tensor, seed: int) -> torch.Tensor:
        if self.which == "random":
            drawn = torch.Generator().manual_seed(seed)
            order = torch.rand(len(wanted), generator=drawn)
        else:
            order = _surprise(before, wanted).cpu() * (1 if self.which == "low" else -1)
        kept = torch.ones(len(wanted), dtype=torch.bool)
        kept[order.argsort(stable=True)[: round(self.share * len(wanted))]] = False
        return kept.to(wanted.device)


@dataclass(frozen=True)
class EntropyAdaptive(Objective):
    """Entropy-adaptive fine-tuning (EAFT, arXiv 2601.02151): Σ w·CE, w = H(top k) / ln k, detached.

    Where the model is sure and the target is another, w is near 0: a confident conflict teaches
    little. H is the entropy of the `top` likeliest tokens' shares, which are made to add up to 1.
    The mean is over tokens, so that a rate means what it means for cross-entropy.
    """

    top: int = 20

    def __post_init__(self) -> None:
        if self.top < 2:
            raise ValueError(f"top={self.top}: the entropy of at least 2 tokens")

    def loss(self, step: Step) -> torch.Tensor:
        _require_any(step.wanted)
        logits = step.logits.float()
        with torch.no_grad():
            log_share = logits.topk(self.top).values.log_softmax(dim=-1)
            weight = -(log_share.exp() * log_share).sum(dim=-1) / math.log(self.top)
        each = functional.cross_entropy(logits, step.wanted, reduction="none")
        return (weight * each).mean()


@dataclass(frozen=True)
class KeepClose(Objective):
    """Cross-entropy on what is learned + `weight` · KL(before ‖ now) on what is to be kept.

    L = CE(target) + c·KL(π_before ‖ π) over the tokens of rows whose part is `OLD` (Marek et al.
    2026, arXiv 2605.26097; their c: 1, 3, 10). Without such rows it is cross-entropy; with
    `everywhere`, the divergence is taken on the targets' own tokens as well.
    """

    weight: float = 1.0
    everywhere: bool = False
    reads_before: ClassVar[bool] = True
    mean: ClassVar[bool] = False

    def loss(self, step: Step) -> torch.Tensor:
        target = step.parts == TARGET
        total = step.logits.new_zeros((), dtype=torch.float32)
        if target.any():
            total = functional.cross_entropy(step.logits[target].float(), step.wanted[target])
        close = ~target | self.everywhere
        if close.any():
            assert step.before is not None
            total = total + self.weight * _divergence(step.before[close], step.logits[close])
        return total


@dataclass(frozen=True)
class QuestionAndText(Objective):
    """LAMOL's two losses (Sun et al. 2020, arXiv 1909.03329): L = L_QA + λ·L_LM.

    L_QA is the mean over answers' tokens (part `TARGET`), L_LM over the tokens of whole texts with
    their question (part `WHOLE`). A row's `weights` count its tokens in these means; the authors'
    code weighs the answer token 5.
    """

    weight: float = 0.25
    mean: ClassVar[bool] = False

    def loss(self, step: Step) -> torch.Tensor:
        _require_any(step.wanted)
        each = functional.cross_entropy(step.logits.float(), step.wanted, reduction="none")
        total = each.new_zeros(())
        for part, share in ((TARGET, 1.0), (WHOLE, self.weight)):
            at = step.parts == part
            if at.any():
                weights = step.weights[at]
                total = total + share * (each[at] * weights).sum() / weights.sum()
        return total


@dataclass(frozen=True)
class QuestionTextAndKept(QuestionAndText):
    """LAMOL's two losses on what is new, and c·KL(before ‖ now) on dreams (part `OLD`)."""

    keep_weight: float = 1.0
    reads_before: ClassVar[bool] = True

    def loss(self, step: Step) -> torch.Tensor:
        new, old = step.parts != OLD, step.parts == OLD
        total = step.logits.new_zeros((), dtype=torch.float32)
        if new.any():
            total = super().loss(
                Step(step.logits[new], step.wanted[new], step.parts[new], step.weights[new], None)
            )
        if old.any():
            assert step.before is not None
            total = total + self.keep_weight * _divergence(step.before[old], step.logits[old])
        return total


@dataclass(frozen=True)
class PolicyGradient(Objective):
    """REINFORCE (Williams 1992): -mean over tokens of advantage · log π(token).

    Rows are what the model itself wrote just before; a row's `weights` are its advantage, the same
    for each of its tokens, and may be negative.
    """

    def loss(self, step: Step) -> torch.Tensor:
        _require_any(step.wanted)
        each = functional.cross_entropy(step.logits.float(), step.wanted, reduction="none")
        return (step.weights * each).mean()


def _divergence(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """KL(before ‖ after) of logits (tokens, vocabulary), the mean over tokens, nats."""
    was, now = (logits.float().log_softmax(dim=-1) for logits in (before, after))
    return (was.exp() * (was - now)).sum(dim=-1).mean()


def _surprise(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Nats of each wanted token."""
    return functional.cross_entropy(logits.float(), wanted, reduction="none")


def head_cross_entropy(
    hidden: torch.Tensor, head: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """`CrossEntropy` of the logits `hidden @ head.T`, which never stand in memory whole.

    `hidden` is (tokens, width), supervised tokens alone; `head` (vocabulary, width); `wanted`
    (tokens,), the token that each should predict. Raises `ValueError` where there is none.
    """
    _require_any(wanted)
    return _HeadCrossEntropy.apply(hidden, head, wanted)


class _HeadCrossEntropy(torch.autograd.Function):
    """Each part's gradient is made while its logits are at hand: (softmax - one-hot) / tokens."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, wanted: torch.Tensor
    ) -> torch.Tensor:
        by_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        by_head = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(wanted), TOKENS_AT_ONCE):
            part = slice(start, start + TOKENS_AT_ONCE)
            read, token = hidden[part].to(head.dtype), wanted[part]
            at_wanted = torch.arange(len(token), device=token.device), token
            log_p = torch.log_softmax((read @ head.T).float(), dim=1)
            total -= log_p[at_wanted].sum()
            gradient = log_p.exp_()
            gradient[at_wanted] -= 1
            gradient = gradient.to(head.dtype)
            if by_hidden is not None:
                by_hidden[part] = gradient @ head / len(wanted)
            if by_head is not None:
                by_head.addmm_(gradient.T, read, alpha=1 / len(wanted))
        ctx.gradients = by_hidden, by_head
        return total / len(wanted)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *above: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        by_hidden, by_head = ctx.gradients
        if above[0] != 1:
            by_hidden, by_head = (g if g is None else g * above[0] for g in ctx.gradients)
        return by_hidden, by_head, None


def _require_any(wanted: torch.Tensor) -> None:
    if not len(wanted):
        raise ValueError("labels: no supervised token in this batch; lengthen `length`")
