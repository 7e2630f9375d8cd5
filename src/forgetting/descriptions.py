"""Methods: what a card of the book says of each, read from `data/methods/*.toml`."""

from __future__ import annotations

import ast
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from forgetting.home import data_dir

Question = Literal[
    "What is it shown?",
    "What may move?",
    "What is it asked for?",
    "What is done to the weights after?",
]


class Method(BaseModel):
    """One method. `rows` are the names under which records know it, in any chapter.

    `equation` is LaTeX, `symbols` are the classes or functions that implement it
    ("forgetting.tuning.LoRA"), `citations` are keys of the bibliography.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    question: Question
    idea: str
    equation: str
    cost: str
    use: str
    citations: list[str] = Field(min_length=1)
    symbols: list[str] = Field(min_length=1)
    rows: list[str] = Field(min_length=1)


def methods() -> list[Method]:
    """All methods, by file name. Raises pydantic's `ValidationError` for a malformed file."""
    return [_read(path) for path in sorted((data_dir() / "methods").glob("*.toml"))]


def where(symbol: str) -> tuple[str, int]:
    """The file, relative to the package's folder, and line of a class or function by its full name.

    Nothing is imported. Raises `LookupError` where the module defines no such name.
    """
    module, _, name = symbol.rpartition(".")
    folder = Path(__file__).parent
    path = folder.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if path.is_file():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return path.relative_to(folder).as_posix(), node.lineno
    raise LookupError(f"symbol={symbol!r}: {module} defines no {name}")


@lru_cache
def _read(path: Path) -> Method:
    return Method(name=path.stem, **tomllib.loads(path.read_text(encoding="utf-8")))
