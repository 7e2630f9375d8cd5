"""One prompt after another, of which what a prompt shares with the one before is not read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from forgetting.lineage.samples import Completion
from forgetting.models import agreement
from forgetting.models.family import Scored, family_of, score, split, unwrapped
from forgetting.models.rows import Row, read_tokens
from forgetting.models.sampling import Sampler
from forgetting.models.shared_prefix import Line


@dataclass
class GrowingPrompt:
    """A model with the keys and values of the last prompt that it read.

    A prompt that begins as the last one did costs its new part. Models whose tokens meet elsewhere
    than in attention read every prompt whole (`agreement.fast`). Numbers are those of whole reading
    up to rounding.
    """

    model: Any
    ids: list[int] = field(default_factory=list)
    read: int = 0  # tokens that were read in all, answers included
    cache: DynamicCache = field(default_factory=DynamicCache)

    def forget(self) -> None:
        """Read the next prompt whole: the weights have moved."""
        self.ids, self.cache = [], DynamicCache()

    @torch.no_grad()
    def log_likelihoods(self, rows: Sequence[Row]) -> list[Scored]:
        """What the model makes of the answers to one prompt, a row each: see `Family`."""
        if not agreement.fast(self.model):
            return family_of(self.model).log_likelihoods(self.model, rows)
        prompt = rows[0]["input_ids"][: read_tokens(rows[0])].tolist()
        line = Line.of(prompt, list(enumerate(rows)))
        shared = self._keep(prompt)
        causal = unwrapped(self.model)
        hidden = causal.base_model(
            input_ids=self._tensor(line.ids[shared:]),
            position_ids=torch.tensor([line.positions[shared:]], device=causal.device),
            attention_mask=line.mask()[None, None, shared:].to(causal.device),
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state[0]
        self._crop(prompt)
        at = torch.tensor(line.reads) - shared
        scored = score(hidden[at], causal.get_output_embeddings(), torch.tensor(line.targets))
        return split(scored, [count for _, count in line.members])

    @torch.no_grad()
    def answer(self, sampler: Sampler, prompt: list[int], seed: int = 0) -> Completion:
        """What the model writes after a prompt, as `sampler` chooses."""
        (draft,) = sampler.drafts([prompt], [seed])
        shared = self._keep(prompt)
        sampler.write([draft], self._logits(prompt[shared:]))
        while not draft.done:
            sampler.write([draft], self._logits(draft.written[-1:]))
        self._crop(prompt)
        return sampler.completion(draft)

    def _keep(self, prompt: list[int]) -> int:
        """How many tokens need not be read; the last one always is, for what comes after it."""
        pairs = enumerate(zip(prompt[:-1], self.ids, strict=False))
        known = min(len(prompt) - 1, len(self.ids))
        shared = next((place for place, (new, old) in pairs if new != old), known)
        self._crop(prompt[:shared])
        return shared

    def _crop(self, ids: list[int]) -> None:
        more = self.cache.get_seq_length() - len(ids)
        if not ids:
            self.forget()
        elif more > 0:
            self.cache.crop(-more)
        self.ids = ids

    def _logits(self, ids: list[int]) -> torch.Tensor:
        read = self.model(
            input_ids=self._tensor(ids),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return read.logits[:, -1]

    def _tensor(self, ids: list[int]) -> torch.Tensor:
        self.read += len(ids)
        return torch.tensor([ids], device=self.model.device)
