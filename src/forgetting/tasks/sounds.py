"""Sounds: noises made by a formula, how loud a recording is, and recordings out of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from forgetting.tasks.synthesis import RATE

SILENT = 1e-4  # a root mean square below this is silence: -80 dB of full scale
LONGEST = 30.0  # seconds: what Whisper hears at once


class NoSound(ValueError):
    """A file in which there is nothing to hear, or nothing that can be read."""


def loudness(wave: np.ndarray) -> float:
    """The root mean square of samples in -1 … 1."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0


def levelled(wave: np.ndarray, level: float) -> np.ndarray:
    """The wave with this root mean square, float32, clipped to -1 … 1."""
    louder = wave * (level / max(loudness(wave), 1e-9))
    return np.clip(louder, -1, 1).astype(np.float32)


def noise(kind: str, count: int, dice: np.random.Generator) -> np.ndarray:
    """`count` samples of "hiss" (white), "hum" (50 Hz and overtones) or "crackle" (clicks).

    Raises `ValueError` for another kind.
    """
    if kind == "hiss":
        made = dice.normal(size=count)
    elif kind == "hum":
        time = np.arange(count) / RATE
        phases = dice.uniform(0, 2 * np.pi, 5)
        made = sum(
            np.sin(2 * np.pi * 50 * n * time + phase) / n for n, phase in enumerate(phases, 1)
        )
    elif kind == "crackle":
        clicks = dice.normal(size=count) * (dice.uniform(size=count) < 40 / RATE)
        made = np.convolve(clicks, np.exp(-np.arange(64) / 12.0))[:count]
    else:
        raise ValueError(f"noise={kind!r}: there are hiss, hum, crackle")
    return np.asarray(made)


def mixed(wave: np.ndarray, made: np.ndarray, decibels: float) -> np.ndarray:
    """Speech and a noise that is made `decibels` softer than it."""
    softer = loudness(wave) * 10 ** (-decibels / 20) / max(loudness(made), 1e-9)
    return wave + softer * made


def with_noise(wave: np.ndarray, kind: str, decibels: float, seed: int) -> np.ndarray:
    """Speech and a noise that is `decibels` softer; "silence" leaves it as it is."""
    if kind == "silence":
        return wave
    return mixed(wave, noise(kind, len(wave), np.random.default_rng(seed)), decibels)


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    """A file as (samples,) float32 at 16 kHz, one channel, and what was done to make it so.

    Raises `NoSound`, in one line, for what is no sound, silent or longer than 30 s.
    """
    import soundfile
    from scipy.signal import resample_poly

    if not path.is_file():
        raise NoSound(f"{path}: no such file")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise NoSound(f"{path}: no sound that can be read ({error}); save it as WAV") from error
    seconds = len(samples) / rate
    if seconds > LONGEST:
        raise NoSound(f"{path}: {seconds:.1f} s long, and at most {LONGEST:g} s are heard; cut it")
    done = []
    if samples.shape[1] > 1:
        done.append(f"{samples.shape[1]} channels mixed to one")
    wave = samples.mean(1)
    if not np.isfinite(wave).all():
        raise NoSound(f"{path}: has samples that are no numbers; save it again")
    if loudness(wave) < SILENT:
        raise NoSound(f"{path}: silent (its samples are below {SILENT:g}); record it again")
    if rate != RATE:
        done.append(f"{rate} Hz made {RATE} Hz")
        common = int(np.gcd(rate, RATE))
        wave = resample_poly(wave, RATE // common, rate // common)
    return wave.astype(np.float32), done
