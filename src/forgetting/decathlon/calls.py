"""`mini_calls`: a request in words and the function call that fulfils it, after OpenFunctions.

Two signatures are given, one of them is wanted. Calls are compared as parsed values, not as text:
keyword or position, order of keywords, quotes and spelled-out defaults do not matter.
"""

from __future__ import annotations

import ast
import inspect
import json
from dataclasses import dataclass
from typing import Any

from forgetting.decathlon.drawing import Document, Draw, Split, distinct, pool
from forgetting.decathlon.english import DAYS, FIRST_NAMES, TOWNS, label, listing, person

MAX_CHARACTERS = 1000

ACCOUNTS = pool("savings holiday household salary rent school garden business gift car")
MESSAGES = (
    "the train is late",
    "dinner is ready",
    "I found your keys",
    "the meeting is cancelled",
    "happy birthday",
    "please call me back",
    "the parcel has arrived",
    "I am on my way",
    "the cat is on the roof",
    "see you tomorrow",
    "the shop closes early",
    "your book is in the kitchen",
    "we need more milk",
    "the key is under the mat",
    "the concert was great",
)
ROOMS = pool("kitchen bedroom hall office cellar nursery library studio attic garage")
ITEMS = pool(
    "milk bread rice apples soap candles tea flour honey butter pears salt cheese onions paper "
    "eggs pasta lemons nails yeast"
)
TOPPINGS = pool(
    "olives ham onions peppers basil mushrooms spinach corn capers tuna tomatoes garlic anchovies "
    "salami rocket pineapple artichokes leeks beans chilli"
)
LANGUAGES = pool("French Danish Polish Greek Thai Welsh Finnish Hindi Czech Latin")
COLOURS = pool("red blue green yellow purple orange white pink brown grey")
SUBJECTS = pool("budget holidays parking website training hiring travel repairs sales rent")
CLOCK = tuple(f"{hour}:{minute:02}" for hour in range(6, 23) for minute in range(0, 60, 5))


@dataclass(frozen=True)
class Parameter:
    """One parameter: its annotation, what values it takes, and what an optional one adds.

    Every function has a parameter whose values are split between training and test.

    `clause` is appended to the request where an optional parameter is used; `default` is text.
    """

    name: str
    kind: str
    values: str
    default: str = ""
    clause: str = ""


@dataclass(frozen=True)
class Function:
    """A function and its requests in words, the last of which is held out."""

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    requests: tuple[str, ...]

    @property
    def signature(self) -> str:
        """name(parameter: type, parameter: type = default)"""
        told = [
            f"{p.name}: {p.kind}" + (f" = {p.default}" if p.default else "")
            for p in self.parameters
        ]
        return f"{self.name}({', '.join(told)})"


def _p(name: str, kind: str, values: str, default: str = "", clause: str = "") -> Parameter:
    return Parameter(name, kind, values, default, clause)


