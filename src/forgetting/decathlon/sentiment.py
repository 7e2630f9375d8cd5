"""`mini_sentiment`: is a review positive or negative, after the Stanford Sentiment Treebank.

Adjectives alone do not tell: they are negated, conceded before a verdict, or what was expected.
Each pattern is as frequent with either label, and the labels are balanced exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from forgetting.decathlon.drawing import Document, Draw, Split, distinct, pool
from forgetting.decathlon.english import DAYS, MONTHS, a, capital

LABELS = {1: "positive", -1: "negative"}

# Mild words can be negated: "not dull" is praise, while "not dreadful" is none.
MILD = {
    1: pool(
        "good enjoyable pleasant impressive convincing satisfying appealing worthwhile likeable "
        "memorable engaging charming interesting helpful entertaining"
    ),
    -1: pool(
        "bad boring disappointing dull unpleasant poor tedious annoying weak tiresome clumsy "
        "careless irritating mediocre unconvincing"
    ),
}
STRONG = {
    1: pool(
        "wonderful excellent superb delightful brilliant fantastic splendid outstanding "
        "marvellous terrific magnificent perfect beautiful remarkable lovely"
    ),
    -1: pool(
        "terrible awful dreadful horrible miserable abysmal atrocious ghastly appalling "
        "disastrous hideous pathetic lousy wretched unbearable"
    ),
}
VERDICTS = {
    1: (
        "I am glad that I chose this {k}",
        "I would recommend this {k} to anyone",
        "I would gladly choose this {k} again",
        "this {k} was worth every penny",
        "this {k} won me over",
    ),
    -1: (
        "I regret that I chose this {k}",
        "I would warn anyone against this {k}",
        "I would never choose this {k} again",
        "this {k} was a waste of money",
        "this {k} left me cold",
    ),
}
PARTS = {
    "film": ("acting", "plot", "ending", "music", "dialogue", "camera work"),
    "restaurant": ("food", "service", "soup", "wine", "dessert", "menu"),
    "hotel": ("room", "bed", "view", "breakfast", "pool", "lobby"),
    "book": ("style", "opening", "story", "last chapter", "prose", "introduction"),
    "phone": ("screen", "camera", "battery", "sound", "keyboard", "software"),
    "tour": ("guide", "route", "lunch", "bus", "schedule", "last stop"),
    "play": ("cast", "stage design", "first act", "lighting", "script", "final scene"),
    "course": ("teacher", "textbook", "pace", "classroom", "first lesson", "material"),
}


@dataclass(frozen=True)
class Pattern:
    """A sentence about part {t}, deciding adjective {x}, other part {u} and adjective {y}.

    `x` and `y` are -1 where the words around turn the adjective's meaning about, 0 where there is
    no such adjective. `verdict`: {v} decides instead of {x}. What is said with {y} always pulls
    the other way. `mild`: adjectives must bear a "not".
    """

    text: str
    x: int = 0
    y: int = 0
    verdict: bool = False
    mild: bool = False


# The last of each group is held out.
PATTERNS = (
    (
        Pattern("The {t} was {x}.", x=1),
        Pattern("I found the {t} {x}.", x=1),
        Pattern("I must say that the {t} was really {x}.", x=1),
        Pattern("What {a_x} {t} this {k} has!", x=1),
    ),
    (
        Pattern("The {t} was not {x}.", x=-1, mild=True),
        Pattern("The {t} was not {x} at all.", x=-1, mild=True),
        Pattern("I did not find the {t} {x}.", x=-1, mild=True),
        Pattern("The {t} was far from {x}.", x=-1),
        Pattern("The {t} was anything but {x}.", x=-1),
    ),
    (
        Pattern("Although the {u} was {y}, {v}.", y=1, verdict=True),
        Pattern("The {u} was {y}, but in the end {v}.", y=1, verdict=True),
        Pattern("{V}, even though the {u} was {y}.", y=1, verdict=True),
        Pattern("Yes, the {u} was {y}; all the same, {v}.", y=1, verdict=True),
    ),
    (
        Pattern("The {u} was not {y}, yet {v}.", y=-1, verdict=True, mild=True),
        Pattern("{V}, although the {u} was not {y}.", y=-1, verdict=True, mild=True),
        Pattern("Granted, the {u} was hardly {y}; still, {v}.", y=-1, verdict=True, mild=True),
    ),
    (
        Pattern("I expected the {t} to be {y}, but it was {x}.", x=1, y=1),
        Pattern("My friends had called the {t} {y}; I thought that it was {x}.", x=1, y=1),
        Pattern("Far from being {y}, as I had feared or hoped, the {t} was {x}.", x=1, y=1),
        Pattern("Where others saw {a_y} {t}, I saw {a_x} one.", x=1, y=1),
    ),
    (
        Pattern("Nobody can say that the {t} was not {x}.", x=1, mild=True),
        Pattern("It would be wrong to claim that the {t} was not {x}.", x=1, mild=True),
        Pattern("There was no moment when the {t} was not {x}.", x=1, mild=True),
    ),
)

CONCESSIONS = PATTERNS[2]

OPENINGS = (
    "We were there on a {d}.",
    "I had read a lot about this {k}.",
    "My sister had told me about this {k}.",
    "I chose this {k} in {m}, on a {d}.",
)
QUESTIONS = (
    "Is this review positive or negative?",
    "Is the reviewer's opinion negative or positive?",
    "Does this review say something positive or negative?",
)


def documents(seed: int, n: int, split: Split) -> list[Document]:
    """`n` reviews, as many positive as negative; `facts` holds what decides, as JSON."""
    return distinct(_write, "mini_sentiment", seed, n, split)


def _write(draw: Draw) -> Document:
    # Two neighbours share a label, so that novel and other test items are both balanced.
    label = 1 if draw.index // 2 % 2 == 0 else -1
    # Concessions come twice as often: then counting kind and unkind words is no better than chance.
    pattern = draw.wording(draw.one((*PATTERNS, CONCESSIONS)))
    kind = draw.one(tuple(PARTS))
    part, other = draw.some(PARTS[kind], 2)
    words = MILD if pattern.mild else draw.one((MILD, STRONG))
    x = draw.entity(words[label * pattern.x]) if pattern.x else ""
    y = draw.entity(words[-label * pattern.y]) if pattern.y else ""
    verdict = draw.wording(VERDICTS[label]).format(k=kind)
    opening = draw.wording(OPENINGS) if draw.chance(0.8) else ""
    opening = opening.format(k=kind, d=draw.one(DAYS), m=draw.one(MONTHS))
    text = pattern.text.format(
        **{"t": part, "u": other, "k": kind, "x": x, "y": y, "v": verdict, "V": capital(verdict)},
        a_x=a(x) if x else "",
        a_y=a(y) if y else "",
    )
    answer = LABELS[label]
    return {
        "context": " ".join(filter(None, [opening, text])),
        "question": draw.wording(QUESTIONS),
        "answer": answer,
        "golds": [answer],
        "facts": json.dumps(
            {"adjectives": [x, y], "turned": [pattern.x, pattern.y], "verdict": pattern.verdict}
        ),
    }
