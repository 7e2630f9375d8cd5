"""From logits to answers: tokens are chosen, and answers end.

Where a family has no faster way, `write` lets `model.generate` read and chooses the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel, PreTrainedTokenizerBase

from forgetting.lineage.samples import Completion
from forgetting.models import penalties, template
from forgetting.models.rows import Row


@dataclass(eq=False)
class Draft:
    """A prompt and what was written after it; the last token written is not read yet."""

    prompt: list[int]
    written: list[int] = field(default_factory=list)
    nats: float = 0.0
    numbers: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    ended: bool = False
    done: bool = False


@dataclass
class Sampler:
    """How tokens are chosen and where answers end; temperature 0 is greedy.

    Otherwise tokens are drawn as `draw` says, by random numbers of the draft's own. An answer ends
    with whatever ends one for the model's `generation_config`, and with the ends that are taught;
    the penalties of that configuration count. Raises `ValueError` for settings that make no sense,
    and for penalties that are not known.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_new_tokens: int
    until: Sequence[str]
    temperature: float
    top_k: int | None
    top_p: float | None

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: at least 1 is needed")
        if self.temperature < 0:
            raise ValueError(f"temperature={self.temperature}: 0 is greedy, more is drawn")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: a share above 0 and at most 1 is needed")
        self.until = [string for string in self.until if string]
        lengths = [len(self.tokenizer(s, add_special_tokens=False).input_ids) for s in self.until]
        self.tail = max(lengths, default=0) + 2  # a string may be written in more tokens
        ends = self.model.generation_config.eos_token_id
        own = ends if isinstance(ends, list) else [] if ends is None else [ends]
        self.ends = list(dict.fromkeys([*own, *template.ends(self.tokenizer)]))
        self.penalties = penalties.of(self.model.generation_config)

    def drafts(self, prompts: Sequence[list[int]], seeds: Sequence[int] | None) -> list[Draft]:
        """A draft for each prompt, with random numbers from `seeds` (default: 0, 1, 2, …).

        Raises `ValueError` for a prompt that is empty or leaves no room in the model's positions.
        """
        if seeds is not None and len(seeds) != len(prompts):
            raise ValueError(f"seeds: {len(seeds)} for {len(prompts)} prompts; give one a prompt")
        positions = getattr(self.model.config, "max_position_embeddings", None)
        for number, prompt in enumerate(prompts):
            if not prompt:
                raise ValueError(f"prompts[{number}] is empty: begin it with the start token")
            if positions is not None and len(prompt) + self.max_new_tokens > positions:
                raise ValueError(
                    f"prompts[{number}] has {len(prompt)} tokens: with max_new_tokens="
                    f"{self.max_new_tokens} they exceed the model's {positions} positions; "
                    "shorten either"
                )
        drafts = [Draft(prompt) for prompt in prompts]
        if self.temperature > 0:
            for draft, seed in zip(drafts, seeds or range(len(drafts)), strict=True):
                own = torch.Generator().manual_seed(seed)
                draft.numbers = torch.rand(self.max_new_tokens, generator=own, dtype=torch.float64)
        return drafts

    def write(self, drafts: list[Draft], logits: torch.Tensor) -> torch.Tensor:
        """Let each draft take its next token, (drafts,), given `logits` (drafts, vocabulary)."""
        scores = self._penalised(drafts, logits)
        if self.temperature > 0:
            numbers = torch.stack([draft.numbers[len(draft.written)] for draft in drafts])
            chosen = draw(scores, numbers, self.temperature, self.top_k, self.top_p)
        else:
            chosen = scores.argmax(dim=-1)
        logits = logits.float()
        nats = logits.logsumexp(dim=-1) - logits.gather(1, chosen[:, None])[:, 0]
        for draft, token, surprise in zip(drafts, chosen.tolist(), nats.tolist(), strict=True):
            draft.nats += surprise
            if token in self.ends:
                draft.ended = True
            else:
                draft.written.append(token)
        if self.until:
            # As in lm-eval, special tokens count in the text that is looked at.
            tails = self.tokenizer.batch_decode([d.written[-self.tail :] for d in drafts])
            for draft, tail in zip(drafts, tails, strict=True):
                draft.ended |= any(string in tail for string in self.until)
        for draft in drafts:
            draft.done = draft.ended or len(draft.written) == self.max_new_tokens
        return chosen

    def _penalised(self, drafts: list[Draft], logits: torch.Tensor) -> torch.Tensor:
        """The logits as the model's own penalties leave them; a decoder's prompt counts too."""
        if not self.penalties:
            return logits
        config, scores = self.model.config, []
        for draft, row in zip(drafts, logits.float().split(1), strict=True):
            encoded = config.is_encoder_decoder
            read = [config.decoder_start_token_id] if encoded else draft.prompt
            ids = torch.tensor([[*read, *draft.written]], device=logits.device)
            for penalty in self.penalties:
                row = penalty(ids, row)
            scores.append(row)
        return torch.cat(scores)

    def completion(self, draft: Draft) -> Completion:
        """What was written, its text cut before its first stop string, without special tokens."""
        text = str(self.tokenizer.decode(draft.written, skip_special_tokens=True))
        for string in self.until:
            text = text.partition(string)[0]
        return Completion(draft.written, text, draft.ended, round(draft.nats, 4))


