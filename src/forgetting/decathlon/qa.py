"""`mini_qa`: extractive question answering over generated passages, in the manner of SQuAD.

A passage tells the same three things of each of three people, buildings, novels or fairs, so that
every question has two wrong answers of the right type. The answer is a span of the passage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

from forgetting.decathlon.drawing import Document, Draw, Split, distinct, pool
from forgetting.decathlon.english import MONTHS, TOWNS, TRADES, a, capital, label, person, several

COLLECTIONS = pool(
    "clocks masks maps coins shells fans puppets kites bells stamps lamps keys buttons fossils "
    "swords violins baskets teapots carpets posters medals globes hats thimbles engines"
)


@dataclass(frozen=True)
class Attribute:
    """What may be said and asked: verb phrases, questions after the value, and after the name.

    {v} is the value, {a_v} the value with its article, {n} the name. The last entry of each is
    held out.
    """

    name: str
    values: str
    said: tuple[str, ...]
    asked: tuple[str, ...]
    asked_back: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """What passages are about. `article`: the name is preceded by "the"."""

    name: str
    article: bool
    attributes: tuple[Attribute, ...]


KINDS = (
    Kind(
        "person",
        False,
        (
            Attribute(
                "birthplace",
                "town",
                ("was born in {v}", "came from {v}", "was a native of {v}"),
                (
                    "Where was {n} born?",
                    "In which town was {n} born?",
                    "What was the birthplace of {n}?",
                ),
                ("Who was born in {v}?", "Whose birthplace was {v}?", "Who came from {v}?"),
            ),
            Attribute(
                "trade",
                "trade",
                (
                    "worked as {a_v}",
                    "earned a living as {a_v}",
                    "was {a_v} by profession",
                    "made a career as {a_v}",
                ),
                (
                    "What did {n} do for a living?",
                    "What was the profession of {n}?",
                    "What job did {n} have?",
                ),
                ("Who was {a_v}?", "Who worked as {a_v}?", "Which person was {a_v} by trade?"),
            ),
            Attribute(
                "home",
                "town",
                ("settled in {v}", "moved to {v} as an adult", "found a home in {v} after school"),
                (
                    "Where did {n} settle?",
                    "To which town did {n} move?",
                    "In which town did {n} end up living?",
                ),
                ("Who settled in {v}?", "Who moved to {v}?", "Who ended up living in {v}?"),
            ),
            Attribute(
                "retired",
                "year",
                ("retired in {v}", "stopped working in {v}", "gave up work in {v}"),
                (
                    "When did {n} retire?",
                    "In what year did {n} stop working?",
                    "In which year did the working life of {n} end?",
                ),
                (
                    "Who retired in {v}?",
                    "Who stopped working in {v}?",
                    "Whose working life ended in {v}?",
                ),
            ),
        ),
    ),
    Kind(
        "museum",
        True,
        (
            Attribute(
                "town",
                "town",
                ("stands in {v}", "is in the centre of {v}", "can be visited in {v}"),
                ("Where is {n}?", "In which town does {n} stand?", "Where can one visit {n}?"),
                (
                    "Which museum is in {v}?",
                    "What museum stands in {v}?",
                    "Which museum can one visit in {v}?",
                ),
            ),
            Attribute(
                "opened",
                "date",
                (
                    "opened on {v}",
                    "received its first visitors on {v}",
                    "was inaugurated on {v}",
                ),
                (
                    "When did {n} open?",
                    "On what date did {n} open its doors?",
                    "When was {n} inaugurated?",
                ),
                (
                    "Which museum opened on {v}?",
                    "What museum opened its doors on {v}?",
                    "Which museum was inaugurated on {v}?",
                ),
            ),
            Attribute(
                "architect",
                "person",
                (
                    "was designed by {v}",
                    "was the work of the architect {v}",
                    "was built after the drawings of {v}",
                ),
                (
                    "Who designed {n}?",
                    "By whom was {n} designed?",
                    "Who was the architect of {n}?",
                ),
                (
                    "Which museum was designed by {v}?",
                    "What museum did {v} design?",
                    "Of which museum was {v} the architect?",
                ),
            ),
            Attribute(
                "collection",
                "collection",
                (
                    "holds a collection of {v}",
                    "shows hundreds of {v}",
                    "has many {v} on display",
                ),
                (
                    "What can visitors see in {n}?",
                    "What does {n} collect?",
                    "Which objects are on display in {n}?",
                ),
                (
                    "Which museum collects {v}?",
                    "In which museum can visitors see {v}?",
                    "Which museum has {v} on display?",
                ),
            ),
        ),
    ),
    Kind(
        "novel",
        False,
        (
            Attribute(
                "author",
                "person",
                ("was written by {v}", "is a novel by {v}", "came from the pen of {v}"),
                ("Who wrote {n}?", "By whom was {n} written?", "Who is the author of {n}?"),
                (
                    "Which novel did {v} write?",
                    "What novel was written by {v}?",
                    "Of which novel is {v} the author?",
                ),
            ),
            Attribute(
                "published",
                "year",
                ("was published in {v}", "appeared in {v}", "reached the bookshops in {v}"),
                (
                    "When was {n} published?",
                    "In what year did {n} appear?",
                    "In which year did {n} come out?",
                ),
                (
                    "Which novel was published in {v}?",
                    "What novel appeared in {v}?",
                    "Which novel came out in {v}?",
                ),
            ),
            Attribute(
                "setting",
                "town",
                ("is set in {v}", "takes place in {v}", "has {v} as its setting"),
                (
                    "Where is {n} set?",
                    "In which town does {n} take place?",
                    "What is the setting of {n}?",
                ),
                (
                    "Which novel is set in {v}?",
                    "What novel takes place in {v}?",
                    "Which novel has {v} as its setting?",
                ),
            ),
            Attribute(
                "hero",
                "trade",
                (
                    "tells the story of {a_v}",
                    "follows the life of {a_v}",
                    "has {a_v} as its main character",
                ),
                (
                    "Whose story does {n} tell?",
                    "What is the profession of the hero of {n}?",
                    "Who is the main character of {n}?",
                ),
                (
                    "Which novel tells the story of {a_v}?",
                    "What novel is about {a_v}?",
                    "In which novel is {a_v} the main character?",
                ),
            ),
        ),
    ),
    Kind(
        "fair",
        True,
        (
            Attribute(
                "town",
                "town",
                ("is held in {v}", "takes place in {v}", "fills the streets of {v}"),
                (
                    "Where is {n} held?",
                    "In which town does {n} take place?",
                    "Which town is the home of {n}?",
                ),
                (
                    "Which fair is held in {v}?",
                    "What fair takes place in {v}?",
                    "Which fair has its home in {v}?",
                ),
            ),
            Attribute(
                "month",
                "month",
                ("is celebrated every {v}", "comes round each {v}", "draws crowds every {v}"),
                (
                    "In which month is {n} held?",
                    "When in the year is {n} celebrated?",
                    "During which month can one go to {n}?",
                ),
                (
                    "Which fair is held in {v}?",
                    "What fair is celebrated in {v}?",
                    "To which fair can one go in {v}?",
                ),
            ),
            Attribute(
                "founder",
                "person",
                ("was founded by {v}", "was the idea of {v}", "owes its existence to {v}"),
                ("Who founded {n}?", "By whom was {n} founded?", "Who had the idea for {n}?"),
                (
                    "Which fair was founded by {v}?",
                    "What fair did {v} found?",
                    "Which fair was the idea of {v}?",
                ),
            ),
            Attribute(
                "since",
                "year",
                ("was first held in {v}", "began in {v}", "dates back to {v}"),
                (
                    "When was {n} first held?",
                    "In what year did {n} begin?",
                    "Since which year has {n} existed?",
                ),
                (
                    "Which fair began in {v}?",
                    "What fair was first held in {v}?",
                    "Which fair has existed since {v}?",
                ),
            ),
        ),
    ),
)

OPENINGS = (
    "Three entries of an old guide follow.",
    "The notes below come from a local archive.",
    "A school class collected these facts.",
    "This is what a small encyclopedia says.",
)
ENTITIES = 3
FACTS = 3


def documents(seed: int, n: int, split: Split) -> list[Document]:
    """`n` passages with a question each; `facts` holds what the passage says, as JSON."""
    return distinct(_write, "mini_qa", seed, n, split)


def _write(draw: Draw) -> Document:
    kind = draw.one(KINDS)
    attributes = draw.some(kind.attributes, FACTS)
    names, pronouns = _names(draw, kind)
    values = _values(draw, attributes, names)
    told = [dict(zip((x.name for x in attributes), row, strict=True)) for row in values]
    blocks = [
        _told(draw, kind, name, pronoun, attributes, facts)
        for name, pronoun, facts in zip(names, pronouns, told, strict=True)
    ]
    opening = draw.wording(OPENINGS) if draw.chance(0.7) else ""
    asked, about = draw.one(attributes), draw.below(ENTITIES)
    value, name = told[about][asked.name], names[about]
    backwards = draw.chance(0.4)
    question = draw.wording(asked.asked_back if backwards else asked.asked)
    full = f"the {name}" if kind.article else name
    answer = name if backwards else value
    return {
        "context": " ".join(filter(None, [opening, *blocks])),
        "question": question.format(n=full, v=value, a_v=a(value)),
        "answer": answer,
        "golds": [answer],
        "facts": json.dumps(
            {
                "told": [[n, t] for n, t in zip(names, told, strict=True)],
                "asked": [name, asked.name],
                "backwards": backwards,
            }
        ),
    }


def _names(draw: Draw, kind: Kind) -> tuple[list[str], list[str]]:
    if kind.name == "person":
        people: dict[str, str] = {}
        while len(people) < ENTITIES:
            people |= [person(draw)]
        return list(people), list(people.values())
    endings = {"museum": " Museum", "fair": " Fair", "novel": ""}
    opening = "The " if kind.name == "novel" else ""
    names = [f"{opening}{n}{endings[kind.name]}" for n in several(draw, label, ENTITIES)]
    return names, ["it"] * ENTITIES


def _values(draw: Draw, attributes: list[Attribute], names: list[str]) -> list[list[str]]:
    """For each entity a value of each attribute, all different within the passage."""
    used: list[str] = list(names)
    columns = []
    for attribute in attributes:
        found = several(draw, partial(_value, kind=attribute.values), ENTITIES, used)
        used += found
        columns.append(found)
    return [list(row) for row in zip(*columns, strict=True)]


def _value(draw: Draw, kind: str) -> str:
    if kind == "town":
        return draw.entity(TOWNS)
    if kind == "trade":
        return draw.entity(TRADES)
    if kind == "collection":
        return draw.entity(COLLECTIONS)
    if kind == "person":
        return person(draw)[0]
    if kind == "month":
        return draw.one(MONTHS)
    year = str(draw.number(1850, 1999))
    return year if kind == "year" else f"{draw.number(1, 28)} {draw.one(MONTHS)} {year}"


def _told(
    draw: Draw,
    kind: Kind,
    name: str,
    pronoun: str,
    attributes: list[Attribute],
    facts: dict[str, str],
) -> str:
    """What the passage says of one entity: its name once, then pronouns."""
    phrases = [
        draw.wording(attribute.said).format(v=facts[attribute.name], a_v=a(facts[attribute.name]))
        for attribute in draw.shuffled(attributes)
    ]
    cut = draw.number(1, FACTS)
    subject = f"the {name}" if kind.article else name
    parts = [p for p in (phrases[:cut], phrases[cut:]) if p]
    # Two or three verb phrases in a sentence: x and y; x, y and z.
    joined = [" and ".join(filter(None, [", ".join(p[:-1]), p[-1]])) for p in parts]
    subjects = [subject, pronoun]
    return " ".join(f"{capital(s)} {text}." for s, text in zip(subjects, joined, strict=False))
