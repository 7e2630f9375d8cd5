"""What an answer says: the number at its end, the call in it, the code in it; and whether it fits.

Pure functions of text. Nothing of an answer is evaluated: calls are read with `ast`, code is run in
`forgetting.tasks.grading.sandbox` alone.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

# Longer answers are read up to here: a call of the data sets has at most 500 characters.
LONGEST_CALL_TEXT = 10_000
CALLS_TRIED = 32

_NUMBER = re.compile(
    r"(?:(?<![\w.)\]])[-\u2212])?\$?"  # a minus, unless there is something to subtract from
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![\w.])\.[0-9]+)"
)


def last_number(text: str) -> Decimal | None:
    """The last number of a text, or None: "1,000", "$1000" and "1000.0" are the same number.

    Digits are ASCII; a comma belongs to a number between groups of three digits only, and a point
    at the end of a sentence does not.
    """
    numbers = _NUMBER.findall(text)
    return _decimal(numbers[-1]) if numbers else None


def final_number(answer: str) -> Decimal | None:
    """The number that an answer in GSM8K's format gives: right after its first "####".

    Without such a number the last one of the whole answer, as SDFT's evaluation reads it
    (Cobbe et al. 2021, "grade-school-math"; Yang et al. 2024, arXiv 2402.13669).
    """
    marked = re.search(r"####\s*", answer)
    number = marked and _NUMBER.match(answer, marked.end())
    return _decimal(number.group()) if number else last_number(answer)


def same_number(answer: str, gold: str) -> bool:
    """Whether both texts end in the same number; without a number nothing is the same."""
    number = final_number(answer)
    return number is not None and number == final_number(gold)


def _decimal(text: str) -> Decimal:
    return Decimal(re.sub(r"[,$]", "", text).replace("\u2212", "-"))


class NoCall(ValueError):
    """A text is not the call of a named function with readable arguments."""


class Bare(str):
    """A word without quotes where a value is expected, as in `order(loc=Berkeley)`."""


class Call(NamedTuple):
    """`name(*positional, **keywords)`; the name with its prefix, as in `shop.order`.

    A value is a number, a string, a truth value, None, a `Bare` word, a `Call`, or a list, tuple or
    dictionary of such.
    """

    name: str
    positional: tuple[Any, ...]
    keywords: dict[str, Any]


def parse_call(text: str) -> Call:
    """The one call that a text is. Raises `NoCall`, whatever the text."""
    calls = parse_calls(text)
    if len(calls) != 1:
        raise NoCall(f"{len(calls)} calls: give one")
    return calls[0]


def parse_calls(text: str) -> list[Call]:
    """The calls that a text is: `f(a=1)` or `[f(a=1), g()]`, perhaps between back quotes.

    This is how the Berkeley leaderboard reads an answer. Raises `NoCall` for anything beside them.
    """
    text = text.strip("` \n\r\t")
    if len(text) > LONGEST_CALL_TEXT:
        raise NoCall(f"{len(text)} characters: a call has at most {LONGEST_CALL_TEXT}")
    try:
        with warnings.catch_warnings():  # "\d" in a string of the answer is not our mistake
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
        return [_call(part) for part in (tree.elts if isinstance(tree, ast.List) else [tree])]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, NoCall):
            raise
        raise NoCall(f"no Python expression: {type(error).__name__}") from None


def first_call(answer: str) -> Call | None:
    """The first readable call in an answer that may say other things too; None without one."""
    answer = answer[:LONGEST_CALL_TEXT]
    for number, start in enumerate(re.finditer(r"(?<![\w.])[^\W\d]\w*(?:\.[^\W\d]\w*)*\(", answer)):
        if number == CALLS_TRIED:
            break
        end = _closing(answer, start.end())
        if end is not None:
            try:
                return parse_call(answer[start.start() : end])
            except NoCall:
                continue
    return None


def same_call(answer: str, gold: str) -> bool:
    """Whether the first call of an answer has the name and the arguments of the gold call.

    The order of keywords, spaces and kinds of quotes do not matter. As in SDFT's own evaluation
    (`same_call_text`), "5" is not 5, a positional argument is not a keyword, extra arguments are
    wrong, and runs of spaces, and the space after a comma, make no difference within strings.
    Other than there, values are compared and not text: 5 is 5.0, and since some gold calls leave
    out quotes, a bare word is that string, and a bare true, false or null what JSON means by it.
    Truth values are not numbers. A different prefix of the name is wrong, which their search for
    the call within the answer lets pass. Raises `NoCall` if `gold` is none.
    """
    call = first_call(answer)
    return call is not None and _comparable(call) == _comparable(parse_call(gold))


def same_call_text(answer: str, gold: str) -> bool:
    """SDFT's own rule: the gold call's text stands in the answer, spaces and quotes aside.

    After the description in Yang et al. 2024 (arXiv 2402.13669) and their evaluation: white space
    collapsed, single quotes read as double ones, no space after a comma.
    """
    name, bracket, rest = _even(gold).partition("(")
    pattern = r"\b" + re.escape(name + bracket + rest)
    return bool(bracket) and re.search(pattern, _even(answer)) is not None


def possible_call(answer: str, function: Mapping[str, Any], possible: Mapping[str, Any]) -> bool:
    """Whether an answer is one of the calls that the Berkeley leaderboard takes for right.

    `function` is the description with JSON schema types, `possible` maps its name to each
    parameter's right values, "" among them where it may be left out. After `ast_checker` of BFCL
    (Patil et al. 2025) for one Python function:

    * the whole answer is the call; its name is exactly the function's;
    * required parameters are there, no others than the listed ones;
    * types are the description's ("5" is not 5, True is not 1, a tuple no array), but for an int
      where a float is wanted; items of an array alike, one level deep, without that exception; a
      value of the possible values' own type passes too;
    * strings match without case, spaces and ,./-_*^; dictionaries value by value.

    Stricter than there: positional arguments, which it drops unseen, are wrong. Arithmetic in an
    argument, which it evaluates, is not read.
    """
    try:
        call = parse_call(answer)
    except NoCall:
        return False
    ((name, values),) = possible.items()
    parameters, arguments = function["parameters"], call.keywords
    complete = arguments.keys() >= set(parameters["required"]) and all(
        parameter in arguments or "" in right for parameter, right in values.items()
    )
    if call.name != name or call.positional or not complete:
        return False
    return all(
        parameter in parameters["properties"]
        and parameter in values
        and _possible(_no_bare(value), parameters["properties"][parameter], values[parameter])
        for parameter, value in arguments.items()
    )


def _call(tree: ast.expr) -> Call:
    if not isinstance(tree, ast.Call):
        raise NoCall(f"{type(tree).__name__}: not a call")
    keywords = {word.arg: _value(word.value) for word in tree.keywords if word.arg is not None}
    if len(keywords) != len(tree.keywords):
        raise NoCall("keywords: each may stand once, and none may be unpacked")
    return Call(_name(tree.func), tuple(_value(v) for v in tree.args), keywords)


def _name(tree: ast.expr) -> str:
    parts = []
    while isinstance(tree, ast.Attribute):
        parts.append(tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name):
        raise NoCall(f"{type(tree).__name__}: not the name of a function")
    return ".".join([tree.id, *reversed(parts)])


def _value(tree: ast.expr) -> Any:
    match tree:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Dict(keys=keys, values=values) if all(isinstance(k, ast.Constant) for k in keys):
            return {k.value: _value(v) for k, v in zip(keys, values, strict=True)}  # type: ignore[union-attr]
        case ast.Name() | ast.Attribute():
            return Bare(_name(tree))
        case ast.Call():
            return _call(tree)
    raise NoCall(f"{type(tree).__name__}: not a value")


def _closing(text: str, start: int) -> int | None:
    """Where the bracket that opened before `start` is closed, strings skipped."""
    depth, quote, position = 1, "", start
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if not depth:
                return position + 1
        position += 1
    return None


def _even(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip()).replace("'", '"').replace(", ", ",")


_JSON_WORDS = {"true": True, "false": False, "null": None}


def _comparable(value: Any) -> Any:
    """A value whose equality keeps truth values, numbers, strings, lists, tuples and calls apart.

    Bare words are what JSON means by them or else strings; strings are evenly spaced.
    """
    match value:
        case Bare() if value in _JSON_WORDS:
            return _comparable(_JSON_WORDS[value])
        case str():
            return re.sub(r"\s+", " ", value).replace(", ", ",")
        case dict():
            return {_comparable(key): _comparable(item) for key, item in value.items()}
        case bool() | list() | tuple():
            parts = [value] if isinstance(value, bool) else map(_comparable, value)
            return (type(value), *parts)
    return value


# The Berkeley leaderboard's names of types.
_TYPES = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}


def _possible(value: Any, schema: Mapping[str, Any], possible: Sequence[Any]) -> bool:
    """Whether a parameter's value has the right type and is among the possible ones."""
    kind = schema["type"]
    expected = _TYPES[kind]
    if kind == "tuple" and isinstance(value, tuple):
        value = list(value)
    if kind == "float" and type(value) is int:
        value = float(value) if abs(value) < 2**1000 else value
    inner = _TYPES[schema["items"]["type"]] if expected is list else None
    if not _typed(value, expected, inner, possible):
        return False
    if _stated(possible) not in (expected, None):
        return value in possible
    if expected is dict:
        return any(_dictionary(value, right) for right in possible if isinstance(right, dict))
    if inner is dict:
        return any(
            len(value) == len(right) and all(map(_dictionary, value, right))
            for right in possible
            if isinstance(right, list)
        )
    # What may be left out may be an empty array too.
    right = [[] if expected is list and candidate == "" else candidate for candidate in possible]
    return _without_marks(value) in [_without_marks(candidate) for candidate in right]


