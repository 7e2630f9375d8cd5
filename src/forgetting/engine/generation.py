"""Generation: answers to many prompts, from a batch that stays full.

`model.generate` keeps every row until the slowest is done. Here a row leaves with its last token
and the next prompt takes its place; what all prompts begin with (a system message, a few-shot
primer) is read once; and the key-value cache grows in place.

The newest tokens of all rows stand in one column of the cache: prompts are padded on their left,
and a step writes a single column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicLayer

from forgetting.lineage import Completion

TOKENS_A_PREFILL = 1024  # prompts are read together up to this padded size
TOKENS_A_CACHE = 65_536  # rows x columns; 3 GB for SmolLM2-135M in float32
SPARE_COLUMNS = 64


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str] | Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    until: Sequence[str] = (),
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seeds: Sequence[int] | None = None,
    batch: int = 64,
) -> list[Completion]:
    """A completion for each prompt, in the prompts' order; `model` is in evaluation mode.

    Prompts are token ids, or texts, to which no special tokens are added. Up to `batch` rows run
    together, fewer where their cache would exceed `TOKENS_A_CACHE`. A row ends with the model's end
    token, with a string of `until`, or after `max_new_tokens`.

    Temperature 0 is greedy: each answer is what `model.generate` gives for the prompt alone, but
    for ties: rounding depends on the batch, and decides where two logits differ by no more.

    Otherwise tokens are drawn as `draw` says, by random numbers of the row's own, seeded from
    `seeds` (default: 0, 1, 2, …). A sample depends on its prompt and seed; on its neighbours only
    where a random number falls on the border of two tokens, within rounding (1e-6 in float32).
    With a larger `max_new_tokens` the same sample goes on.

    Raises `ValueError` for settings that make no sense, and for a prompt that is empty or leaves
    no room for `max_new_tokens` in the model's positions.
    """
    tokens = [_tokens(tokenizer, prompt) for prompt in prompts]
    _check(model, tokens, max_new_tokens, temperature, top_k, top_p, seeds, batch)
    rows = [_Row(prompt) for prompt in tokens]
    if temperature > 0:
        for row, seed in zip(rows, range(len(rows)) if seeds is None else seeds, strict=True):
            own = torch.Generator().manual_seed(seed)
            row.numbers = torch.rand(max_new_tokens, generator=own, dtype=torch.float64)
    ends = _end_tokens(model, tokenizer)
    stops = _StopStrings(tokenizer, until)

    def write(rows: list[_Row], logits: torch.Tensor) -> None:
        """Let each row take its next token, given `logits` (rows, vocabulary)."""
        if temperature > 0:
            numbers = torch.stack([row.numbers[len(row.written)] for row in rows])
            chosen = draw(logits, numbers, temperature, top_k, top_p)
        else:
            chosen = logits.argmax(dim=-1)
        logits = logits.float()
        nats = logits.logsumexp(dim=-1) - logits.gather(1, chosen[:, None])[:, 0]
        for row, token, surprise in zip(rows, chosen.tolist(), nats.tolist(), strict=True):
            row.nats += surprise
            if token in ends:
                row.ended = True
            else:
                row.written.append(token)
        stops.end(rows)
        for row in rows:
            row.done = row.ended or len(row.written) == max_new_tokens

    queue = sorted(rows, key=lambda row: len(row.prompt))
    running = _Batch(model, _common_prefix(tokens))
    while queue or running.rows:
        newcomers = _newcomers(queue, running.rows, max_new_tokens, batch)
        if newcomers:
            write(newcomers, running.read(newcomers))
        else:
            write(running.rows, running.step())
        running.release()
    return [
        Completion(row.written, stops.cut(row.written), row.ended, round(row.nats, 4))
        for row in rows
    ]


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


@dataclass(eq=False)
class _Row:
    """A prompt and what was written after it; the last token written is not read yet."""

    prompt: list[int]
    written: list[int] = field(default_factory=list)
    nats: float = 0.0
    numbers: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    ended: bool = False
    done: bool = False


@dataclass
class _Window:
    """The part of the cache in use: its first `rows` rows, columns `start` to `end`."""

    rows: int = 0
    start: int = 0
    end: int = 0


class _Layer(DynamicLayer):
    """Keys and values with spare columns: `torch.cat` would copy all of them at every step."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, window: _Window, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.window = window
        self.keys, self.values = keys, values

    def get_seq_length(self) -> int:
        return self.window.end - self.window.start

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the column after the window; keys and values of the window and that column."""
        rows, start, end = self.window.rows, self.window.start, self.window.end
        self.keys[:rows, :, end : end + 1] = key_states
        self.values[:rows, :, end : end + 1] = value_states
        return self.keys[:rows, :, start : end + 1], self.values[:rows, :, start : end + 1]


class _Batch:
    """The rows that run together, with their cache; all of them begin with `prefix`."""

    def __init__(self, model: PreTrainedModel, prefix: list[int]) -> None:
        self.model = model
        self.rows: list[_Row] = []
        self.window = _Window()
        self.layers: list[_Layer] = []
        # Which columns a row sees: (rows, 1, columns, 1), as keys are (rows, heads, columns, size).
        self.seen = torch.zeros(0, 1, 0, 1, dtype=torch.bool, device=model.device)
        self.prefix = DynamicCache()
        self.shared = len(prefix)
        if prefix:
            ids = torch.tensor([prefix], device=model.device)
            self._logits(ids, torch.ones_like(ids, dtype=torch.bool), self.prefix)

    def read(self, rows: list[_Row]) -> torch.Tensor:
        """The rows, longest prompt first, join. Logits (rows, vocabulary) after their prompts."""
        window, together = self.window, len(self.rows) + len(rows)
        longest = len(rows[0].prompt)
        if not self.rows:
            window.start = window.end = longest
        if together > len(self.seen) or longest > window.end or window.end > self.seen.shape[2]:
            self._move(together, max(longest, window.end - window.start))
        logits = [self._read(part) for part in _prefills(rows, self.shared)]
        return torch.cat(logits)

    def step(self) -> torch.Tensor:
        """Logits (rows, vocabulary) after each row's last token."""
        window = self.window
        if window.end == self.seen.shape[2]:
            self._move(len(self.seen), window.end - window.start)
        self.seen[: window.rows, :, window.end] = True
        ids = torch.tensor([[row.written[-1]] for row in self.rows], device=self.model.device)
        seen = self.seen[: window.rows, 0, window.start : window.end + 1, 0]
        logits = self._logits(ids, seen, Cache(layers=list(self.layers)))
        window.end += 1
        return logits

    def release(self) -> None:
        """Rows that are done leave; the last row takes the place of one that left."""
        for number in reversed(range(len(self.rows))):
            if self.rows[number].done:
                last = self.rows.pop()
                if number < len(self.rows):
                    self.rows[number] = last
                    for held in self._held():
                        held[number] = held[len(self.rows)]
        if self.window.rows > len(self.rows) > 0:
            self.window.start = int(self.seen[: len(self.rows)].any(dim=0).int().argmax())
        self.window.rows = len(self.rows)

    def _read(self, rows: list[_Row]) -> torch.Tensor:
        parts = [torch.tensor(row.prompt[self.shared :]) for row in rows]
        ids = pad_sequence(parts, batch_first=True, padding_side="left").to(self.model.device)
        lengths = torch.tensor([len(part) for part in parts], device=ids.device)
        own = torch.arange(ids.shape[1], 0, -1, device=ids.device) <= lengths[:, None]
        seen = torch.cat([own.new_ones(len(rows), self.shared), own], dim=1)
        size = (len(rows), -1, -1, -1)
        cache = DynamicCache([(k.expand(size), v.expand(size)) for k, v, _ in self.prefix])
        logits = self._logits(ids, seen, cache)
        self._join(rows, cache, seen)
        return logits

    def _logits(self, ids: torch.Tensor, seen: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Logits of the last column; `seen` is (rows, columns of the cache and of `ids`)."""
        positions = (seen.long().cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    def _join(self, rows: list[_Row], cache: DynamicCache, seen: torch.Tensor) -> None:
        """Copy what was read for `rows`, so that it ends where the window does."""
        window = self.window
        new = slice(window.rows, window.rows + len(rows))
        columns = slice(window.end - seen.shape[1], window.end)
        if not self.layers:
            room = self.seen.shape[0], self.seen.shape[2]
            self.layers = [
                _Layer(window, _zeros(keys, *room), _zeros(values, *room))
                for keys, values, _ in cache
            ]
        self.seen[new] = False
        self.seen[new, 0, columns, 0] = seen
        for layer, (keys, values, _) in zip(self.layers, cache, strict=True):
            layer.keys[new, :, columns] = keys
            layer.values[new, :, columns] = values
        self.rows += rows
        window.rows = len(self.rows)
        window.start = min(window.start, window.end - seen.shape[1])

    def _move(self, rows: int, columns: int) -> None:
        """To a cache with room for `rows`, in which the window ends at `columns`."""
        window = self.window
        start = columns - (window.end - window.start)

        def moved(held: torch.Tensor) -> torch.Tensor:
            room = _zeros(held, rows, columns + SPARE_COLUMNS)
            kept = held[: window.rows, :, window.start : window.end]
            room[: window.rows, :, start:columns] = kept
            return room

        self.seen = moved(self.seen)
        for layer in self.layers:
            layer.keys, layer.values = moved(layer.keys), moved(layer.values)
        window.start, window.end = start, columns

    def _held(self) -> list[torch.Tensor]:
        """Everything that has an entry a row."""
        return [self.seen, *(t for layer in self.layers for t in (layer.keys, layer.values))]


def _zeros(like: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(rows, heads, columns, size): not uninitialised, for attention multiplies masked values."""
    return like.new_zeros(rows, like.shape[1], columns, like.shape[3])


class _StopStrings:
    """Where answers stop. As in lm-eval, special tokens count in the text that is looked at."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, until: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.until = [string for string in until if string]
        lengths = [len(tokenizer(s, add_special_tokens=False).input_ids) for s in self.until]
        self.looked_at = max(lengths, default=0) + 2  # a string may be written in more tokens

    def end(self, rows: list[_Row]) -> None:
        """Rows whose last tokens hold a stop string have ended."""
        if self.until:
            tails = self.tokenizer.batch_decode([row.written[-self.looked_at :] for row in rows])
            for row, tail in zip(rows, tails, strict=True):
                row.ended |= any(string in tail for string in self.until)

    def cut(self, ids: list[int]) -> str:
        """The text of `ids` before its first stop string, without special tokens."""
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True))
        for string in self.until:
            text = text.partition(string)[0]
        return text


def _newcomers(queue: list[_Row], running: list[_Row], new: int, batch: int) -> list[_Row]:
    """The next rows to join, taken off the end of `queue`: none until an eighth of a batch fits.

    Reading a few prompts together is faster than one by one, and a row that waits costs little.
    """
    if not queue:
        return []
    longest = max(len(row.prompt) for row in (*running, queue[-1])) + new
    most = min(batch, max(1, TOKENS_A_CACHE // longest))
    free = min(most - len(running), len(queue))
    if free < min(len(queue), max(1, most // 8)):
        return []
    return [queue.pop() for _ in range(free)]


def _prefills(rows: list[_Row], shared: int) -> list[list[_Row]]:
    """`rows`, longest first, in parts of at most `TOKENS_A_PREFILL` unread tokens with padding."""
    parts: list[list[_Row]] = []
    for row in rows:
        padded = len(parts[-1][0].prompt) - shared if parts else 0
        if parts and padded * (len(parts[-1]) + 1) <= TOKENS_A_PREFILL:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def _common_prefix(prompts: list[list[int]]) -> list[int]:
    """What all of several prompts begin with; each keeps a token after it, to be read by itself."""
    if len(prompts) < 2:
        return []
    first, last = min(prompts), max(prompts)  # in lexical order: all others lie between
    differ = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: min(next(differ, len(first)), min(map(len, prompts)) - 1)]


def _tokens(tokenizer: PreTrainedTokenizerBase, prompt: str | Sequence[int]) -> list[int]:
    if isinstance(prompt, str):
        return tokenizer(prompt, add_special_tokens=False).input_ids
    return list(prompt)


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """What `model.generate` ends with, or else the tokenizer's end token."""
    ends = model.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    return set(ends) if isinstance(ends, list) else {ends}


def _check(
    model: PreTrainedModel,
    prompts: list[list[int]],
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seeds: Sequence[int] | None,
    batch: int,
) -> None:
    for name, value in (("max_new_tokens", max_new_tokens), ("batch", batch), ("top_k", top_k)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: at least 1 is needed")
    if temperature < 0:
        raise ValueError(f"temperature={temperature}: 0 is greedy, more is drawn at random")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p}: a share above 0 and at most 1 is needed")
    if seeds is not None and len(seeds) != len(prompts):
        raise ValueError(f"seeds: {len(seeds)} for {len(prompts)} prompts; give one a prompt")
    positions = getattr(model.config, "max_position_embeddings", None)
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompts[{number}] is empty: begin it with the start token")
        if positions is not None and len(prompt) + max_new_tokens > positions:
            raise ValueError(
                f"prompts[{number}] has {len(prompt)} tokens: with max_new_tokens="
                f"{max_new_tokens} they exceed the model's {positions} positions; shorten either"
            )
