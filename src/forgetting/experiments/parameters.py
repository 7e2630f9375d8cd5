"""Parameters: what a reader may change in a chapter, and the check of what was asked for.

A chapter is a notebook `notebooks/NN_name.ipynb`. Its cell tagged `parameters` is typed, commented
Python, one parameter a line. Papermill reads the lines, pydantic checks the values:

    tier: str = "laptop"  # which budget to spend [smoke|classroom|laptop|full|paper]
    seeds: list[int] = [0]  # one run a seed [0..9999]

The bracket that ends a comment holds the values that a text may take, or a number's lowest and
highest value (of each element, where the parameter is a list).
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from forgetting.wording import did_you_mean

ELEMENTS: dict[str, Any] = {"str": str, "int": int, "float": FiniteFloat, "bool": bool}
PLAINLY = re.compile(r"[\x20-\x5e\x60-\x7e]*")  # no 1_0, and no digits of other scripts
TYPES = (*ELEMENTS, *(f"list[{element}]" for element in ELEMENTS))
WRITE_IT_AS = "write each on one line as `name: type = value  # what it does [low..high]`"
PLAIN = "a default is a plain value; [one|another] limits texts, [lowest..highest] numbers"


class BadParameter(ValueError):
    """A name or a value that the chapter does not take."""


class BadCell(ValueError):
    """A notebook that cannot be read, or whose `parameters` cell is not written as it should be."""


@dataclass(frozen=True)
class Parameter:
    """One line of a `parameters` cell. `type` and `limits` are as written: `list[int]`, `0..9`."""

    name: str
    type: str
    default: Any = field(hash=False)
    help: str
    limits: str = ""

    @property
    def is_list(self) -> bool:
        return self.type.startswith("list[")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that a text may take; none where it may be any."""
        texts = self.limits.split("|") if self.limits and "str" in self.type else ()
        return tuple(map(str.strip, texts))

    @property
    def allowed(self) -> str:
        """What it may be, in words; empty where its type says it all."""
        low, dots, high = self.limits.partition("..")
        if self.choices or not dots:
            return ", ".join(self.choices)
        one = f"at {'least' if low else 'most'} {low or high}"
        return f"{low} to {high}" if low and high else one

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """What checks a value. Raises `ValueError` and others where the limits are none."""
        element = ELEMENTS[self.type.removeprefix("list[").removesuffix("]")]
        if self.choices:
            usable = {c for c in self.choices if c and not (self.is_list and "," in c)}
            if len(usable) < len(self.choices):
                raise ValueError("a choice is empty, repeated or two values of a list")
            element = Literal[self.choices]
        elif self.limits:
            low, high = (ast.literal_eval(bound or "None") for bound in self.limits.split(".."))
            if element is bool or low is high is None:
                raise ValueError("a bool has no limits, and a number at least one")
            element = Annotated[element, Field(ge=low, le=high)]
        whole = list[element] if self.is_list else element  # type: ignore[valid-type]
        return TypeAdapter(whole)


def chapters(root: Path) -> dict[str, Path]:
    """The notebooks of the book in `root`, in its order, by chapter name."""
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    names = ((re.fullmatch(r"\d+_(.+)", path.stem), path) for path in paths)
    return {name[1]: path for name, path in names if name}


def title_of(notebook: Path) -> str:
    """The notebook's first markdown heading; its file name where it has none."""
    texts = (cell.source for cell in _cells(notebook) if cell.cell_type == "markdown")
    headings = (re.search(r"^ {0,3}#{1,6}\s+(.+?)\s*#*$", text, re.MULTILINE) for text in texts)
    return next((heading[1] for heading in headings if heading), notebook.stem)


