"""`mini_maths`: arithmetic word problems of one to three steps, after GSM8K (Cobbe et al. 2021).

The answer is the working, one equation a step, and ends with `#### n`.
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass

from forgetting.decathlon.drawing import Document, Draw, Split, distinct, pool
from forgetting.decathlon.english import DAYS, FIRST_NAMES, TOWNS, count, plural

THINGS = pool(
    "apple pear button stamp shell marble pencil sticker postcard coin candle cookie lemon "
    "balloon ticket bead tomato potato onion walnut plum cherry peach sock badge magnet whistle "
    "notebook envelope tulip"
)
HOLDERS = pool("box bag basket crate tray jar bucket sack drawer packet")
OPERATIONS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
}


@dataclass(frozen=True)
class Story:
    """A problem's text, its numbers' ranges, and its steps.

    In the text {a} is a number and {a_o} the number with the thing, {a_h} with the holder; {o} and
    {h} are their plurals, {N} and {M} people, {he} and {his} N's pronouns. A step is
    `left operation right`; `_` is the step before it.
    """

    text: str
    question: str
    ranges: dict[str, tuple[int, int]]
    steps: tuple[str, ...]


_SOME = {"a": (5, 60), "b": (2, 40)}

# Each fifth is held out.
STORIES = (
    Story(
        "{N} has {a_o}. {He} finds {b} more.",
        "How many {o} does {N} have now?",
        _SOME,
        ("a + b",),
    ),
    Story(
        "{N} had {a_o} and gave {b} of them to {M}.",
        "How many {o} does {N} have left?",
        _SOME,
        ("a - b",),
    ),
    Story(
        "There are {a_h} on a shelf, and each of them holds {b_o}.",
        "How many {o} are there in all?",
        {"a": (2, 20), "b": (3, 25)},
        ("a * b",),
    ),
    Story(
        "{N} shares {a_o} equally among {b} children.",
        "How many {o} does each child get?",
        {"a": (6, 150), "b": (2, 12)},
        ("a / b",),
    ),
    Story(
        "After {he} had lost {b_o}, {N} still had {a}.",
        "How many {o} did {N} have at first?",
        _SOME,
        ("a + b",),
    ),
    Story(
        "{N} buys {a_h} with {b_o} each. {He} gives {c_o} to {M}.",
        "How many {o} does {N} keep?",
        {"a": (2, 12), "b": (4, 20), "c": (2, 40)},
        ("a * b", "_ - c"),
    ),
    Story(
        "{N} has {a_o}. {M} has {b} more than {N}.",
        "How many {o} do they have together?",
        _SOME,
        ("a + b", "a + _"),
    ),
    Story(
        "One of the {o} costs {a} cents. {N} buys {b} of them and pays with {c} cents.",
        "How many cents does {N} get back?",
        {"a": (5, 60), "b": (2, 12), "c": (100, 900)},
        ("a * b", "c - _"),
    ),
    Story(
        "{N} walks {a} kilometres a day for {b} days. On the day after that {he} walks {c} "
        "kilometres and reaches {T}.",
        "How many kilometres does {N} walk altogether?",
        {"a": (4, 30), "b": (2, 9), "c": (2, 30)},
        ("a * b", "_ + c"),
    ),
    Story(
        "{N} and {M} picked {o}, {a} and {b} of them. They put the same number into each of {c_h}.",
        "How many {o} are there in each of the {h}?",
        {"a": (5, 90), "b": (5, 90), "c": (2, 10)},
        ("a + b", "_ / c"),
    ),
    Story(
        "A shop had {a_o}. It sold {b} on {D} and twice as many on the day after.",
        "How many {o} are left in the shop?",
        {"a": (40, 400), "b": (3, 90)},
        ("b * 2", "b + _", "a - _"),
    ),
    Story(
        "{N} collects {o}. {He} had {a}, got {b} from {M} and bought {c_h} with {d} in each.",
        "How many {o} does {N} have now?",
        {"a": (5, 80), "b": (2, 30), "c": (2, 9), "d": (3, 15)},
        ("c * d", "a + b", "__ + _"),
    ),
    Story(
        "A train to {T} has {a} coaches with {b} seats each. On {D}, {c} of the seats are taken.",
        "How many seats are free?",
        {"a": (2, 14), "b": (20, 70), "c": (10, 700)},
        ("a * b", "_ - c"),
    ),
    Story(
        "{N} earns {a} euros an hour and works {b} hours a day.",
        "How many euros does {N} earn in {c} days?",
        {"a": (9, 40), "b": (2, 9), "c": (2, 12)},
        ("a * b", "_ * c"),
    ),
    Story(
        "{M} has {b} times as many {o} as {N}, who has {a}. Then {M} gives away {c}.",
        "How many {o} does {M} have in the end?",
        {"a": (4, 40), "b": (2, 8), "c": (2, 50)},
        ("a * b", "_ - c"),
    ),
    Story(
        "A farmer packs {a_o} into {h}, {b} into each, and sells every one of the {h} for {c} "
        "euros.",
        "How many euros does the farmer get?",
        {"a": (12, 240), "b": (3, 12), "c": (2, 15)},
        ("a / b", "_ * c"),
    ),
    Story(
        "{N} has read {a} pages of a book with {b} pages. {He} reads {c} pages a day.",
        "How many days does {N} need for the rest?",
        {"a": (10, 200), "b": (100, 600), "c": (5, 40)},
        ("b - a", "_ / c"),
    ),
    Story(
        "A school of {a} children goes to {T} in {b} buses. Each bus has {c} seats.",
        "How many seats stay empty?",
        {"a": (60, 400), "b": (2, 9), "c": (30, 70)},
        ("b * c", "_ - a"),
    ),
    Story(
        "{N} cuts a rope of {a} metres into pieces of {b} metres each and throws {c} of the pieces "
        "away.",
        "How many pieces does {N} keep?",
        {"a": (12, 240), "b": (2, 9), "c": (2, 20)},
        ("a / b", "_ - c"),
    ),
    Story(
        "Every one of {a} children brings {b_o}, and the teacher brings {c}. All of them are "
        "shared equally by {d} groups.",
        "How many {o} does each group get?",
        {"a": (3, 25), "b": (2, 9), "c": (2, 60), "d": (2, 9)},
        ("a * b", "_ + c", "_ / d"),
    ),
    Story(
        "{N} buys {a_o} for {b} cents each and {c_h} for {d} cents each.",
        "How many cents does {N} pay?",
        {"a": (2, 12), "b": (5, 60), "c": (2, 9), "d": (10, 90)},
        ("a * b", "c * d", "__ + _"),
    ),
    Story(
        "{N} is {a} years old. {M} is {b} years older than {N}.",
        "How old will {M} be in {c} years?",
        {"a": (6, 60), "b": (2, 20), "c": (2, 20)},
        ("a + b", "_ + c"),
    ),
    Story(
        "In a box there are {a_o}. {N} takes out {b} and {M} takes out {c}.",
        "How many {o} stay in the box?",
        {"a": (20, 120), "b": (2, 40), "c": (2, 40)},
        ("a - b", "_ - c"),
    ),
    Story(
        "{N} saves {a} euros a week. {He} wants a bicycle for {b} euros and has {c} euros already.",
        "For how many weeks must {N} save?",
        {"a": (5, 40), "b": (100, 600), "c": (10, 200)},
        ("b - c", "_ / a"),
    ),
    Story(
        "From {T} it is {a} kilometres to the sea. {N} drives there and back {b} times, and {c} "
        "kilometres elsewhere.",
        "How many kilometres does {N} drive in all?",
        {"a": (4, 60), "b": (2, 7), "c": (5, 90)},
        ("a * 2", "_ * b", "_ + c"),
    ),
)
ASIDES = (
    "{N} is {z} years old.",
    "It is {D}, and {z} people are in the street.",
    "By the way, the house of {N} has the number {z}.",
)
_PRONOUNS = {"she": "her", "he": "his"}


def documents(seed: int, n: int, split: Split) -> list[Document]:
    """`n` word problems; `facts` holds the numbers and the steps, as JSON."""
    return distinct(_write, "mini_maths", seed, n, split)


def final_number(answer: str) -> int | None:
    """The whole number after `####`; None where there is none, or two different ones.

    Commas between thousands, a sign and a final `.0` are read. What follows the number must not
    make it another: `#### 12.5` and `#### 1/2` are no whole numbers.
    """
    found = re.findall(r"####\s*\$?(-?[\d,]*\d)(\.0+)?(?![\d/.,]*\d)", answer, re.ASCII)
    numbers = {int(digits.replace(",", "")) for digits, _ in found if len(digits) < 20}
    marks = answer.count("####")
    return numbers.pop() if len(numbers) == 1 and len(found) == marks else None


def same_number(answer: str, gold: str) -> bool:
    """Whether two answers end in the same number."""
    wanted = final_number(gold)
    return wanted is not None and final_number(answer) == wanted


def _write(draw: Draw) -> Document:
    story = draw.wording(STORIES)
    numbers, worked = _numbers(draw, story)
    (name, pronoun), (other, _) = draw.entities(FIRST_NAMES, 2)
    thing, holder = draw.entity(THINGS), draw.one(HOLDERS)
    words = {
        **{"N": name, "M": other, "he": pronoun, "He": pronoun.capitalize()},
        **{"his": _PRONOUNS[pronoun], "o": plural(thing), "h": plural(holder)},
        **{"T": draw.entity(TOWNS), "D": draw.one(DAYS), "z": str(draw.number(6, 90))},
    }
    for letter, number in numbers.items():
        words |= {letter: str(number), f"{letter}_o": count(number, thing)}
        words |= {f"{letter}_h": count(number, holder)}
    # A number that is not needed; a story of people's ages would contradict one about them.
    spoken = draw.chance(0.4) and "years old" not in story.text
    aside = draw.wording(ASIDES) if spoken else ""
    text = " ".join(filter(None, [story.text, aside])).format(**words)
    working = " ".join(f"{left} {sign} {right} = {n}." for left, sign, right, n in worked)
    answer = f"{working} #### {worked[-1][3]}"
    return {
        "context": text,
        "question": story.question.format(**words),
        "answer": answer,
        "golds": [answer],
        "facts": json.dumps({"numbers": numbers, "steps": story.steps}),
    }


def _numbers(draw: Draw, story: Story) -> tuple[dict[str, int], list[tuple[int, str, int, int]]]:
    """Numbers for which every step gives a whole number above 1, and the steps worked out."""
    while True:
        numbers = {letter: draw.number(*limits) for letter, limits in story.ranges.items()}
        if len(set(numbers.values())) < len(numbers):
            continue
        worked: list[tuple[int, str, int, int]] = []
        for step in story.steps:
            left, sign, right = step.split()
            x, y = (_operand(side, numbers, worked) for side in (left, right))
            if sign == "/" and x % y:
                break
            worked.append((x, sign, y, OPERATIONS[sign](x, y)))
            if worked[-1][3] < 2:
                break
        else:
            return numbers, worked


def _operand(side: str, numbers: dict[str, int], worked: list[tuple[int, str, int, int]]) -> int:
    if side.isdigit():
        return int(side)
    # _ is the step before, __ the one before that.
    return worked[-len(side)][3] if side.strip("_") == "" else numbers[side]
