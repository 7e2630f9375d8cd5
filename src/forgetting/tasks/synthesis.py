"""Speech that a program speaks: espeak-ng, out of a pip package, through its C interface.

The library and its voices come with `espeakng-loader`; nothing of them is kept here. What is said
depends on the text, the voice and the engine's version alone.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np

RETRIEVAL = 1  # the sound is handed over, not played
UTF8 = 1
PARAMETERS = {"pace": 1, "pitch": 3}  # words a minute; 0 to 100
Receive = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class NoVoice(ValueError):
    """A voice that the engine lacks."""


@lru_cache
def engine() -> tuple[Any, int]:
    """The library, set up once in a process, and its samples a second."""
    import espeakng_loader  # the only package that needs it is imported where it speaks

    library = ctypes.cdll.LoadLibrary(espeakng_loader.get_library_path())
    data = str(espeakng_loader.get_data_path()).encode()
    rate = library.espeak_Initialize(RETRIEVAL, 0, data, 0)
    if rate <= 0:
        raise OSError("espeak-ng does not start; install espeakng-loader again")
    return library, rate


def version() -> str:
    """The engine's version, which enters the keys of what it says."""
    library, _ = engine()
    library.espeak_Info.restype = ctypes.c_char_p
    return library.espeak_Info(None).decode().split()[0]


def say(text: str, voice: str, pace: int = 175, pitch: int = 50) -> tuple[np.ndarray, int]:
    """What a voice makes of a text: (samples,) in -1 … 1, and samples a second.

    A voice is a language and a variant ("en-us+f2"), a pace 80 to 450 words a minute. Raises
    `NoVoice`.
    """
    library, rate = engine()
    pieces: list[np.ndarray] = []

    def receive(samples: Any, count: int, _: Any) -> int:
        if samples and count:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = Receive(receive)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()):
        raise NoVoice(f"voice={voice!r}: espeak-ng has no such voice")
    for name, value in (("pace", pace), ("pitch", pitch)):
        library.espeak_SetParameter(PARAMETERS[name], value, 0)
    said = text.encode()
    library.espeak_Synth(said, len(said) + 1, 0, 0, 0, UTF8, None, None)
    library.espeak_Synchronize()
    wave = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return wave.astype(np.float32) / 32768, rate