# Each fifth is held out: novel test items call functions that no training document has.
FUNCTIONS = (
    Function(
        "book_table",
        "reserves a table in a restaurant",
        (
            _p("restaurant", "str", "label"),
            _p("people", "int", "few"),
            _p("time", "str", "clock"),
            _p("outside", "bool", "true", "False", ", outside if you can"),
        ),
        (
            "Book a table for {people} at the {restaurant} at {time}{more}.",
            "We are {people} and want to eat at the {restaurant} at {time}{more}.",
            "At {time} the {restaurant} should expect {people} of us{more}.",
        ),
    ),
    Function(
        "send_message",
        "sends a text to a person",
        (
            _p("recipient", "str", "person"),
            _p("text", "str", "message"),
            _p("urgent", "bool", "true", "False", ", and mark it as urgent"),
        ),
        (
            'Send {recipient} the message "{text}"{more}.',
            'Write "{text}" to {recipient}{more}.',
            'Let {recipient} read this: "{text}"{more}.',
        ),
    ),
    Function(
        "transfer",
        "moves money between accounts",
        (
            _p("source", "str", "account"),
            _p("target", "str", "account"),
            _p("amount", "float", "money"),
            _p("day", "str", "day", '"today"', ", but only on {v}"),
        ),
        (
            "Move {amount} euros from {source} to {target}{more}.",
            "Put {amount} euros into {target}, taken from {source}{more}.",
            "My {target} account should get {amount} euros from my {source} account{more}.",
        ),
    ),
    Function(
        "set_alarm",
        "sets an alarm clock",
        (
            _p("time", "str", "clock"),
            _p("day", "str", "day"),
            _p("volume", "int", "volume", "5", ", at volume {v}"),
        ),
        (
            "Wake me on {day} at {time}{more}.",
            "Set an alarm for {time} on {day}{more}.",
            "I have to get up at {time} on {day}{more}.",
        ),
    ),
    Function(
        "rent_car",
        "rents a car for some days",
        (
            _p("town", "str", "town"),
            _p("days", "int", "few"),
            _p("seats", "int", "seats", "4", ", with {v} seats"),
        ),
        (
            "Rent a car in {town} for {days} days{more}.",
            "I need a car for {days} days, to be fetched in {town}{more}.",
        ),
    ),
    Function(
        "find_train",
        "finds a train between two towns",
        (
            _p("origin", "str", "town"),
            _p("destination", "str", "town"),
            _p("day", "str", "day"),
            _p("first_class", "bool", "true", "False", ", in the first class"),
        ),
        (
            "Find a train from {origin} to {destination} on {day}{more}.",
            "I want to get to {destination} from {origin} by train on {day}{more}.",
            "On {day} I travel by train, to {destination}, and get on in {origin}{more}.",
        ),
    ),
    Function(
        "set_temperature",
        "heats or cools a room",
        (
            _p("room", "str", "room"),
            _p("degrees", "float", "degrees"),
            _p("hours", "int", "few", "1", " for {v} hours"),
        ),
        (
            "Set the {room} to {degrees} degrees{more}.",
            "I would like {degrees} degrees in the {room}{more}.",
            "The {room} should have {degrees} degrees{more}.",
        ),
    ),
    Function(
        "add_to_list",
        "adds things to a shopping list",
        (
            _p("items", "list[str]", "items"),
            _p("owner", "str", "first"),
            _p("weekly", "bool", "true", "False", ", to be repeated every week"),
        ),
        (
            "Put {items} on {owner}'s list{more}.",
            "{owner} needs {items}; add that to the list{more}.",
            "On {owner}'s list there should also be {items}{more}.",
        ),
    ),
    Function(
        "play_song",
        "plays a song",
        (
            _p("title", "str", "label"),
            _p("artist", "str", "person"),
            _p("volume", "int", "volume", "5", " at volume {v}"),
        ),
        (
            'Play "{title}" by {artist}{more}.',
            'I want to hear {artist} with "{title}"{more}.',
            'Let us listen to "{title}", the song by {artist}{more}.',
        ),
    ),
    Function(
        "mix_paint",
        "mixes two colours",
        (
            _p("base", "str", "colour"),
            _p("added", "str", "colour"),
            _p("litres", "float", "degrees"),
            _p("glossy", "bool", "true", "False", ", and make it glossy"),
        ),
        (
            "Mix {litres} litres of paint: take {base} and add {added}{more}.",
            "I need {litres} litres of {base} paint with {added} added to it{more}.",
        ),
    ),
    Function(
        "translate",
        "translates a text",
        (
            _p("text", "str", "message"),
            _p("source", "str", "language"),
            _p("target", "str", "language"),
        ),
        (
            'Translate "{text}" from {source} into {target}.',
            'What is the {source} text "{text}" in {target}?',
            'I need this in {target}; it is {source} now: "{text}".',
        ),
    ),
    Function(
        "draw_rectangle",
        "draws a rectangle",
        (
            _p("width", "int", "size"),
            _p("height", "int", "size"),
            _p("colour", "str", "colour", '"black"', " in {v}"),
        ),
        (
            "Draw a rectangle that is {width} wide and {height} high{more}.",
            "I need a rectangle with a height of {height} and a width of {width}{more}.",
            "Make me a rectangle, {height} tall and {width} across{more}.",
        ),
    ),
    Function(
        "plan_meeting",
        "puts a meeting into the calendar",
        (
            _p("subject", "str", "subject"),
            _p("people", "list[str]", "people"),
            _p("day", "str", "day"),
            _p("minutes", "int", "minutes", "60", " for {v} minutes"),
        ),
        (
            "Plan a meeting about {subject} with {people} on {day}{more}.",
            "On {day} I have to meet {people} about {subject}{more}.",
            "{people} and I should talk about {subject} on {day}{more}.",
        ),
    ),
    Function(
        "order_pizza",
        "orders pizza",
        (
            _p("toppings", "list[str]", "toppings"),
            _p("number", "int", "few"),
            _p("thin", "bool", "true", "False", ", with a thin crust"),
        ),
        (
            "Order {number} pizzas with {toppings}{more}.",
            "We want {number} pizzas, all of them with {toppings}{more}.",
            "Get us {toppings} on {number} pizzas{more}.",
        ),
    ),
    Function(
        "send_parcel",
        "sends a parcel",
        (
            _p("sender", "str", "person"),
            _p("receiver", "str", "person"),
            _p("kilos", "float", "degrees"),
            _p("insured", "bool", "true", "False", ", and insure it"),
        ),
        (
            "Send a parcel of {kilos} kilos to {receiver} from {sender}{more}.",
            "{sender} wants to send {receiver} a parcel of {kilos} kilos{more}.",
        ),
    ),
    Function(
        "split_bill",
        "shares a bill equally",
        (
            _p("total", "float", "money"),
            _p("people", "int", "few"),
            _p("tip", "int", "tip", "0", ", with a tip of {v} per cent"),
        ),
        (
            "Split a bill of {total} euros among {people} people{more}.",
            "{people} of us share a bill of {total} euros{more}.",
            "The bill says {total} euros and we are {people} people{more}.",
        ),
    ),
    Function(
        "plan_route",
        "plans a route by car",
        (
            _p("start", "str", "town"),
            _p("end", "str", "town"),
            _p("avoid", "list[str]", "towns", "[]", ", but not through {v}"),
        ),
        (
            "How do I drive from {start} to {end}{more}?",
            "Show me the way to {end} if I start in {start}{more}.",
            "My car is in {start} and I want to drive to {end}{more}.",
        ),
    ),
)
LEADS = (
    "You can call these functions:",
    "Two functions are available:",
    "Write one call of one of these functions:",
    "These functions exist:",
    "Here is what you may call:",
)


