"""What lies beside a model's weights, and whether it is the same for two models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from forgetting.models import foundations
from forgetting.models.foundations import Foundation

# Of configuration files, what no answer depends on.
SILENT = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}


def require_one_vocabulary(first: Foundation, other: Foundation) -> None:
    """Raise `ValueError` naming the first token, in order of ids, that two models number apart."""
    if first.digest == other.digest:
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


@lru_cache(maxsize=8)
def vocabulary(foundation: Foundation) -> Mapping[str, int]:
    """Every token's id, added and special tokens included."""
    return foundations.load_tokenizer(foundation.folder).get_vocab()


@lru_cache(maxsize=64)
def beside_weights(foundation: Foundation) -> str:
    """Tokenizer, chat template, special tokens and configuration as one text, to be compared."""
    tokenizer: Any = foundations.load_tokenizer(foundation.folder)
    return json.dumps(
        {
            "tokenizer": tokenizer.backend_tokenizer.to_str()
            if tokenizer.is_fast
            else vocabulary(foundation),
            "template": tokenizer.chat_template,
            "special": {name: str(t) for name, t in tokenizer.special_tokens_map.items()},
            "model": _read(foundation, "config.json"),
            "generation": _read(foundation, "generation_config.json"),
        },
        sort_keys=True,
    )


def _read(foundation: Foundation, name: str) -> dict[str, Any]:
    path = foundation.folder / name
    said = json.loads(path.read_text()) if path.exists() else {}
    return {field: value for field, value in said.items() if field not in SILENT}
