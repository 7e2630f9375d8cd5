"""Sentences to write down: six domains of short sentences, spoken by espeak-ng.

Sentences to be tested on have other frames than those that are trained on, and other voices; those
that choices are made on (dictation_dev) have other sentences than both, and voices of their own.
"""

import random
from itertools import product
from string import Formatter

import numpy as np
from datasets import Dataset

from forgetting.tasks import synthesis
from forgetting.tasks.documents import bundled

TRAINED, TESTED = 780, 120  # of six domains, as many of each
ACCENTS = ("en-us", "en")  # American, British
VARIANTS = {
    "train": ("m1", "m3", "m5", "f1", "f4"),
    "dev": ("m2", "m6", "f2"),
    "test": ("m4", "m7", "f3", "f5"),
}


def sentences(domain, split):
    """All sentences of a domain that a split may have, in an order of their own."""
    found = []
    for frame in domain["frames" if split == "train" else "later"]:
        slots = [name for _, name, _, _ in Formatter().parse(frame) if name]
        for fillings in product(*(domain["slots"][slot] for slot in slots)):
            found.append(frame.format(**dict(zip(slots, fillings, strict=True))))
    random.Random(f"{domain['domain']} {split == 'train'}").shuffle(found)
    if split == "train":
        return found
    half = len(found) // 2
    return found[:half] if split == "test" else found[half:]


def drawn(split, count):
    """What is said, by whom and how fast."""
    domains = [row for row in bundled("dictation.jsonl")]
    dice = random.Random(f"dictation {split}")
    for domain in domains:
        for text in sentences(domain, split)[: count // len(domains)]:
            yield {
                "text": text,
                "domain": domain["domain"],
                "voice": f"{dice.choice(ACCENTS)}+{dice.choice(VARIANTS[split])}",
                "words": dice.randint(130, 190),
                "pitch": dice.randint(40, 60),
            }


def documents(split, count):
    rows = list(drawn(split, count))
    said = [synthesis.Said(r["text"], r["voice"], r["words"], r["pitch"]) for r in rows]
    waves = synthesis.spoken(said)
    sounds = [wave.astype(np.float32) / 32768 for wave in waves]
    random.Random(f"order {split}").shuffle(order := list(range(len(rows))))
    found = Dataset.from_list([rows[n] | {"sound": sounds[n]} for n in order])
    return found.with_format("numpy", columns=["sound"], output_all_columns=True)


def dictation(split="test", train=False, **_):
    """Short English sentences to write down, of six domains, spoken by a synthetic voice.

    Frames of the tested sentences were not trained on, nor were their voices.
    """
    found = {"test": documents(split, TESTED)}
    return found | ({"train": documents("train", TRAINED)} if train else {})