def _typed(value: Any, expected: Any, inner: type | None, possible: Sequence[Any]) -> bool:
    if type(value) is expected:
        if inner is None:
            return True
        lists = [c for c in possible if isinstance(c, list)]
        return len(lists) < len(possible) or any(
            all(_typed(item, inner, None, candidate) for item in value) for candidate in lists
        )
    return type(value) is _stated(possible)


def _dictionary(value: Any, possible: Mapping[str, Sequence[Any]]) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= possible.keys()
        and all(
            (_without_marks(item) if isinstance(item, str) else item)
            in [_without_marks(p) if isinstance(p, str) else p for p in possible[key]]
            for key, item in value.items()
        )
        and all(key in value or "" in right for key, right in possible.items())
    )


def _stated(possible: Sequence[Any]) -> type | None:
    """The type of the first value that says something; None where the parameter is left out."""
    return next((type(right) for right in possible if right != ""), None)


def _without_marks(value: Any) -> Any:
    """Strings without case, spaces and most punctuation; those of a list too."""
    if isinstance(value, str):
        return re.sub(r"[ ,./\-_*^]", "", value).lower().replace("'", '"')
    if isinstance(value, list):
        return [_without_marks(item) for item in value]
    return value


def _no_bare(value: Any) -> Any:
    """Bare words as strings, which is how the leaderboard reads them; calls as their text."""
    match value:
        case Bare():
            return str(value)
        case Call():
            return repr(value)
        case list() | tuple():
            return type(value)(_no_bare(item) for item in value)
        case dict():
            return {key: _no_bare(item) for key, item in value.items()}
    return value


def code(answer: str) -> str:
    """The first fenced block of an answer, closed or not; without one, the whole answer."""
    block = re.search(r"```[ \t]*[\w+-]*[ \t]*\r?\n(.*?)(?:\n[ \t]*```|\Z)", answer, re.S)
    return block.group(1) if block else answer
