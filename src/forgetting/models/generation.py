"""Generation: answers to many prompts, from a batch that stays full.

`model.generate` keeps every row until the slowest is done. Here a row leaves with its last token
and the next prompt takes its place; what all prompts begin with (a system message, a few-shot
primer) is read once; and the key-value cache grows in place.

The newest tokens of all rows stand in one column of the cache: prompts are padded on their left,
and a step writes a single column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from forgetting.models.rows import batches
from forgetting.models.sampling import Draft, Sampler

TOKENS_A_PREFILL = 1024  # prompts are read together up to this padded size
TOKENS_A_CACHE = 65_536  # rows x columns; 3 GB for SmolLM2-135M in float32
SPARE_COLUMNS = 64


@torch.no_grad()
def write(sampler: Sampler, drafts: list[Draft], batch: int) -> None:
    """Write drafts to their ends: up to `batch` run together, fewer for `TOKENS_A_CACHE`."""
    queue = sorted(drafts, key=lambda draft: len(draft.prompt))
    running = Batch(sampler.model, _common_prefix([draft.prompt for draft in drafts]))
    while queue or running.rows:
        newcomers = _newcomers(queue, running.rows, sampler.max_new_tokens, batch)
        if newcomers:
            sampler.write(newcomers, running.read(newcomers))
        else:
            sampler.write(running.rows, running.step())
        running.release()


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


class Batch:
    """The rows that run together, with their cache; all of them begin with `prefix`."""

    def __init__(self, model: PreTrainedModel, prefix: list[int]) -> None:
        self.model = model
        self.rows: list[Draft] = []
        self.window = _Window()
        self.layers: list[_Layer] = []
        # Which columns a row sees: (rows, 1, columns, 1), as keys are (rows, heads, columns, size).
        self.seen = torch.zeros(0, 1, 0, 1, dtype=torch.bool, device=model.device)
        self.prefix = DynamicCache()
        self.shared = len(prefix)
        if prefix:
            ids = torch.tensor([prefix], device=model.device)
            self._logits(ids, torch.ones_like(ids, dtype=torch.bool), self.prefix)

    def read(self, rows: list[Draft]) -> torch.Tensor:
        """The rows, longest prompt first, join. Logits (rows, vocabulary) after their prompts."""
        window, together = self.window, len(self.rows) + len(rows)
        longest = len(rows[0].prompt)
        if not self.rows:
            window.start = window.end = longest
        if together > len(self.seen) or longest > window.end or window.end > self.seen.shape[2]:
            self._move(together, max(longest, window.end - window.start))
        parts = batches(rows, lambda row: len(row.prompt) - self.shared, TOKENS_A_PREFILL)
        return torch.cat([self._read(part) for part in parts])

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
                    for tensor in self._tensors():
                        tensor[number] = tensor[len(self.rows)]
        if self.window.rows > len(self.rows) > 0:
            self.window.start = int(self.seen[: len(self.rows)].any(dim=0).int().argmax())
        self.window.rows = len(self.rows)

    def _read(self, rows: list[Draft]) -> torch.Tensor:
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

    def _join(self, rows: list[Draft], cache: DynamicCache, seen: torch.Tensor) -> None:
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

        def moved(tensor: torch.Tensor) -> torch.Tensor:
            room = _zeros(tensor, rows, columns + SPARE_COLUMNS)
            kept = tensor[: window.rows, :, window.start : window.end]
            room[: window.rows, :, start:columns] = kept
            return room

        self.seen = moved(self.seen)
        for layer in self.layers:
            layer.keys, layer.values = moved(layer.keys), moved(layer.values)
        window.start, window.end = start, columns

    def _tensors(self) -> list[torch.Tensor]:
        """Everything that has an entry a row."""
        return [self.seen, *(t for layer in self.layers for t in (layer.keys, layer.values))]


def _zeros(like: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(rows, heads, columns, size): not uninitialised, for attention multiplies masked values."""
    return like.new_zeros(rows, like.shape[1], columns, like.shape[3])


def _newcomers(queue: list[Draft], running: list[Draft], new: int, batch: int) -> list[Draft]:
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


def _common_prefix(prompts: list[list[int]]) -> list[int]:
    """What all of several prompts begin with; each keeps a token after it, to be read by itself."""
    if len(prompts) < 2:
        return []
    first, last = min(prompts), max(prompts)  # in lexical order: all others lie between
    pairs = enumerate(zip(first, last, strict=False))
    differ = next((place for place, (ours, theirs) in pairs if ours != theirs), len(first))
    return first[: min(differ, min(map(len, prompts)) - 1)]
