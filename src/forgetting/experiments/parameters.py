"""Parameters: what a reader may change in a chapter, and the check of what was asked for.

A chapter is a notebook `notebooks/NN_name.ipynb`. Its cell tagged `parameters` is typed, commented
Python, one parameter a line:

    tier: str = "laptop"  # which budget to spend [smoke|classroom|laptop|full|paper]
    seeds: list[int] = [0]  # one run a seed [0..9999]

The bracket that ends a comment holds the values that a text may take, or a number's lowest and
highest value (of each element, where the parameter is a list).
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

ELEMENTS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}
TYPES = (*ELEMENTS, *(f"list[{element}]" for element in ELEMENTS))
BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
WRITE_IT_AS = "write it as `name: type = value  # what it does [low..high]`"


class BadParameter(ValueError):
    """A name or a value that the chapter does not take."""


class BadCell(ValueError):
    """A notebook that cannot be read, or whose `parameters` cell is not written as it should be."""


@dataclass(frozen=True)
class Parameter:
    """One line of a `parameters` cell. `type` is as written there: `int`, `list[float]`, …"""

    name: str
    type: str
    default: Any = field(hash=False)
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def is_list(self) -> bool:
        return self.type.startswith("list[")

    @property
    def element(self) -> str:
        """The type of one value: `float` for `list[float]`."""
        return self.type.removeprefix("list[").removesuffix("]")

    @property
    def allowed(self) -> str:
        """What it may be, in words; empty where its type says it all."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is None and self.high is None:
            return ""
        if self.low is None or self.high is None:
            bound, number = ("at least", self.low) if self.high is None else ("at most", self.high)
            return f"{bound} {_plain(number)}"
        return f"{_plain(self.low)} to {_plain(self.high)}"


# -- chapters ----------------------------------------------------------------------------------


def chapters(root: Path) -> dict[str, Path]:
    """The notebooks of the book in `root`, in its order, by chapter name."""
    found = sorted((root / "notebooks").glob("*.ipynb"))
    numbered = ((re.fullmatch(r"\d+_(.+)", path.stem), path) for path in found)
    return {match[1]: path for match, path in numbered if match}


def title_of(notebook: Path) -> str:
    """The notebook's first markdown heading; its file name where it has none."""
    for cell in _cells(notebook):
        if cell.get("cell_type") == "markdown":
            heading = re.search(r"^ {0,3}#{1,6}\s+(.+?)\s*#*$", _source(cell), re.MULTILINE)
            if heading:
                return heading[1]
    return notebook.stem


