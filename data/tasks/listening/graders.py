"""Graders of what was answered about a recording."""

import json
import re

from forgetting.tasks import metrics

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
    return {"heard": float(right), "named": float(bool(named)), "followed": _followed(doc, results)}


def _followed(doc, results):
    check = json.loads(doc["check"])
    return float(metrics.follows(results[0], check)) if check else 0.0
