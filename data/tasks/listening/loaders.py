"""Recordings to ask about: sentences of a closed vocabulary that espeak-ng speaks, in noise.

Language, voice, pace, loudness and background are drawn from a seed, so that all are known.
"""

import random
from itertools import combinations

import numpy as np
from datasets import Dataset

from forgetting.tasks import sounds, synthesis
from forgetting.tasks.documents import bundled

TRAINED, TESTED = 480, 160
SPEAKERS = {  # espeak-ng's variants of a voice
    "known": {"man": ("m1", "m3", "m5"), "woman": ("f1", "f2", "f4")},
    "new": {"man": ("m4", "m7"), "woman": ("f3", "f5")},
}
PACES = {"slow": 115, "normal": 165, "fast": 250}
LEVELS = {"quiet": 0.01, "normal": 0.04, "loud": 0.15}
BACKGROUNDS = ("silence", "hiss", "hum", "crackle")
QUESTIONS = {
    "language": "Which language is it?",
    "speaker": "Who speaks, a man or a woman?",
    "background": "What is in the background: silence, hiss, hum or crackle?",
    "volume": "How loud is it: quiet, normal or loud?",
    "pace": "How fast is it: slow, normal or fast?",
}
JSON = ' Write a JSON object with one key, "answer". Output only the JSON object.'
HOW = {"slow": "slowly", "normal": "normally", "fast": "fast"}
LOUD = {"quiet": "quietly", "normal": "normally", "loud": "loudly"}


def recordings(count, voices, seed, asked=5):
    """What is said and how: attributes drawn so that each value comes as often as another.

    Of those that are asked the same of `asked` questions, too: these are asked in turn.
    """
    languages = {row["language"]: row for row in bundled("listening.jsonl")}
    dice = random.Random(seed)

    def even(values):
        drawn = [values[(n // asked + n % asked) % len(values)] for n in range(count)]
        for first in range(asked):
            alike = drawn[first::asked]
            dice.shuffle(alike)
            drawn[first::asked] = alike
        return drawn

    columns = {
        "language": even(list(languages)),
        "speaker": even(["man", "woman"]),
        "background": even(BACKGROUNDS),
        "volume": even(list(LEVELS)),
        "pace": even(list(PACES)),
    }
    for number in range(count):
        known = {name: column[number] for name, column in columns.items()}
        language = languages[known["language"]]
        a, b = dice.choice(list(combinations(language["things"], 2)))
        variant = dice.choice(SPEAKERS[voices][known["speaker"]])
        yield known | {
            "text": dice.choice(language["sentences"]).format(a=a, b=b),
            "voice": f"{language['voice']}+{variant}",
            "words": round(PACES[known["pace"]] * dice.uniform(0.92, 1.08)),
            "pitch": dice.randint(40, 60),
            "level": LEVELS[known["volume"]] * dice.uniform(0.8, 1.25),
            "decibels": dice.uniform(8, 16),
            "seed": dice.randrange(2**31),
        }


def described(known):
    """A recording in a sentence: what a text model can read in its place."""
    person = f"A {known['speaker']} speaks {known['language']}"
    there = f"In the background there is {known['background']}."
    return f"{person}, {HOW[known['pace']]} and {LOUD[known['volume']]}. {there}"


def waves(drawn):
    """(samples,) float32 of each recording."""
    said = [synthesis.Said(d["text"], d["voice"], d["words"], d["pitch"]) for d in drawn]
    for known, wave in zip(drawn, synthesis.spoken(said), strict=True):
        noisy = sounds.with_noise(
            wave.astype(np.float64), known["background"], known["decibels"], known["seed"]
        )
        yield sounds.levelled(noisy, known["level"])


def documents(drawn, numbers, json, sound):
    heard = list(waves(drawn)) if sound else [None] * len(drawn)
    for known, wave, asked in zip(drawn, heard, numbers, strict=True):
        for about in asked:
            label = str(known[about])
            document = {
                **{name: str(value) for name, value in known.items()},
                "about": about,
                "prompt": QUESTIONS[about] + (JSON if json else ""),
                "answer": label[0].upper() + label[1:] + ".",
                "label": label,
                "description": described(known),
            }
            yield document | ({"sound": wave} if sound else {})


def made(rows):
    """A data set whose sounds stay arrays."""
    found = Dataset.from_list(list(rows))
    if "sound" not in found.column_names:
        return found
    return found.with_format("numpy", columns=["sound"], output_all_columns=True)


def listening(voices="known", json=False, asked="sound", train=False, described=False, **_):
    """Spoken sentences in five languages, in a voice, at a pace, more or less loud, in some noise.

    A question a recording, or, with `described`, a draw of its own and a description of each.
    """
    questions = 1 if described else len(QUESTIONS)
    sound, names = asked == "sound", list(QUESTIONS)
    tested = list(recordings(TESTED, voices, f"test {voices}", questions))
    in_turn = [[name] for name in names]  # a question a recording
    numbers = [in_turn[n % len(names)] for n in range(TESTED)]
    found = {"test": made(documents(tested, numbers, json, sound))}
    if train:
        drawn = list(recordings(TRAINED, voices, "train", questions))
        numbers = [in_turn[n % len(names)] for n in range(TRAINED)]
        found["train"] = made(documents(drawn, numbers, json, sound))
    return found
