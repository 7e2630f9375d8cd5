"""`mini_state`: what a user wants after several turns of dialogue, after WOZ.

Wishes are set, changed and taken back; offers are accepted and declined. The answer is the joint
state after the last turn, `slot = value; slot = value`, or `none` where nothing is left.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from forgetting.decathlon.drawing import Document, Draw, Split, distinct, pool
from forgetting.decathlon.english import DAYS, TOWNS

NOTHING = "none"

FOODS = pool(
    "Italian Thai Greek Indian Turkish Mexican Korean Japanese Spanish Lebanese French Polish "
    "Ethiopian Vietnamese Moroccan Danish Persian Portuguese Chinese Peruvian Swedish Hungarian "
    "Cuban Nepalese Egyptian"
)
GENRES = pool(
    "comedy thriller western musical documentary romance mystery cartoon drama satire horror "
    "fantasy crime adventure biography"
)
AREAS = ("north", "south", "east", "west", "centre")
PRICES = ("cheap", "moderate", "expensive")
CLOCK = tuple(f"{hour}:{minute:02}" for hour in range(7, 23) for minute in range(0, 60, 5))


@dataclass(frozen=True)
class Slot:
    """`called`: how speakers refer to it; `asked`: sentences that set it, the last held out."""

    name: str
    called: str
    values: tuple[str, ...]
    asked: tuple[str, ...]
    split: bool = False


def _numbers(low: int, high: int) -> tuple[str, ...]:
    return tuple(str(n) for n in range(low, high + 1))


_AREA = Slot(
    "area",
    "area",
    AREAS,
    (
        "It should be in the {v} of town.",
        "I am looking for something in the {v}.",
        "The {v} of town would be best.",
    ),
)
_PRICE = Slot(
    "price",
    "price range",
    PRICES,
    (
        "It should be in the {v} price range.",
        "The price should be {v}.",
        "Something {v} is what I want.",
    ),
)
_DAY = Slot(
    "day",
    "day",
    DAYS,
    ("It is for {v}.", "The day is {v}.", "We would come on {v}.", "{v} is the day."),
)
_TIME = Slot(
    "time",
    "time",
    CLOCK,
    ("The time should be {v}.", "We would be there at {v}.", "We mean to arrive at {v}."),
)

DOMAINS = {
    "a restaurant": (
        Slot(
            "food",
            "type of food",
            FOODS,
            ("I would like {v} food.", "We feel like {v} food.", "The kitchen should be {v}."),
            split=True,
        ),
        _AREA,
        _PRICE,
        _DAY,
        _TIME,
        Slot(
            "people",
            "number of people",
            _numbers(2, 12),
            ("We are {v} people.", "The table is for {v}.", "There will be {v} of us."),
        ),
    ),
    "a hotel": (
        Slot(
            "town",
            "town",
            TOWNS,
            ("We are going to {v}.", "The hotel must be in {v}.", "It is {v} where we will stay."),
            split=True,
        ),
        _AREA,
        _PRICE,
        Slot(
            "stars",
            "number of stars",
            _numbers(2, 5),
            ("It should have {v} stars.", "I want {v} stars.", "Only places with {v} stars."),
        ),
        Slot(
            "nights",
            "number of nights",
            _numbers(2, 14),
            ("We will stay for {v} nights.", "I need {v} nights.", "It will be {v} nights."),
        ),
        Slot(
            "arrival",
            "day of arrival",
            DAYS,
            ("We arrive on {v}.", "The stay begins on {v}.", "{v} is when we get there."),
        ),
    ),
    "a train trip": (
        Slot(
            "from",
            "place of departure",
            TOWNS,
            ("I am leaving from {v}.", "The trip starts in {v}.", "I get on in {v}."),
            split=True,
        ),
        Slot(
            "to",
            "destination",
            TOWNS,
            ("I want to go to {v}.", "My destination is {v}.", "I get off in {v}."),
            split=True,
        ),
        Slot(
            "day",
            "day",
            DAYS,
            ("I travel on {v}.", "The day is {v}.", "{v} is the day of the trip."),
        ),
        Slot(
            "time",
            "time of departure",
            CLOCK,
            ("I want to leave at {v}.", "It should depart at {v}.", "{v} would be a good start."),
        ),
        Slot(
            "tickets",
            "number of tickets",
            _numbers(2, 9),
            ("I need {v} tickets.", "That makes {v} tickets.", "Give me {v} tickets."),
        ),
    ),
    "a cinema visit": (
        Slot(
            "genre",
            "genre",
            GENRES,
            ("The genre should be {v}.", "I am in the mood for the genre {v}.", "Genre: {v}."),
            split=True,
        ),
        _AREA,
        _DAY,
        _TIME,
        Slot(
            "seats",
            "number of seats",
            _numbers(2, 9),
            ("I need {v} seats.", "We want {v} seats.", "{v} seats would be enough."),
        ),
    ),
}

GREETINGS = (
    "Hello, I am looking for {d}.",
    "Hi, can you help me to arrange {d}?",
    "Good morning, I need {d}.",
    "I want to book {d}.",
    "Please help me with {d}.",
)
CHANGES = (
    "Actually, please change the {c} to {v}.",
    "Could we change the {c} to {v} instead?",
    "Sorry, as to the {c} I meant {v}, not {o}.",
    "On second thoughts, {v} is better as the {c}.",
    "I have changed my mind about the {c}: {v} instead of {o}.",
)
DROPS = (
    "Forget what I said about the {c}.",
    "The {c} does not matter any more.",
    "You can ignore the {c} after all.",
    "Please delete the {c} again, I have no wish there.",
    "Come to think of it, I do not care about the {c}.",
)
OFFERS = (
    "Shall I note {v} as the {c}?",
    "Would {v} suit you as the {c}?",
    "What about {v} as the {c}?",
    "May I suggest {v} as the {c}?",
)
ACCEPTED = ("Yes, please.", "Yes, that is fine.", "Good idea, do that.", "I will take that.")
DECLINED = (
    "No, thank you.",
    "No, leave it as it was.",
    "Rather not.",
    "I do not want that.",
)
REMARKS = (
    "How long does it take to get there from here?",
    "Do they take cards?",
    "Thank you so far.",
    "Wait, I am looking for my glasses.",
    "Is it going to rain, do you know?",
)
REPLIES = (
    "All right. Anything else?",
    "I have noted that.",
    "Of course. What else can I do?",
    "Certainly.",
    "Very well, go on.",
)
QUESTIONS = (
    "What is the state of the request after the last turn?",
    "What does the user want after the last turn?",
    "Which wishes hold at the end of the dialogue?",
)


def documents(seed: int, n: int, split: Split) -> list[Document]:
    """`n` dialogues; `facts` holds what each user turn did to the state, as JSON."""
    return distinct(_write, "mini_state", seed, n, split)


def written(state: dict[str, str]) -> str:
    """A state as an answer."""
    return "; ".join(f"{slot} = {value}" for slot, value in state.items()) or NOTHING


def read(answer: str) -> dict[str, str] | None:
    """The state that an answer gives, in lower case; None where it is not one.

    A slot with two values is not a state, nor is an entry without a value.
    """
    text = answer.strip().rstrip(".;").lower()
    if text == NOTHING:
        return {}
    state: dict[str, str] = {}
    for entry in text.split(";"):
        slot, sign, value = (" ".join(piece.split()) for piece in entry.partition("="))
        if not (slot and sign and value) or state.get(slot, value) != value:
            return None
        state[slot] = value
    return state


def same_state(answer: str, gold: str) -> bool:
    """Joint match (decaNLP's dsEM on a turn): every slot has its value and there is no other.

    The order of the slots, case and spaces do not matter.
    """
    return read(answer) == read(gold)


def _write(draw: Draw) -> Document:
    domain = draw.one(tuple(DOMAINS))
    slots = {slot.name: slot for slot in DOMAINS[domain]}
    state: dict[str, str] = {}
    turns: list[str] = []
    done: list[list[list[str]]] = []
    for number in range(draw.number(2, 5)):
        said: list[str] = []
        did: list[list[str]] = []
        if number == 0:
            said.append(draw.wording(GREETINGS).format(d=domain))
        else:
            offered = _reply(draw, slots, state, turns)
            if offered:
                accepted = draw.chance(0.5)
                said.append(draw.wording(ACCEPTED if accepted else DECLINED))
                did += [["set", *offered]] if accepted else []
            elif draw.chance(0.15):
                said.append(draw.wording(REMARKS))
            elif state and draw.chance(0.65):
                name = draw.one(sorted(state))
                slot, old = slots[name], state[name]
                if draw.chance(0.5):
                    said.append(draw.wording(DROPS).format(c=slot.called))
                    did.append(["drop", name])
                else:
                    new = _value(draw, slot, state)
                    said.append(draw.wording(CHANGES).format(c=slot.called, v=new, o=old))
                    did.append(["set", name, new])
        _apply(state, did)
        touched = {change[1] for change in did}
        free = [name for name in slots if name not in state and name not in touched]
        wanted = draw.number(1, 2) if number == 0 else draw.number(0, 1)
        chosen = draw.some(free, min(wanted, len(free)))
        if number == 0:
            # A dialogue begins with a wish whose values are split between training and test.
            chosen[0] = draw.one([name for name, slot in slots.items() if slot.split])
            chosen = list(dict.fromkeys(chosen))
        for name in chosen:
            value = _value(draw, slots[name], state)
            said.append(draw.wording(slots[name].asked).format(v=value))
            did.append(["set", name, value])
            _apply(state, did[-1:])
        turns.append("User: " + " ".join(said or [draw.wording(REMARKS)]))
        done.append(did)
    answer = written({name: state[name] for name in slots if name in state})
    return {
        "context": "\n".join(turns),
        "question": draw.wording(QUESTIONS),
        "answer": answer,
        "golds": [answer],
        "facts": json.dumps({"turns": done}),
    }


def _reply(
    draw: Draw, slots: dict[str, Slot], state: dict[str, str], turns: list[str]
) -> list[str]:
    """Add the system's turn; the slot and value that it offers, if it does."""
    if not draw.chance(0.3):
        turns.append("System: " + draw.wording(REPLIES))
        return []
    slot = slots[draw.one(sorted(slots))]
    value = _value(draw, slot, state)
    turns.append("System: " + draw.wording(OFFERS).format(v=value, c=slot.called))
    return [slot.name, value]


def _value(draw: Draw, slot: Slot, state: dict[str, str]) -> str:
    """A value for the slot that no slot has now: trips lead elsewhere, changes change."""
    while True:
        value = draw.entity(slot.values) if slot.split else draw.one(slot.values)
        if value not in state.values():
            return value


def _apply(state: dict[str, str], changes: list[list[str]]) -> None:
    for kind, slot, *value in changes:
        if kind == "drop":
            del state[slot]
        else:
            state[slot] = value[0]