def parameters_of(notebook: Path) -> list[Parameter]:
    """What the notebook's `parameters` cell declares, in its order. Raises `BadCell`."""
    cells = enumerate(_cells(notebook), start=1)
    tagged = [(n, cell) for n, cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        count = len(tagged) or "no"
        raise BadCell(f"{notebook.name}: has {count} cells tagged `parameters`; tag one of them")
    number, cell = tagged[0]
    return _read(_source(cell), f"{notebook.name}, cell {number}")


def _cells(notebook: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        return [{"metadata": {}, **cell} for cell in content["cells"]]
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BadCell(f"{notebook.name}: not a notebook of format 4 ({reason})") from error


def _source(cell: Mapping[str, Any]) -> str:
    return "".join(cell.get("source", ""))  # a list of lines, or one text


# -- reading a cell ----------------------------------------------------------------------------


def _read(code: str, where: str) -> list[Parameter]:
    try:
        statements = ast.parse(code).body
    except SyntaxError as error:
        raise BadCell(f"{where}, line {error.lineno}: {error.msg}; {WRITE_IT_AS}") from error
    comments, lines = _comments(code), code.splitlines()
    declared: dict[str, Parameter] = {}
    for statement in statements:
        line = statement.lineno
        try:
            if statement.end_lineno != line or sum(s.lineno == line for s in statements) > 1:
                raise BadCell(f"one parameter a line, one line a parameter; {WRITE_IT_AS}")
            parameter = _parameter(statement, lines[line - 1], comments.get(line, ""))
            if parameter.name in declared:
                raise BadCell(f"{parameter.name} is declared twice; remove one of the lines")
        except (BadCell, BadParameter) as error:
            raise BadCell(f"{where}, line {line}: {error}") from error
        declared[parameter.name] = parameter
    return list(declared.values())


def _comments(code: str) -> dict[int, str]:
    """The text after `#`, by line."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    comments = (token for token in tokens if token.type == tokenize.COMMENT)
    return {token.start[0]: token.string.lstrip("#").strip() for token in comments}


def _parameter(statement: ast.stmt, line: str, comment: str) -> Parameter:
    if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
        raise BadCell(f"{line.strip()!r} is no parameter; {WRITE_IT_AS}")
    name, kind = statement.target.id, ast.unparse(statement.annotation)
    if kind not in TYPES:
        raise BadCell(f"{name}: {kind} is no type of a parameter; take one of {', '.join(TYPES)}")
    if statement.value is None:
        raise BadCell(f"{name} has no value; {WRITE_IT_AS}")
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError):
        raise BadCell(f"{name} needs a plain value, one that nobody has to compute") from None
    described = re.fullmatch(r"(.*?)\s*(?:\[([^\[\]]*)\])?", comment)
    if not described or not described[1]:
        raise BadCell(f"{name} has no comment that says what it does; {WRITE_IT_AS}")
    about, bracket = described.groups()
    parameter = Parameter(name, kind, default, about, **_limits(name, kind, bracket))
    if parameter.is_list != isinstance(default, list):
        raise BadCell(f"{name}={default!r}: its default is no {kind}")
    return replace(parameter, default=_value(parameter, default))


def _limits(name: str, kind: str, bracket: str | None) -> dict[str, Any]:
    """`low` and `high`, or `choices`, from the bracket of a comment."""
    if bracket is None:
        return {}
    if "str" in kind:
        choices = tuple(choice.strip() for choice in bracket.split("|"))
        if "" in choices or len(set(choices)) < len(choices):
            raise BadCell(f"{name}: [{bracket}] has an empty or repeated choice; write [a|b]")
        if kind == "list[str]" and "," in bracket:
            raise BadCell(f"{name}: [{bracket}] has a comma, which separates a list's values")
        return {"choices": choices}
    if "bool" in kind:
        raise BadCell(f"{name}: a bool is true or false; remove [{bracket}]")
    low, dots, high = bracket.partition("..")
    try:
        limits = {key: _limit(text) for key, text in (("low", low), ("high", high)) if text.strip()}
    except ValueError:
        limits = {}
    if not dots or not limits or limits.get("low", -math.inf) > limits.get("high", math.inf):
        raise BadCell(f"{name}: [{bracket}] is no range; write [lowest..highest]")
    return limits


def _limit(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return _float(text)


# -- checking values ---------------------------------------------------------------------------


def check(
    parameters: Sequence[Parameter], given: Mapping[str, Any], chapter: str = "the chapter"
) -> dict[str, Any]:
    """The `given` values in their parameters' types; texts are converted, as "0,1" to [0, 1].

    Raises `BadParameter` in one line for an unknown name, a value of another type or out of range,
    and an empty or repeated element of a list.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in given.items():
        if name not in known:
            hint = _nearest(name, known) or f"it has {', '.join(known) or 'none'}"
            raise BadParameter(f"{name}={value!r}: {chapter} has no such parameter; {hint}")
    return {name: _value(known[name], value) for name, value in given.items()}


def _value(parameter: Parameter, value: Any) -> Any:
    said = f"{parameter.name}={value!r}"
    blank = value == [] or (isinstance(value, str) and not value.strip())
    if blank and value != parameter.default:
        raise BadParameter(
            f"{said}: empty; leave {parameter.name} out for its default, {parameter.default!r}"
        )
    if not parameter.is_list:
        return _element(parameter, value)
    if isinstance(value, str) and value.lstrip().startswith("["):
        raise BadParameter(f"{said}: write a list without brackets and quotes, as one,another")
    parts = value.split(",") if isinstance(value, str) else value
    parts = list(parts) if isinstance(parts, list | tuple) else [parts]
    if any(isinstance(part, str) and not part.strip() for part in parts):
        raise BadParameter(f"{said}: has an empty element; write one,another")
    elements = [_element(parameter, part) for part in parts]
    for index, element in enumerate(elements):
        if element in elements[:index]:
            raise BadParameter(f"{said}: {parts[index]} stands there twice; name each value once")
    return elements


def _element(parameter: Parameter, value: Any) -> Any:
    try:
        converted = CONVERT[parameter.element](value)
    except (ValueError, TypeError, OverflowError):
        expected = ELEMENTS[parameter.element]
        raise BadParameter(f"{parameter.name}={value!r}: expected {expected}") from None
    if parameter.choices and converted not in parameter.choices:
        hint = _nearest(converted, parameter.choices)
        one_of = f"{parameter.name}={converted!r}: must be one of {', '.join(parameter.choices)}"
        raise BadParameter(f"{one_of}; {hint}" if hint else one_of)
    said = f"{parameter.name}={value.strip() if isinstance(value, str) else value}"
    if parameter.low is not None and converted < parameter.low:
        raise BadParameter(f"{said}: at least {_plain(parameter.low)}")
    if parameter.high is not None and converted > parameter.high:
        raise BadParameter(f"{said}: at most {_plain(parameter.high)}")
    return converted


def typed(value: Any) -> str:
    """A value as one types it on the command line: [0, 1] as 0,1."""
    return ",".join(map(typed, value)) if isinstance(value, list) else str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value.strip()


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in BOOLEANS:
        return BOOLEANS[value.strip().lower()]
    if not isinstance(value, bool):
        raise TypeError
    return value


CONVERT: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": _int,
    "float": _float,
    "bool": _bool,
}


def _plain(number: float | None) -> str:
    """256 as 256 and 1e-07 as 1e-7."""
    return str(number) if isinstance(number, int) else re.sub(r"e([+-])0", r"e\1", f"{number:g}")


def _nearest(wrong: str, known: Iterable[str]) -> str:
    return "".join(f"did you mean {near!r}?" for near in get_close_matches(wrong, list(known), 1))