def parameters_of(notebook: Path) -> list[Parameter]:
    """What the notebook's `parameters` cell declares, in its order. Raises `BadCell`."""
    from papermill.translators import PythonTranslator  # imported late: it takes a second

    logging.getLogger("papermill").setLevel(logging.ERROR)  # what it passes over is told below
    sources = [c.source for c in _cells(notebook) if "parameters" in c.metadata.get("tags", [])]
    if len(sources) != 1:
        count = len(sources) or "no"
        raise BadCell(f"{notebook.name}: has {count} cells tagged `parameters`; tag one of them")
    declared: dict[str, Parameter] = {}
    number, lines = 1, sources[0].splitlines()
    try:
        for statement in ast.parse(sources[0]).body:
            number, code = statement.lineno, ast.unparse(statement)
            line = "\n".join(lines[number - 1 : statement.end_lineno])
            read = PythonTranslator.inspect({"source": line})
            if len(read) != 1 or read[0].name in declared:
                raise BadParameter(f"`{code}` is no parameter of its own; {WRITE_IT_AS}")
            declared[read[0].name] = _parameter(*read[0])
    except (SyntaxError, BadParameter) as error:
        where = f"{notebook.name}, line {getattr(error, 'lineno', number)} of its parameters"
        raise BadCell(f"{where}: {getattr(error, 'msg', error)}") from error
    return list(declared.values())


def _cells(notebook: Path) -> list[Any]:
    import nbformat  # imported late, as papermill is

    try:
        return nbformat.read(notebook, as_version=4).cells
    except Exception as error:  # of nbformat's many classes
        raise BadCell(f"{notebook.name}: not a notebook of format 4 ({error!r})") from error


def _parameter(name: str, kind: str, default: str, comment: str) -> Parameter:
    """One line, from its parts as papermill cuts it."""
    about, limits = re.findall(r"^(.*?)\s*(?:\[([^\[\]]*)\])?$", comment)[0]
    if kind not in TYPES:
        raise BadParameter(f"{name}: {kind} is no type of a parameter; use {', '.join(TYPES)}")
    if not about:
        raise BadParameter(f"{name} has no comment that says what it does; {WRITE_IT_AS}")
    try:
        parameter = Parameter(name, kind, ast.literal_eval(default), about, limits)
        _ = parameter.adapter
    except (ValueError, SyntaxError, TypeError, SchemaError) as error:
        raise BadParameter(f"{name}={default} [{limits}]: {PLAIN}") from error
    return replace(parameter, default=_checked(parameter, parameter.default, strict=True))


def check(
    parameters: Sequence[Parameter], given: Mapping[str, str], chapter: str = "the chapter"
) -> dict[str, Any]:
    """The `given` texts as values of their parameters, as "0,1" to [0, 1].

    Raises `BadParameter` in one line for an unknown name, a value of another type or out of range,
    and an empty or repeated element of a list.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name, text in given.items():
        if name not in known:
            hint = did_you_mean(name, known, f"it has {', '.join(known) or 'none'}")
            raise BadParameter(f"{name}={text!r}: {chapter} has no such parameter; {hint}")
    return {name: _value(known[name], text) for name, text in given.items()}


def _value(parameter: Parameter, text: str) -> Any:
    name, pair = parameter.name, f"{parameter.name}={text!r}"
    if not text.strip() and parameter.default != "":
        raise BadParameter(f"{pair}: empty; leave {name} out for its default, {parameter.default}")
    if not parameter.is_list:
        return _checked(parameter, text.strip())
    parts = [part.strip() for part in text.split(",")]
    if "" in parts or parts[0].startswith("["):
        raise BadParameter(f"{pair}: write one,another without brackets, quotes or empty elements")
    values = _checked(parameter, parts)
    for index, part in enumerate(parts):
        if values[index] in values[:index]:
            raise BadParameter(f"{pair}: {part} stands there twice; name each value once")
    return values


def _checked(parameter: Parameter, value: Any, *, strict: bool = False) -> Any:
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and "str" not in parameter.type and not PLAINLY.fullmatch(text):
            raise BadParameter(f"{parameter.name}={text!r}: write a number in plain digits")
    try:
        return parameter.adapter.validate_python(value, strict=strict)
    except ValidationError as error:
        first = error.errors()[0]
        problem = first["msg"].replace("Input should", "should")
        if first["type"] in ("literal_error", "greater_than_equal", "less_than_equal"):
            problem = f"must be {'one of ' * bool(parameter.choices)}{parameter.allowed}"
        hint = did_you_mean(str(first["input"]), parameter.choices)
        words = "; ".join(filter(None, (problem, hint)))
        raise BadParameter(f"{parameter.name}={first['input']!r}: {words}") from None


def typed(value: Any) -> str:
    """A value as one types it on the command line: [0, 1] as 0,1."""
    return ",".join(map(typed, value)) if isinstance(value, list) else str(value)
