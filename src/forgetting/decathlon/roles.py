"""`mini_roles`: who did what to whom, where and when, after QA-SRL (He, Lewis & Zettlemoyer 2015).

Two or three sentences tell of one event each. The question names the event by its verb, mostly
without its participants, and asks for one role; the answer is a span.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from forgetting.decathlon.drawing import Document, Draw, Split, distinct, pool
from forgetting.decathlon.english import FIRST_NAMES, TRADES, capital


@dataclass(frozen=True)
class Verb:
    """A transitive verb; `to`: it may have a recipient."""

    base: str
    past: str
    participle: str
    to: bool


_RECIPIENT_VERBS = pool(
    "give gave given, sell sold sold, send sent sent, show showed shown, lend lent lent, "
    "hand handed handed, offer offered offered, promise promised promised",
    ", ",
)
_OTHER_VERBS = pool(
    "repair repaired repaired, paint painted painted, find found found, hide hid hidden, "
    "clean cleaned cleaned, break broke broken, carry carried carried, "
    "borrow borrowed borrowed, photograph photographed photographed, lose lost lost, "
    "steal stole stolen, draw drew drawn, buy bought bought, weigh weighed weighed, "
    "wrap wrapped wrapped, polish polished polished, inspect inspected inspected, "
    "drop dropped dropped, choose chose chosen, describe described described, "
    "admire admired admired, forget forgot forgotten",
    ", ",
)


def _verbs(forms: tuple[str, ...], to: bool) -> tuple[Verb, ...]:
    return tuple(Verb(base, past, participle, to) for base, past, participle in map(pool, forms))


VERBS = (*_verbs(_RECIPIENT_VERBS, True), *_verbs(_OTHER_VERBS, False))

ADJECTIVES = pool("old new small heavy red green blue strange broken shiny round yellow")
THINGS = pool(
    "clock kettle lamp chair basket mirror suitcase camera vase drum umbrella radio statue "
    "telescope ladder violin wheel blanket typewriter helmet globe barrel lantern carpet "
    "compass bell trunk toolbox saddle flag"
)
PLACES = pool(
    "in the kitchen, at the market, on the bridge, in the garden, behind the church, "
    "near the harbour, in the library, at the station, under the old oak, in the cellar, "
    "beside the river, on the roof, in the museum, at the airport, in front of the bank, "
    "in the workshop, on the beach, near the lighthouse, at the school, in the barn, "
    "outside the theatre, in the hotel, behind the stable, at the lake, in the attic",
    ", ",
)
TIMES = pool(
    "on Monday, yesterday, last week, in the morning, at noon, two days ago, on Sunday, "
    "before lunch, last summer, in the evening, in April, at midnight, after the storm, "
    "a month ago, on Friday, during the festival, at dawn, last winter, in 1998, "
    "before the wedding, on Tuesday, an hour ago, after dinner, in October, last year",
    ", ",
)
# Without "after", "after dinner" would be another time; "on Monday" is Monday.
_PREPOSITIONS = {
    "place": ("in front of", "in", "at", "on", "behind", "near", "under", "beside", "outside"),
    "time": ("in", "at", "on", "during"),
}

SENTENCES = (
    "{agent} {past} {patient}{to} {place} {time}.",
    "{time}, {agent} {past} {patient}{to} {place}.",
    "{patient} was {part}{to} by {agent} {place} {time}.",
    "{time}, {patient} was {part}{to} {place} by {agent}.",
    "It was {agent} who {past} {patient}{to} {place} {time}.",
    "{place}, {agent} {past} {patient}{to} {time}.",
    "{place}, {patient} was {part}{to} by {agent} {time}.",
    "Somebody {past} {patient}{to} {place} {time}: {agent}.",
    "{time}, {place}, {agent} {past} {patient}{to}.",
    "What {agent} {past}{to} {place} {time} was {patient}.",
)
QUESTIONS = {
    "agent": (
        "Who {past} something?",
        "Who {past} {patient}?",
        "Which person {past} something?",
        "By whom was something {part}?",
    ),
    "patient": (
        "What did someone {base}?",
        "What was {part}?",
        "What did {agent} {base}?",
        "Which thing was it that someone {past}?",
    ),
    "recipient": (
        "Who did someone {base} something to?",
        "Who was something {part} to?",
        "Who did {agent} {base} something to?",
        "To whom was something {part}?",
    ),
    "place": (
        "Where did someone {base} something?",
        "Where was something {part}?",
        "Where was {patient} {part}?",
        "In what place was something {part}?",
    ),
    "time": (
        "When did someone {base} something?",
        "When was something {part}?",
        "When was {patient} {part}?",
        "When was it that someone {past} something?",
    ),
}


def documents(seed: int, n: int, split: Split) -> list[Document]:
    """`n` short texts with a question each; `facts` holds their events, as JSON."""
    return distinct(_write, "mini_roles", seed, n, split)


def spans(role: str, span: str) -> list[str]:
    """The span and, for place and time, the span without its preposition: both are right."""
    for preposition in _PREPOSITIONS.get(role, ()):
        if span.startswith(preposition + " "):
            return [span, span.removeprefix(preposition + " ")]
    return [span]


def _write(draw: Draw) -> Document:
    number = draw.number(2, 3)
    verbs = draw.some(VERBS, number)
    people = [f"the {trade}" for trade in draw.entities(TRADES, number)]
    people += [name for name, _ in draw.entities(FIRST_NAMES, number)]
    people = draw.shuffled(people)
    things = draw.entities(THINGS, number)
    places, times = draw.entities(PLACES, number), draw.entities(TIMES, number)
    events = []
    for i, verb in enumerate(verbs):
        article = draw.one(("the", "the", "a"))
        events.append(
            {
                "verb": verb.base,
                "agent": people[2 * i],
                "patient": _phrase(article, draw.one(ADJECTIVES), things[i]),
                "place": places[i],
                "time": times[i],
            }
            | ({"recipient": people[2 * i + 1]} if verb.to else {})
        )
    told = [_tell(draw, v, e, SENTENCES) for v, e in zip(verbs, events, strict=True)]
    asked = draw.below(number)
    event = events[asked]
    role = draw.one([r for r in QUESTIONS if r in event])
    # Asked for again by name, a thing is known: it takes "the".
    known = event | {"patient": _phrase("the", *event["patient"].split()[1:])}
    question = _tell(draw, verbs[asked], known, QUESTIONS[role])
    return {
        "context": " ".join(told),
        "question": question,
        "answer": event[role],
        "golds": spans(role, event[role]),
        "facts": json.dumps({"events": events, "asked": [event["verb"], role]}),
    }


def _tell(draw: Draw, verb: Verb, event: dict[str, str], wordings: tuple[str, ...]) -> str:
    forms = {"base": verb.base, "past": verb.past, "part": verb.participle}
    to = f" to {event['recipient']}" if "recipient" in event else ""
    return capital(draw.wording(wordings).format(**event, **forms, to=to))


def _phrase(article: str, adjective: str, thing: str) -> str:
    if article == "a" and adjective[0] in "aeiou":
        article = "an"
    return f"{article} {adjective} {thing}"
