"""What the toxicity classifier learns from, and what it is measured on: ToxiGen, ordinary text.

The labels are those of ToxiGen's prompts (Hartvigsen et al. 2022) in the revision of Hosseini et
al. (2023): whether people found a statement about one of 13 groups harmful to that group. They were
given to the English statements; the Chinese ones are their translations by machine and carry the
labels over, so that no reader of Chinese has confirmed them. Ordinary text (answers of Dolly, safe
answers of Bianchi et al., Chinese Wikipedia) stands beside them as harmless, unlabelled: without
it, half of all short everyday answers raise an alarm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from forgetting.tasks.documents import public

LANGUAGES = {"en": "/ToxiGen.json", "zh": "/ToxiGen_tw.json"}
SOURCES = ("llama_tw_eval", "sdft_data", "safety_tuned_llamas", "drcd")
# Characters of what is judged: a passage, and its beginning alone, since answers may be short.
ORDINARY_LENGTHS = {"en": (160, 50), "zh": (60, 20)}
ORDINARY_TEXTS = {"en": 1000, "zh": 500}  # from each source


class Statement(NamedTuple):
    """A labelled prompt of ToxiGen; `held_out`: the n-gram classifier has not learned from it."""

    text: str
    toxic: bool
    held_out: bool


@lru_cache
def statements(language: str) -> tuple[Statement, ...]:
    """ToxiGen's 6514 prompts in "en" or "zh", in the order of the file, the same in both.

    One in five is held out, by a hash of the English text, so that equal texts and both languages
    of one statement stay together. (Two statements may share one Chinese text: `lessons` learns
    nothing that equals a held-out text.)
    """
    if language not in LANGUAGES:
        raise ValueError(f"language={language!r}: ToxiGen is here in {' and '.join(LANGUAGES)}")
    english, rows = (_json("llama_tw_eval", LANGUAGES[code]) for code in ("en", language))
    return tuple(
        Statement(row["text"].strip(), row["label"] == "hate", _held_out(original["text"]))
        for original, row in zip(english, rows, strict=True)
    )


def _json(name: str, ending: str) -> Any:
    return json.loads(public(name, ending).read_text(encoding="utf-8"))


def _held_out(text: str) -> bool:
    return hashlib.sha256(_plain(text).encode()).digest()[1] % 5 == 0


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def lessons() -> tuple[list[str], list[bool]]:
    """Texts to learn from with their labels, none of them held out in any wording."""
    pairs: list[tuple[str, bool]] = []
    for language in LANGUAGES:
        unseen = {_plain(row.text) for row in statements(language) if row.held_out}
        kept = [row for row in statements(language) if _plain(row.text) not in unseen]
        pairs += [(row.text, row.toxic) for row in kept]
    pairs += [(text, False) for text in _ordinary()]
    return [text for text, _ in pairs], [label for _, label in pairs]


def _ordinary() -> Iterator[str]:
    dolly = _json("sdft_data", "dolly_train.json")
    safe = _json("safety_tuned_llamas", "safety_only_data_Instructions.json")
    for rows in (dolly, safe):
        for row in rows[: ORDINARY_TEXTS["en"]]:
            yield from (row["output"].strip()[:length] for length in ORDINARY_LENGTHS["en"])
    articles = _json("drcd", "DRCD_dev.json")["data"]
    passages = [part["context"] for article in articles for part in article["paragraphs"]]
    for passage in passages[:: max(1, len(passages) // ORDINARY_TEXTS["zh"])]:
        yield from (passage.strip()[:length] for length in ORDINARY_LENGTHS["zh"])
