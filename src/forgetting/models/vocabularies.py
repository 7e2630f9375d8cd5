"""What lies beside a model's weights, and whether it is the same for two models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from forgetting.models import loading
from forgetting.models.foundations import Foundation

# Of configuration files, what no answer depends on.
SILENT = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}


def require_one_vocabulary(first: Foundation, other: Foundation) -> None:
    """Raise `ValueError` naming the first token, in order of ids, that two models number apart."""
    if _same_files(first, other):
        return
    ours, theirs = vocabulary(first), vocabulary(other)
    if ours == theirs:
        return
    known = sorted(ours, key=lambda token: ours[token])
    known += sorted(theirs.keys() - ours.keys(), key=lambda token: theirs[token])
    token = next(token for token in known if ours.get(token) != theirs.get(token))
    raise ValueError(
        f"vocabularies differ: token {token!r} is {ours.get(token, 'missing')} in {first.name} "
        f"and {theirs.get(token, 'missing')} in {other.name}; a merge needs one vocabulary"
    )


def alike(first: Foundation, other: Foundation) -> bool:
    """Whether tokenizer, chat template, special tokens and configuration are the same."""
    return _same_files(first, other) or _beside_weights(first) == _beside_weights(other)


@lru_cache(maxsize=8)
def vocabulary(foundation: Foundation) -> Mapping[str, int]:
    """Every token's id, added and special tokens included."""
    return _tokenizer(foundation).get_vocab()


@lru_cache(maxsize=8)
def _tokenizer(foundation: Foundation) -> Any:
    return foundation.tokenizer()


def _same_files(first: Foundation, other: Foundation) -> bool:
    """Whether nothing has to be loaded to see that two models are alike beside their weights."""
    if first.template != other.template:
        return False
    return first.digest == other.digest or _files(first) == _files(other)


@lru_cache(maxsize=64)
def _files(foundation: Foundation) -> dict[str, str]:
    """The sha256 of each file beside the weights."""
    return {
        str(path.relative_to(foundation.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in loading.beside_weights(foundation.folder)
        if path.name != loading.INDEX
    }


@lru_cache(maxsize=64)
def _beside_weights(foundation: Foundation) -> str:
    tokenizer = _tokenizer(foundation)
    beside = {
        "tokenizer": tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else "",
        "vocabulary": "" if tokenizer.is_fast else vocabulary(foundation),
        "template": tokenizer.chat_template,
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "model": _configuration(foundation, "config.json"),
        "generation": _configuration(foundation, "generation_config.json"),
    }
    return json.dumps(beside, sort_keys=True)


def _configuration(foundation: Foundation, name: str) -> dict[str, Any]:
    path = foundation.folder / name
    fields = json.loads(path.read_text()) if path.exists() else {}
    return {field: value for field, value in fields.items() if field not in SILENT}
