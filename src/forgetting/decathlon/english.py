"""The generators' English: articles, plurals, lists, and pools of names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from forgetting.decathlon.drawing import Draw, pool

SHE, HE = "she", "he"


FIRST_NAMES = tuple(
    (name, pronoun)
    for names, pronoun in (
        (
            "Adela Bettina Carla Dora Elsa Flora Greta Hilda Ines Joana Karin Lucia Mara Nadia "
            "Olga Paula Rosa Selma Tilda Vera Wanda Zelda Alma Berit Clara",
            SHE,
        ),
        (
            "Anton Boris Carlo Dario Emil Felix Gregor Hugo Ivan Jonas Karl Leon Milan Nestor "
            "Oscar Pavel Ruben Simon Tomas Viktor Walter Yusuf Bruno Conrad Edgar",
            HE,
        ),
    )
    for name in names.split()
)

SURNAMES = pool(
    "Abbot Barlow Castell Denholm Ekman Fairley Garrick Holm Ivers Jarvis Kessler Lindqvist "
    "Marlow Norden Ostrow Pereira Quist Rankin Salter Thorne Ullman Varga Westby Yarrow Zeller "
    "Amberg Bristow Colby Dunmore Elwood Farrow Galton Hendry Ingram Keller Lorimer Maddox "
    "Nyland Orwin Palmer Rossi Sandoz Tarrant Upton Voss Whitlock Aldous Brandt Corrie Dahl"
)

# Invented, so that nothing a model read before training tells where anybody lived.
TOWNS = pool(
    "Arlow Bexmoor Calder Dunwick Elmsted Farholt Gorsley Hexby Ilmere Jarrow Kelsby Lorne "
    "Marsk Netherby Orsett Penrick Quarley Redmoor Selwick Thornby Ulverton Velden Wexcombe "
    "Yarmer Zelham Ashkirk Birkdale Corvale Draymoor Eastrop Fennick Grantley Holmsea Inverby "
    "Kirkham Langmere Mossford Norbeck Oakley Pinmore Ravensby Stanwick Tilbrook Upwell "
    "Vanmoor Westerby Aldgrove Brackley Cromer Dalby"
)

TRADES = pool(
    "glassblower carpenter baker teacher sailor tailor nurse painter miller engineer locksmith "
    "dentist gardener blacksmith optician potter fisherman translator weaver architect bookbinder "
    "chemist jeweller shepherd organist bricklayer cartographer violinist cobbler astronomer "
    "postman surgeon beekeeper plumber editor"
)

_FIRST_WORDS = pool(
    "Silver Quiet Amber Broken Hidden Scarlet Distant Hollow Golden Silent Winter Crooked Frozen "
    "Velvet Burning Northern Copper Wandering Forgotten Midnight Crystal Restless Painted Empty "
    "Gentle Ivory Stormy Sleeping Wooden Ancient"
)
_SECOND_WORDS = pool(
    "Heron Harbour River Lantern Orchard Mountain Compass Garden Falcon Bridge Willow Island "
    "Window Fountain Anchor Meadow Castle Feather Mirror Valley Thistle Ladder Beacon Sparrow "
    "Forest Kettle Pebble Tower Market Voyage"
)

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
NUMERALS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
)

_IRREGULAR = {"child": "children", "person": "people", "shelf": "shelves", "loaf": "loaves"}
_IRREGULAR |= {"tomato": "tomatoes", "potato": "potatoes"}


def person(draw: Draw) -> tuple[str, str]:
    """A full name and its pronoun, she or he."""
    first, pronoun = draw.entity(FIRST_NAMES)
    return f"{first} {draw.entity(SURNAMES)}", pronoun


def label(draw: Draw) -> str:
    """Two words that may name a ship, a book or a house: Silver Heron."""
    return f"{draw.entity(_FIRST_WORDS)} {draw.entity(_SECOND_WORDS)}"


def several(
    draw: Draw, make: Callable[[Draw], str], k: int, apart_from: Sequence[str] = ()
) -> list[str]:
    """`k` different strings from `make(draw)`, none of them in `apart_from`."""
    found: list[str] = []
    while len(found) < k:
        new = make(draw)
        if new not in found and new not in apart_from:
            found.append(new)
    return found


def a(noun: str) -> str:
    """The noun phrase with its indefinite article: an hour, a unit, an apple."""
    lower = noun.lower()
    vowel = lower[0] in "aeiou" and not lower.startswith(("uni", "use", "eu", "one"))
    return f"{'an' if vowel or lower.startswith(('hour', 'honest')) else 'a'} {noun}"


def plural(noun: str) -> str:
    """The regular plural, or one of the few others that the pools need."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def count(n: int, noun: str) -> str:
    """A number with its noun: 1 apple, 3 apples."""
    return f"{n} {noun if n == 1 else plural(noun)}"


def listing(words: Sequence[str]) -> str:
    """x; x and y; x, y and z."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]
