"""What answers of the decathlon in miniature say: a call, the state of a dialogue, a number.

Pure functions of text; nothing of an answer is evaluated. Their form is the one that the tasks
teach, so they read more strictly than `grading.answers`, which meets answers of any form.
"""

from __future__ import annotations

import ast
import re
from inspect import Parameter, Signature
from typing import Any

LONGEST_CALL = 1000  # characters
NOTHING = "none"  # an empty state


def arguments(call: str, signature: str) -> dict[str, Any] | None:
    """The values that each parameter gets in `call`, defaults included.

    `signature` reads `name(parameter: type, parameter: type = default)`. None for anything but one
    call of that function, with literals, that its parameters allow.
    """
    name, parameters = _signature(signature)
    if len(call) > LONGEST_CALL:
        return None
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
            return None
        values = [ast.literal_eval(value) for value in tree.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
        # Python's parser lets a name stand twice, and `**` have none.
        once = len(named) == len(tree.keywords) and all(k.arg for k in tree.keywords)
        if tree.func.id != name or not once:
            return None
        bound = parameters.bind(*values, **named)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None
    bound.apply_defaults()
    return dict(bound.arguments)


def same_call(call: str, gold: str, signature: str) -> bool:
    """Whether two calls give every parameter the same value.

    Keyword or position, order of keywords, quotes and spelled-out defaults do not matter. 4 and 4.0
    are the same, True and 1 are not, nor are "4" and 4; lists keep their order. Raises `ValueError`
    where `gold` is no call of that signature.
    """
    right = arguments(gold, signature)
    if right is None:
        raise ValueError(f"gold={gold!r}: is no call of {signature}")
    given = arguments(call, signature)
    return given is not None and all(_same(given[name], value) for name, value in right.items())


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    types = {type(left), type(right)}
    return left == right and (len(types) == 1 or types == {int, float})


def _signature(text: str) -> tuple[str, Signature]:
    """Name and parameters of `name(parameter: type = default, …)`."""
    function = ast.parse(f"def {text}: pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    names = [argument.arg for argument in function.args.args]
    defaults = [ast.literal_eval(default) for default in function.args.defaults]
    defaults = [Parameter.empty] * (len(names) - len(defaults)) + defaults
    kind = Parameter.POSITIONAL_OR_KEYWORD
    return function.name, Signature(
        [Parameter(name, kind, default=d) for name, d in zip(names, defaults, strict=True)]
    )


def state(answer: str) -> dict[str, str] | None:
    """The state that `slot = value; slot = value` or `none` gives, in lower case; None if neither.

    A slot with two values is not a state, nor is an entry without a value.
    """
    text = answer.strip().rstrip(".;").lower()
    if text == NOTHING:
        return {}
    values: dict[str, str] = {}
    for entry in text.split(";"):
        slot, sign, value = (" ".join(piece.split()) for piece in entry.partition("="))
        if not (slot and sign and value) or values.get(slot, value) != value:
            return None
        values[slot] = value
    return values


def same_state(answer: str, gold: str) -> bool:
    """Joint match (decaNLP's dsEM on a turn): every slot has its value and there is no other.

    The order of the slots, case and spaces do not matter.
    """
    return state(answer) == state(gold)


def final_number(answer: str) -> int | None:
    """The whole number after `####`; None where there is none, or two different ones.

    Commas between thousands, a sign and a final `.0` are read. What follows the number must not
    make it another: `#### 12.5` and `#### 1/2` are no whole numbers.
    """
    marked = re.findall(r"####\s*\$?(-?[\d,]*\d)(\.0+)?(?![\d/.,]*\d)", answer, re.ASCII)
    numbers = {int(digits.replace(",", "")) for digits, _ in marked if len(digits) < 20}
    return numbers.pop() if len(numbers) == 1 and len(marked) == answer.count("####") else None


def same_number(answer: str, gold: str) -> bool:
    """Whether two answers end in the same number."""
    number = final_number(gold)
    return number is not None and final_number(answer) == number
