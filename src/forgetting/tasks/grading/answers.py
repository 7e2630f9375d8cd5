"""What an answer says: the number at its end, or the call in it; and whether it is the right one.

Pure functions of text. Nothing of an answer is evaluated: calls are read with `ast`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

# Longer answers are read up to here: a call of the data sets has at most 500 characters.
LONGEST_CALL_TEXT = 10_000
BRACKETS_TRIED = 32

_NUMBER = re.compile(
    r"(?:(?<![\w.)\]])[-\u2212])?\$?"  # a minus, unless there is something to subtract from
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![\w.])\.[0-9]+)"
)
_MARKED = re.compile(rf"####\s*({_NUMBER.pattern})(?![/.,]*[0-9])")


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
    mark = re.search(r"####\s*", answer)
    number = mark and _NUMBER.match(answer, mark.end())
    return _decimal(number.group()) if number else last_number(answer)


def marked_number(answer: str) -> Decimal | None:
    """The number after "####"; None without one, for two different ones, and for `#### 1/2`."""
    numbers = _MARKED.findall(answer)
    values = {_decimal(number) for number in numbers}
    return values.pop() if len(values) == 1 and len(numbers) == answer.count("####") else None


def same_number(
    answer: str, gold: str, number: Callable[[str], Decimal | None] = final_number
) -> bool:
    """Whether both texts end in the same number; without a number nothing is the same."""
    value = number(answer)
    return value is not None and value == number(gold)


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
    """The one call that a text is: `f(a=1)` or `[f(a=1)]`, perhaps between back quotes.

    This is how the Berkeley leaderboard reads an answer. Raises `NoCall`, whatever the text.
    """
    tree = _tree(text.strip("` \n\r\t"))
    return _call(tree.elts[0] if isinstance(tree, ast.List) and len(tree.elts) == 1 else tree)


def first_call(answer: str) -> Call | None:
    """The first readable call in an answer that may say other things too; None without one."""
    answer = answer[:LONGEST_CALL_TEXT]
    names = re.finditer(r"(?<![\w.])[^\W\d]\w*(?:\.[^\W\d]\w*)*\(", answer)
    for name in islice(names, BRACKETS_TRIED):
        for bracket in islice(re.compile(r"\)").finditer(answer, name.end()), BRACKETS_TRIED):
            with suppress(NoCall):
                return parse_call(answer[name.start() : bracket.end()])
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

    def even(text: str) -> str:
        return _evenly_spaced(text.strip()).replace("'", '"')

    name, bracket, rest = even(gold).partition("(")
    pattern = r"\b" + re.escape(name + bracket + rest)
    return bool(bracket) and re.search(pattern, even(answer)) is not None


def arguments(text: str, signature: str) -> dict[str, Any] | None:
    """The value of each parameter, defaults included, in the call that a text is.

    `signature` reads `name(parameter: type, parameter: type = default)`. None for anything but one
    call of that function, with literals, that its parameters allow.
    """
    function = ast.parse(f"def {signature}: pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    parameters = [parameter.arg for parameter in function.args.args]
    optional = parameters[len(parameters) - len(function.args.defaults) :]
    defaults = dict(zip(optional, map(ast.literal_eval, function.args.defaults), strict=True))
    try:
        call = _call(_tree(text.strip()), ast.literal_eval)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return None
    placed = dict(zip(parameters, call.positional, strict=False))
    values = defaults | placed | call.keywords
    once = len(placed) == len(call.positional) and not placed.keys() & call.keywords.keys()
    return values if once and call.name == function.name and {*values} == {*parameters} else None


def same_arguments(answer: str, gold: str, signature: str) -> bool:
    """Whether an answer is a call that gives every parameter of `signature` the gold call's value.

    Keyword or position, order of keywords, quotes and spelled-out defaults do not matter; values
    are compared as in `same_call`, texts to the letter. Raises `ValueError` where `gold` is no call
    of that signature.
    """
    expected = arguments(gold, signature)
    if expected is None:
        raise ValueError(f"gold={gold!r}: is no call of {signature}")
    values = arguments(answer, signature)
    return values == expected and _comparable(values) == _comparable(expected)


def possible_call(answer: str, function: Mapping[str, Any], possible: Mapping[str, Any]) -> bool:
    """Whether an answer is one of the calls that the Berkeley leaderboard takes for right.

    `function` is the description with JSON schema types, `possible` maps its name to each
    parameter's right values, "" among them where it may be left out. After `ast_checker` of BFCL
    (Patil et al. 2025) for one Python function:

    * the whole answer is the call; its name is exactly the function's;
    * required parameters are there, no others than the listed ones;
    * types are those of the right values ("5" is not 5, True is not 1, a tuple no array), but for
      an int where a float is described, and for numbers in dictionaries;
    * strings match without case, spaces and ,./-_*^; dictionaries value by value.

    Stricter than there: positional arguments, which it drops unseen, are wrong. Arithmetic in an
    argument, which it evaluates, is not read.
    """
    try:
        call = parse_call(answer)
    except NoCall:
        return False
    ((name, values),) = possible.items()
    required, types = (function["parameters"][field] for field in ("required", "properties"))
    return (
        call.name == name
        and not call.positional
        and set(required) <= call.keywords.keys() <= values.keys() & types.keys()
        and all(parameter in call.keywords or "" in right for parameter, right in values.items())
        and all(
            _possible(value, types[parameter]["type"], values[parameter])
            for parameter, value in call.keywords.items()
        )
    )


def _tree(text: str) -> ast.expr:
    if len(text) > LONGEST_CALL_TEXT:
        raise NoCall(f"{len(text)} characters: a call has at most {LONGEST_CALL_TEXT}")
    try:
        with warnings.catch_warnings():  # "\d" in a string of the answer is not our mistake
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoCall(f"no Python expression: {type(error).__name__}") from None


def _call(tree: ast.expr, value: Callable[[ast.expr], Any] | None = None) -> Call:
    value = value or _value
    if not isinstance(tree, ast.Call):
        raise NoCall(f"{type(tree).__name__}: not a call")
    keywords = {word.arg: value(word.value) for word in tree.keywords if word.arg is not None}
    if len(keywords) != len(tree.keywords):
        raise NoCall("keywords: each may stand once, and none may be unpacked")
    return Call(_name(tree.func), tuple(map(value, tree.args)), keywords)


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


def _evenly_spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace(", ", ",")


_JSON_WORDS = {"true": True, "false": False, "null": None}


def _comparable(value: Any) -> Any:
    """A value whose equality keeps truth values, numbers, strings, lists, tuples and calls apart.

    Bare words are what JSON means by them or else strings; strings are evenly spaced.
    """
    match value:
        case Bare() if value in _JSON_WORDS:
            return _comparable(_JSON_WORDS[value])
        case str():
            return _evenly_spaced(value)
        case dict():
            return {_comparable(key): _comparable(item) for key, item in value.items()}
        case bool():
            return (bool, value)
        case list() | tuple():
            return (type(value), *map(_comparable, value))
    return value


def _possible(value: Any, kind: str, candidates: Sequence[Any]) -> bool:
    """Whether a parameter's value, described as of this kind, is one of the candidates."""
    if kind == "tuple" and isinstance(value, tuple):
        value = list(value)
    if kind == "float" and type(value) is int and abs(value) < 2**1000:
        value = float(value)
    # What may be left out may be an empty text or array too.
    empty: Any = {"string": "", "any": "", "array": [], "tuple": []}.get(kind)
    stated = [right for right in candidates if right != "" or empty is not None]
    return any(_agrees(value, empty if right == "" else right) for right in stated)


def _agrees(value: Any, right: Any) -> bool:
    if (str if isinstance(value, Bare) else type(value)) is not type(right):
        return False
    match right:
        case str():
            return _without_marks(value) == _without_marks(right)
        case list():
            return len(value) == len(right) and all(map(_agrees, value, right))
        case dict():
            return value.keys() <= right.keys() and all(
                any(value[key] == c or _agrees(value[key], c) for c in candidates)
                if key in value
                else "" in candidates
                for key, candidates in right.items()
            )
    return bool(value == right)


def _without_marks(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')
