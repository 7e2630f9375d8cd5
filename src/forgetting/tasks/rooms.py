"""Rooms: what comes between a speaker and a recogniser, made by formulas, at levels and by seeds.

    hear = Room("babble", 10).heard(wave, seed=7, others=others)

Noises are added so many decibels below the speech; an echo, a telephone and a clipped recording
change the speech itself. Speech then has -25 dB of full scale, as Lin et al. 2024 (arXiv
2406.11064) level theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetting.checking import BadValue
from forgetting.tasks.sounds import RATE, levelled, loudness, mixed
from forgetting.wording import did_you_mean

LEVEL = 10 ** (-25 / 20)
VOICES = 4  # of other speakers in babble
CHORD = (220.0, 277.2, 329.6, 440.0)  # hertz, A major
Dice = np.random.Generator


@dataclass(frozen=True)
class Room:
    """A `kind` of room at a `level`.

    white, pink, babble, music: decibels of speech over noise. reverberation: seconds until an echo
    is 60 dB softer. telephone: the highest frequency, Hz. clipping: the share of samples that are
    cut off. quiet: as it was said. Raises `BadValue`.
    """

    kind: str = "quiet"
    level: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            hint = did_you_mean(self.kind, KINDS, f"there are {', '.join(KINDS)}")
            raise BadValue(f"room={self.kind!r}: no such room; {hint}")
        low, high = BOUNDS.get(self.kind, (-60, 120))
        if not low <= self.level <= high:
            raise BadValue(f"level={self.level:g}: of {self.kind} it is {low:g} to {high:g}")

    @property
    def name(self) -> str:
        """ "babble 10"."""
        return self.kind if self.kind == "quiet" else f"{self.kind} {self.level:g}"

    @classmethod
    def of(cls, name: str) -> Room:
        """The room of a name. Raises `BadValue`."""
        kind, _, level = name.partition(" ")
        try:
            return cls(kind, float(level or 0))
        except ValueError as error:
            if isinstance(error, BadValue):
                raise
            raise BadValue(f"room={name!r}: {level!r} is no number; write {kind} 10") from error

    def heard(self, wave: np.ndarray, seed: int, others: Sequence[np.ndarray] = ()) -> np.ndarray:
        """(samples,) float32: the wave as it is heard there; the same for the same seed.

        `others` are utterances that babble is made of. Raises `BadValue` where it has none.
        """
        dice = np.random.default_rng(seed)
        speech = np.asarray(wave, dtype=np.float64)
        if self.kind == "babble":
            noise = _babble(len(speech), dice, others)
        elif self.kind in NOISES:
            noise = NOISES[self.kind](len(speech), dice)
        else:
            return levelled(CHANGES[self.kind](speech, self.level, dice), LEVEL)
        return levelled(mixed(speech, noise, self.level), LEVEL)


def _white(count: int, dice: Dice) -> np.ndarray:
    return dice.normal(size=count)


def _pink(count: int, dice: Dice) -> np.ndarray:
    """Power falls as 1/f, above 20 Hz."""
    spectrum = np.fft.rfft(dice.normal(size=count))
    frequencies = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20)
    return np.fft.irfft(spectrum / np.sqrt(frequencies), count)


def _music(count: int, dice: Dice) -> np.ndarray:
    """Plucked notes of a chord with overtones, four a second."""
    made, step = np.zeros(count), RATE // 4
    for start in range(0, count, step):
        time = np.arange(min(2 * step, count - start)) / RATE
        note = dice.choice(CHORD) * dice.choice([1, 2])
        tones = sum(np.sin(2 * np.pi * note * n * time) / n for n in (1, 2, 3, 4))
        made[start : start + len(time)] += tones * np.exp(-4 * time)
    return made


def _babble(count: int, dice: Dice, others: Sequence[np.ndarray]) -> np.ndarray:
    """Other utterances, drawn, from anywhere within, and over and over."""
    if not others:
        raise BadValue("others=(): babble is made of other utterances; give some")
    made = np.zeros(count)
    for number in dice.choice(len(others), size=min(VOICES, len(others)), replace=False):
        other = np.asarray(others[number], dtype=np.float64)
        turned = np.roll(other, dice.integers(len(other)))
        made += np.resize(turned, count) / max(loudness(other), 1e-9)
    return made


def _echoing(wave: np.ndarray, seconds: float, dice: Dice) -> np.ndarray:
    """The sound itself, and noise that fades as an echo does, half as loud in all."""
    from scipy.signal import fftconvolve

    time = np.arange(int(seconds * RATE)) / RATE
    tail = dice.normal(size=len(time)) * 10 ** (-3 * time / seconds)
    tail *= 1 / np.sqrt(np.sum(tail**2))
    tail[0] = 1
    return fftconvolve(wave, tail)[: len(wave)]


def _telephone(wave: np.ndarray, hertz: float, dice: Dice) -> np.ndarray:
    """From 300 Hz up to `hertz`."""
    from scipy.signal import butter, sosfiltfilt

    band = butter(4, (300, hertz), "bandpass", fs=RATE, output="sos")
    return sosfiltfilt(band, wave)


def _clipped(wave: np.ndarray, share: float, dice: Dice) -> np.ndarray:
    edge = float(np.quantile(np.abs(wave), 1 - share))
    return np.clip(wave, -edge, edge)


def _same(wave: np.ndarray, level: float, dice: Dice) -> np.ndarray:
    return wave


NOISES: dict[str, Callable[[int, Dice], np.ndarray]] = {
    "white": _white,
    "pink": _pink,
    "music": _music,
}
CHANGES: dict[str, Callable[[np.ndarray, float, Dice], Any]] = {
    "quiet": _same,
    "reverberation": _echoing,
    "telephone": _telephone,
    "clipping": _clipped,
}
KINDS = (*NOISES, "babble", *CHANGES)
BOUNDS = {
    "quiet": (0, 0),
    "reverberation": (0.05, 5),
    "telephone": (500, 7900),
    "clipping": (0.01, 0.95),
}
