"""What comes from outside, checked: values, TOML, YAML. Every fault is told in one line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from forgetting.wording import did_you_mean

Kind = TypeVar("Kind", bound=BaseModel)


class BadValue(ValueError):
    """A value that makes no sense: the field, the value, the remedy."""


class BadFile(ValueError):
    """A file of data that is not written as it should be: the file, the field, the remedy."""


class Checked(BaseModel):
    """A model of pydantic whose errors are one line. Raises `BadValue`."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise BadValue(first_problem(error, type(self).model_fields)) from None


def first_problem(error: ValidationError, known: Iterable[str] = ()) -> str:
    """ "rank=0: should be greater than 0"; of an unknown field the nearest of `known`."""
    first = error.errors()[0]
    problem = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not first["loc"]:
        return problem
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        problem = f"no such field; {did_you_mean(field, known, 'leave it out')}"
    if first["type"] == "missing":
        return f"{field}: missing; name it"
    return f"{field}={first['input']!r}: {problem}"


def toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds. Raises `BadFile`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of TOML, and of UTF-8
        raise BadFile(f"{path}: not TOML: {error}; mend it") from error


def yaml(path: Path) -> dict[str, Any]:
    """What a YAML file holds, where that is a mapping. Raises `BadFile`."""
    from yaml import YAMLError, safe_load

    try:
        content = safe_load(path.read_text(encoding="utf-8"))
    except (YAMLError, ValueError) as error:
        raise BadFile(f"{path}: not YAML: {' '.join(str(error).split())}; mend it") from error
    if not isinstance(content, dict):
        raise BadFile(f"{path}: {content!r}: expected fields")
    return content


def read(kind: type[Kind], path: Path, values: Any, **more: Any) -> Kind:
    """The model that a table of a file makes. Raises `BadFile`."""
    if not isinstance(values, dict):
        raise BadFile(f"{path}: {values!r}: expected a table")
    try:
        return kind(**{**values, **more})
    except ValidationError as error:
        raise BadFile(f"{path}: {first_problem(error, kind.model_fields)}") from error


def whole(name: str, value: Any, least: int = 0, most: int | None = None) -> None:
    """Raise `BadValue` for what is not a whole number within these bounds."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise BadValue(f"{name}={value!r}: a whole number is needed, {bounds}")


def seed(value: Any) -> None:
    """Raise `BadValue` for what no generator of random numbers starts from."""
    whole("seed", value, 0, 2**32 - 1)


def instance(name: str, value: Any, *has: str) -> None:
    """Raise `BadValue` for a class in place of its instance, or what has not these methods."""
    if isinstance(value, type):
        raise BadValue(f"{name}={value.__name__}: a class; write {value.__name__}(…)")
    for method in has:
        if not callable(getattr(value, method, None)):
            raise BadValue(f"{name}={value!r}: has no {method}(); `dir(forgetting)` lists methods")