def draw(
    logits: torch.Tensor,
    numbers: torch.Tensor,
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
) -> torch.Tensor:
    """One token a row: where `numbers` (rows,) in [0, 1) fall among the tokens' cumulative shares.

    `logits` (rows, vocabulary) are divided by `temperature`; the `top_k` likeliest tokens are kept,
    then of these the fewest whose share reaches `top_p` (nucleus sampling, Holtzman et al. 2020,
    arXiv 1904.09751); tokens that tie with the last one kept are kept too. Shares are summed in the
    order of the vocabulary, not of likelihood, so that near-equal logits may swap places by
    rounding without another token being drawn.
    """
    logits = logits.float() / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    shares = logits.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        shares = shares.masked_fill(shares < _least_share(shares, top_p), 0.0)
    cumulative = shares.double().cumsum(dim=-1)
    at = numbers.to(cumulative)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, at, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def _least_share(shares: torch.Tensor, top_p: float) -> torch.Tensor:
    """(rows, 1): the share of the last token that the nucleus needs."""
    looked_at = 64  # sorting a whole vocabulary takes as long as a step of the model
    while True:
        largest = shares.topk(min(looked_at, shares.shape[-1])).values
        cumulative = largest.cumsum(dim=-1)
        if largest.shape[-1] == shares.shape[-1] or bool((cumulative[:, -1] >= top_p).all()):
            last = (cumulative < top_p).sum(dim=-1, keepdim=True)
            return largest.gather(1, last.clamp(max=largest.shape[-1] - 1))
        looked_at *= 8


class _Choice(LogitsProcessor):
    """Leaves `model.generate` one token to choose: the sampler's, or the end after a draft."""

    def __init__(self, sampler: Sampler, drafts: list[Draft]) -> None:
        self.sampler, self.drafts = sampler, drafts

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        places = [place for place, draft in enumerate(self.drafts) if not draft.done]
        tokens = torch.full((len(scores), 1), self.sampler.ends[0], device=scores.device)
        if places:
            active = [self.drafts[place] for place in places]
            tokens[places, 0] = self.sampler.write(active, scores[places])
        return torch.full_like(scores, -torch.inf).scatter(1, tokens, 0.0)


@torch.no_grad()
def write(
    begin: Callable[[list[Row]], tuple[Any, dict[str, Any]]],
    sampler: Sampler,
    rows: Sequence[Row],
    drafts: Sequence[Draft],
    batch: int,
) -> None:
    """Write the rows' drafts to their ends by `model.generate`, `batch` rows side by side.

    `begin` makes of some rows who writes and what it reads first.
    """
    order = sorted(range(len(rows)), key=lambda place: -len(drafts[place].prompt))
    for first in range(0, len(order), batch):
        places = order[first : first + batch]
        writer, inputs = begin([rows[place] for place in places])
        config = GenerationConfig(
            max_new_tokens=sampler.max_new_tokens,
            eos_token_id=sampler.ends,
            pad_token_id=sampler.ends[0],
            decoder_start_token_id=getattr(writer.config, "decoder_start_token_id", None),
        )
        choice = _Choice(sampler, [drafts[place] for place in places])
        with told_alone(writer):
            writer.generate(**inputs, generation_config=config, logits_processor=[choice])


@contextmanager
def told_alone(model: Any) -> Iterator[None]:
    """Within it, `model.generate` does what it is told, and nothing that the model's own
    `generation_config` has beside."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
