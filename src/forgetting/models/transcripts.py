"""Transcripts of Whisper's: a sound is encoded once, in windows of 30 s, and written greedily.

The decoder begins with tokens that say the language and what to do. In the place of the language's
a weighted sum of several languages' embeddings may stand (Huang et al. 2024, arXiv 2412.16474: the
weights are what Whisper takes the language for, `languages`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache, EncoderDecoderCache

from forgetting.checking import BadValue
from forgetting.models import whisper
from forgetting.wording import did_you_mean

Language = str | Mapping[str, float] | None  # "it"; shares by name; the one it is taken for
SPARE, A_SECOND = 16, 10  # tokens that a transcript may have: beside, and a second of sound
PHRASE, TIMES = 24, 4  # a loop: a phrase of at most so many tokens, so often in a row


class Encoded(NamedTuple):
    """A window of a sound: its encoder states, (1, positions, width), and how long it lasts."""

    states: torch.Tensor
    seconds: float


class Transcript(NamedTuple):
    """What was written, its tokens, and their mean log-likelihood, nats.

    `looped`: it came to no end in as many tokens as its sound could hold, or repeats itself.
    """

    text: str
    ids: list[int]
    nats: float
    looped: bool


@torch.no_grad()
def encoded(model: Any, wave: Any) -> list[Encoded]:
    """The states of a waveform, (samples,) at 16 kHz, window by window.

    Windows are as long as the encoder hears, with silence after the sound: one that is cut to the
    sound makes the decoder loop.
    """
    positions = model.config.max_source_positions
    size = positions * whisper.SAMPLES
    windows = [wave[at : at + size] for at in range(0, max(len(wave), 1), size)]
    found = []
    for window in windows:
        features = whisper.log_mel(window, model.config, positions)[None].to(model.device)
        states = model.model.encoder(features).last_hidden_state
        found.append(Encoded(states, len(window) / whisper.RATE))
    return found


@torch.no_grad()
def transcribe(
    model: Any, tokenizer: Any, sound: Sequence[Encoded], language: Language = None
) -> Transcript:
    """The likeliest token after another, window by window.

    Raises `BadValue` for a language that the model does not have.
    """
    ids: list[int] = []
    nats, steps, looped = 0.0, 0, False
    for window in sound:
        start = before(model, tokenizer, _named(model, tokenizer, window, language))
        cap = SPARE + round(A_SECOND * window.seconds)
        written, surprises = _greedily(model, start, window, cap)
        ended = len(surprises) > len(written)
        looped |= not ended or loops(written)
        ids, nats, steps = ids + written, nats + sum(surprises), steps + len(surprises)
    text = str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
    return Transcript(text, ids, nats / max(steps, 1), looped)


def log_likelihoods(
    model: Any, tokenizer: Any, window: Encoded, text: str, language: Language = None
) -> torch.Tensor:
    """Of each token of a transcript, and of its end: nats, with gradients."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    targets = torch.tensor([*ids, model.config.eos_token_id], device=model.device)
    start = before(model, tokenizer, _named(model, tokenizer, window, language))
    read = torch.cat([start, model.get_input_embeddings()(targets[None, :-1])], 1)
    logits, _ = _read(model, read, window, None)
    nats = logits[0, start.shape[1] - 1 :].float().log_softmax(-1)
    return nats.gather(1, targets[:, None])[:, 0]


@torch.no_grad()
def languages(model: Any, tokenizer: Any, window: Encoded) -> dict[str, float]:
    """What Whisper takes the language for: a share for each that it has, by name; else empty."""
    known = getattr(model.generation_config, "lang_to_id", None)
    if not known:
        return {}
    start = torch.tensor([[model.config.decoder_start_token_id]], device=model.device)
    logits, _ = _read(model, model.get_input_embeddings()(start), window, None)
    shares = logits[0, -1, list(known.values())].float().softmax(-1).tolist()
    return {name.strip("<|>"): share for name, share in zip(known, shares, strict=True)}


def _named(model: Any, tokenizer: Any, window: Encoded, language: Language) -> Language:
    if language is not None:
        return language
    shares = languages(model, tokenizer, window)
    return max(shares, key=lambda name: shares[name]) if shares else None


def before(model: Any, tokenizer: Any, language: Language) -> torch.Tensor:
    """(1, tokens, width): embeddings of what stands before a transcript.

    Start, language, task and "no timestamps", of which a vocabulary may lack some. Raises
    `BadValue` for a language that the vocabulary lacks.
    """
    table = model.get_input_embeddings().weight
    shares = {language: 1.0} if isinstance(language, str) else dict(language or {})
    parts = [table[[model.config.decoder_start_token_id]]]
    if shares:
        ids = [_mark(tokenizer, name) for name in shares]
        if None in ids:
            missing = list(shares)[ids.index(None)]
            known = [n.strip("<|>") for n in getattr(model.generation_config, "lang_to_id", {})]
            hint = did_you_mean(missing, known, "this model writes one language; name none")
            raise BadValue(f"language={missing!r}: its vocabulary has no such token; {hint}")
        weights = torch.tensor(list(shares.values()), device=table.device)
        parts.append((weights[:, None] * table[ids]).sum(0, keepdim=True))
    tasks = ("transcribe", "notimestamps") if shares else ("notimestamps",)
    parts += [table[[id]] for id in (_mark(tokenizer, task) for task in tasks) if id is not None]
    return torch.cat(parts)[None]


def loops(ids: Sequence[int]) -> bool:
    """Whether a phrase of 1 to 24 tokens stands four times in a row."""
    sizes = range(1, min(PHRASE, len(ids) // TIMES) + 1)
    return any(_longest_run(ids, size) >= size * (TIMES - 1) for size in sizes)


def _longest_run(ids: Sequence[int], size: int) -> int:
    """The most tokens in a row that are those `size` before them."""
    longest = run = 0
    for one, other in zip(ids, ids[size:], strict=False):
        run = run + 1 if one == other else 0
        longest = max(longest, run)
    return longest


def _mark(tokenizer: Any, name: str) -> int | None:
    return tokenizer.get_vocab().get(f"<|{name}|>")


def _read(
    model: Any, embeddings: torch.Tensor, window: Encoded, cache: Any
) -> tuple[torch.Tensor, Any]:
    out = model.model.decoder(
        inputs_embeds=embeddings,
        encoder_hidden_states=window.states,
        past_key_values=cache,
        use_cache=cache is not None,
    )
    return model.proj_out(out.last_hidden_state), out.past_key_values


def _greedily(
    model: Any, start: torch.Tensor, window: Encoded, cap: int
) -> tuple[list[int], list[float]]:
    """Up to `cap` tokens, and the log-likelihoods of these and of the end, where it came."""
    config, written, nats = model.generation_config, [], []
    cap = min(cap, model.config.max_target_positions - start.shape[1])
    cache, read = EncoderDecoderCache(DynamicCache(), DynamicCache()), start
    for place in range(cap):
        logits, cache = _read(model, read, window, cache)
        scores = logits[0, -1].float()
        spread = scores.logsumexp(0)
        scores[list(_silenced(config, first=place == 0))] = -torch.inf
        token = int(scores.argmax())
        nats.append(float(scores[token] - spread))
        if token == model.config.eos_token_id:
            break
        written.append(token)
        read = model.get_input_embeddings()(torch.tensor([[token]], device=model.device))
    return written, nats


def _silenced(config: Any, first: bool) -> Iterator[int]:
    """Tokens that are never written, or never first."""
    yield from config.suppress_tokens or ()
    yield from (config.begin_suppress_tokens or ()) if first else ()
