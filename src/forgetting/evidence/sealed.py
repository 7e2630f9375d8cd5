"""Sealed files: JSON, a line a field, whose last field is the sha256 of what stands above it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n}\n\Z')

Model = TypeVar("Model", bound=BaseModel)


class BadRecord(ValueError):
    """A file of records that is not what the schema asks for."""


def seal(fields: dict[str, Any]) -> str:
    """A file's text: diff-friendly JSON, sealed."""
    text = _pack(fields) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.removesuffix("\n}\n") + f',\n "sha256": "{digest}"\n}}\n'


def unseal(kind: type[Model], content: bytes, name: str) -> Model:
    """What a file's bytes hold. Raises `BadRecord` with its `name` and the first wrong field."""
    remedy = "delete the file and run the chapter again"
    sealed = SEAL.search(content)
    if sealed is None:
        raise BadRecord(f"{name}: sha256: the file is cut or was changed; {remedy}")
    content = content[: sealed.start()] + b"\n}\n"
    if hashlib.sha256(content).hexdigest() != sealed[1].decode():
        raise BadRecord(f"{name}: sha256: the file was changed; {remedy}")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in first["loc"]) or "file"
        problem = first["msg"].removeprefix("Value error, ")
        raise BadRecord(f"{name}: {location}: {problem}; {remedy}") from error


def _pack(value: Any, indent: str = "") -> str:
    """JSON with one line a field; lists of plain values, and their objects, stay on one line."""
    if isinstance(value, dict) and value and (not indent or _nested(value)):
        inner = indent + " "
        lines = [f"{inner}{_plain(k)}: {_pack(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        inner = indent + " "
        return "[\n" + ",\n".join(inner + _pack(v, inner) for v in value) + f"\n{indent}]"
    return _plain(value)


def _nested(value: dict[str, Any]) -> bool:
    return any(isinstance(v, dict | list) for v in value.values())


def _plain(value: Any) -> str:
    if isinstance(value, float) and abs(value) < 1e15 and value == int(value):
        value = int(value)
    if isinstance(value, list):
        return "[" + ",".join(_plain(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)