def documents(seed: int, n: int, split: Split) -> list[Document]:
    """`n` requests with their calls; `signature` is the wanted function's."""
    return distinct(_write, "mini_calls", seed, n, split)


class NotACall(ValueError):
    """The text is not one call of the function with literal arguments."""


def arguments(call: str, signature: str) -> dict[str, Any]:
    """The values that each parameter gets in `call`, defaults included.

    The text is parsed, never run. Raises `NotACall` for anything but one call, with literals, of
    the function that `signature` describes and that its parameters allow.
    """
    expected, defaults = _signature(signature)
    if len(call) > MAX_CHARACTERS:
        raise NotACall(f"call: {len(call)} characters, at most {MAX_CHARACTERS} are read")
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
            raise NotACall(f"call={call!r}: is not a call of a named function")
        if tree.func.id != expected:
            raise NotACall(f"call={call!r}: calls {tree.func.id}, not {expected}")
        # ** has no name; * is no literal, which literal_eval refuses.
        if any(keyword.arg is None for keyword in tree.keywords):
            raise NotACall(f"call={call!r}: has ** instead of named arguments")
        values = [ast.literal_eval(argument) for argument in tree.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
        if len(named) < len(tree.keywords):  # which Python's parser lets pass, and its compiler not
            raise NotACall(f"call={call!r}: names an argument twice")
        bound = defaults.bind(*values, **named)
    except NotACall:
        raise
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise NotACall(f"call={call!r}: {error}") from error
    bound.apply_defaults()
    return dict(bound.arguments)


def same_call(call: str, gold: str, signature: str) -> bool:
    """Whether two calls give every parameter the same value.

    4 and 4.0 are the same, True and 1 are not, nor are "4" and 4; lists keep their order.
    """
    try:
        found = arguments(call, signature)
    except NotACall:
        return False
    wanted = arguments(gold, signature)
    return all(_same(found[name], value) for name, value in wanted.items())


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    numbers = (int, float)
    if isinstance(left, bool) or isinstance(right, bool) or not isinstance(left, numbers):
        return type(left) is type(right) and left == right
    return isinstance(right, numbers) and left == right


def _signature(text: str) -> tuple[str, inspect.Signature]:
    """Name and parameters of `name(parameter: type = default, …)`."""
    function = ast.parse(f"def {text}: pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    names = [argument.arg for argument in function.args.args]
    values = [ast.literal_eval(default) for default in function.args.defaults]
    filled: list[Any] = [inspect.Parameter.empty] * (len(names) - len(values)) + values
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return function.name, inspect.Signature(
        [inspect.Parameter(n, kind, default=d) for n, d in zip(names, filled, strict=True)]
    )


def _write(draw: Draw) -> Document:
    function, other = draw.wordings(FUNCTIONS, 2)
    given: dict[str, Any] = {}
    more = ""
    for parameter in function.parameters:
        if parameter.default and draw.chance(0.5):
            continue
        value = _value(draw, parameter.values)
        while value in given.values() or repr(value) == parameter.default:
            value = _value(draw, parameter.values)
        given[parameter.name] = value
        more += parameter.clause.format(v=_said(value))
    # All wordings of a held-out function are new.
    request = draw.one(function.requests) if draw.novel else draw.wording(function.requests)
    said = {name: _said(value) for name, value in given.items()}
    two = draw.shuffled([function, other])
    lines = [f"{f.signature}  # {f.about}" for f in two]
    call = ", ".join(f"{name}={_literal(value)}" for name, value in given.items())
    answer = f"{function.name}({call})"
    return {
        "context": "\n".join([draw.wording(LEADS), *lines]),
        "question": request.format(**said, more=more),
        "answer": answer,
        "golds": [answer],
        "signature": function.signature,
        "facts": json.dumps({"function": function.name, "given": given}),
    }


def _value(draw: Draw, kind: str) -> Any:
    match kind:
        case "person":
            return person(draw)[0]
        case "first":
            return draw.entity(FIRST_NAMES)[0]
        case "people":
            return [name for name, _ in draw.entities(FIRST_NAMES, draw.number(2, 3))]
        case "label":
            return label(draw)
        case "town":
            return draw.entity(TOWNS)
        case "towns":
            return draw.entities(TOWNS, draw.number(1, 2))
        case "day":
            return draw.one(DAYS)
        case "clock":
            return draw.entity(CLOCK)
        case "items":
            return draw.entities(ITEMS, draw.number(2, 3))
        case "toppings":
            return draw.entities(TOPPINGS, draw.number(2, 3))
        case "money":
            return draw.entity(range(16, 1601)) / 4
        case "degrees":
            return draw.number(2, 30) + draw.one((0.0, 0.5))
        case "size":
            return draw.entity(range(2, 401))
        case "true":
            return True
    words = {
        **{"account": ACCOUNTS, "message": MESSAGES, "room": ROOMS, "language": LANGUAGES},
        **{"colour": COLOURS, "subject": SUBJECTS},
    }
    if kind in words:
        return (
            draw.one(words[kind]) if kind in {"account", "language"} else draw.entity(words[kind])
        )
    low, high = {
        **{"few": (2, 12), "volume": (1, 10), "seats": (2, 9)},
        **{"minutes": (10, 180), "tip": (1, 20)},
    }[kind]
    return draw.number(low, high)


def _literal(value: Any) -> str:
    """A value as Python source, with double quotes; whole numbers without a point."""
    if isinstance(value, bool | float | int):
        return str(value) if isinstance(value, bool) else f"{value:g}"
    return json.dumps(value, ensure_ascii=False)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return listing(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
