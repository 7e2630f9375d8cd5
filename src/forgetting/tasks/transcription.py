"""How far a transcript is from what was said: words and characters that differ."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple


class Errors(NamedTuple):
    """Words, or characters, that were substituted, left out or put in, and how many were said.

    Of a set, the rate is the sum of the ones over the sum of the others; it may exceed 1.
    """

    wrong: int
    said: int


def words(said: str, written: str, language: str = "en") -> Errors:
    """Of words, after `plain`. Raises `ValueError` where nothing was said."""
    from jiwer import process_words

    return _errors(process_words(*_both(said, written, language)))


def characters(said: str, written: str, language: str = "en") -> Errors:
    """Of characters, spaces among them, after `plain`. Raises `ValueError`."""
    from jiwer import process_characters

    return _errors(process_characters(*_both(said, written, language)))


def _errors(found: Any) -> Errors:
    wrong = found.substitutions + found.deletions + found.insertions
    return Errors(wrong, found.hits + found.substitutions + found.deletions)


def _both(said: str, written: str, language: str) -> tuple[str, str]:
    reference = plain(said, language)
    if not reference:
        raise ValueError(f"said={said!r}: has no words; nothing can be counted")
    return reference, plain(written, language)


def plain(text: str, language: str = "en") -> str:
    """A text as Whisper's normaliser leaves it (Radford et al. 2022, appendix C).

    Small letters without punctuation; of English, numbers in digits and contractions in full; of
    other languages, accents stay, and so do numbers as they are written. Whisper's leaves "one" as
    it is, which may be no number: a lone 1 is that word here.
    """
    words = (word for word in _normaliser(language)(text).split() if re.search(r"\w", word))
    return " ".join("one" if word == "1" and language == "en" else word for word in words)


@lru_cache
def _normaliser(language: str) -> Any:
    from transformers.models.whisper import english_normalizer as made

    return made.EnglishTextNormalizer({}) if language == "en" else made.BasicTextNormalizer()
