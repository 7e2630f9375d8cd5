"""Graders of what was answered about a recording."""

import re

VALUES = {
    "language": ("English", "Spanish", "French", "Italian", "Russian"),
    "speaker": ("man", "woman"),
    "background": ("silence", "hiss", "hum", "crackle"),
    "volume": ("quiet", "normal", "loud"),
    "pace": ("slow", "normal", "fast"),
}


def heard(doc, results):
    """Whether the first value that an answer names is the right one."""
    values = "|".join(VALUES[doc["about"]])
    named = re.search(rf"\b(?:{values})(?=ly\b|\b)", results[0], re.IGNORECASE)
    right = bool(named) and named[0].lower() == doc["label"].lower()
    return {"heard": float(right), "named": float(bool(named))}


def begun(doc, results):
    """Whether an answer begins a JSON object, in a fence or not, and what it names."""
    found = re.match(r"\s*(?:```(?:json)?\s*)?\{", results[0])
    return heard(doc, results) | {"begun": float(bool(found))}


DESCRIBED = r"An? (\w+) speaks (\w+), (\w+) and (\w+)\. In the background there is (\w+)"


def described(doc, results):
    """The share of five properties told rightly, and whether it is told in the form taught."""
    told, true = re.search(DESCRIBED, results[0]), re.search(DESCRIBED, doc["description"])
    pairs = zip(told.groups(), true.groups(), strict=True) if told else []
    return {"heard": sum(a == b for a, b in pairs) / 5, "named": float(bool(told))}
