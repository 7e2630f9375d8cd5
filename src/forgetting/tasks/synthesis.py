"""Speech that a program speaks: espeak-ng, out of a pip package, through its C interface.

The library and its voices come with `espeakng-loader`; nothing of them is kept here. What it says
depends on what it said before, so a set is spoken by a process of its own, in one order, and kept
in the store under the sentences, the voices and the engine's version.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RATE = 16_000  # samples a second of what is kept
SYNCHRONOUS, UTF8 = 2, 1  # the sound is handed over before a call returns; texts are in UTF-8
PACE, PITCH = 1, 3  # the engine's numbers of these parameters
Receive = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class NoSpeech(RuntimeError):
    """The engine did not speak."""


class Said(NamedTuple):
    """A text in a voice, a language and a variant ("en-us+f2"), so many words a minute."""

    text: str
    voice: str
    pace: int = 175  # 80 to 450
    pitch: int = 50  # 0 to 100


def version() -> str:
    """The package whose engine speaks; it enters the keys of what is said."""
    return f"espeakng-loader {metadata.version('espeakng-loader')}"


def spoken(sentences: Sequence[Said]) -> list[np.ndarray]:
    """Each sentence as (samples,) int16 at 16 kHz; once for a set, then out of the store.

    Raises `NoSpeech` for a voice that the engine lacks, and where it does not start.
    """
    from forgetting import store  # here, for the process that speaks needs none of the package

    asked = [list(said) for said in sentences]
    key = store.hash_key(
        {"engine": version(), "rate": RATE, "said": [str(part) for s in asked for part in s]}
    )
    folder = store.get("speech", key)
    if folder is None:

        def write(folder: Path) -> None:
            command = [sys.executable, __file__, str(folder / "waves.npz")]
            done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise NoSpeech(f"espeak-ng: {last}")

        folder = store.put("speech", key, write)
    with np.load(folder / "waves.npz", allow_pickle=False) as waves:
        return [waves[str(number)] for number in range(len(asked))]


@lru_cache
def _engine() -> tuple[Any, int]:
    """The library, set up once in a process, and its samples a second."""
    import espeakng_loader

    library = ctypes.cdll.LoadLibrary(espeakng_loader.get_library_path())
    data = str(espeakng_loader.get_data_path()).encode()
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
    if rate <= 0:
        raise NoSpeech("the engine does not start; install espeakng-loader again")
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_ng_SetRandSeed(1)  # else breath is drawn by the clock
    return library, rate


def _say(said: Said) -> np.ndarray:
    from scipy.signal import resample_poly

    library, rate = _engine()
    pieces: list[np.ndarray] = []

    def receive(samples: Any, count: int, _: Any) -> int:
        if samples and count:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = Receive(receive)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(said.voice.encode()):
        raise NoSpeech(f"voice={said.voice!r}: there is no such voice")
    for parameter, value in ((PACE, said.pace), (PITCH, said.pitch)):
        library.espeak_SetParameter(parameter, value, 0)
    text = said.text.encode()
    library.espeak_Synth(text, len(text) + 1, 0, 0, 0, UTF8, None, None)
    wave = resample_poly(np.concatenate(pieces).astype(np.float64), RATE, rate)
    return np.clip(wave.round(), -32768, 32767).astype(np.int16)


if __name__ == "__main__":
    waves = [_say(Said(*fields)) for fields in json.load(sys.stdin)]
    numbered: dict[str, Any] = {str(number): wave for number, wave in enumerate(waves)}
    np.savez(sys.argv[1], **numbered)
