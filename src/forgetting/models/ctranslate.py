"""Whisper as CTranslate2 keeps it, read as numbers and written as transformers names them.

A `model.bin` holds its variables one after another, each with a name, a shape, a type and its
bytes. Queries, keys and values are one matrix there; keys have a bias, which is zero.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
)

VERSION, SPEC = 6, "WhisperSpec"
TYPES = ("<f4", "i1", "<i2", "<i4", "<f2")  # by the number that the file gives
NORMS = {"gamma": "weight", "beta": "bias"}
OUTSIDE = {
    "position_encodings/encodings": "embed_positions.weight",
    "embeddings/weight": "embed_tokens.weight",
}
# Inside a block: a module's name there, and here those of the equal parts of its rows.
INSIDE = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}


class BadModelFile(ValueError):
    """A `model.bin` that is not Whisper in floats, as version 6 of CTranslate2 writes it."""


def variables(path: Path) -> dict[str, np.ndarray]:
    """The variables of a `model.bin` by name, as they stand in the file. Raises `BadModelFile`."""
    data, place = path.read_bytes(), 0

    def number(code: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{code}", data, place)
        place += struct.calcsize(f"<{code}")
        return value

    def text() -> str:
        nonlocal place
        start, place = place + 2, place + 2 + struct.unpack_from("<H", data, place)[0]
        return data[start : place - 1].decode()  # C ends a text with a zero

    try:
        version, spec, _ = number("I"), text(), number("I")
        if (version, spec) != (VERSION, SPEC):
            raise BadModelFile(f"{path}: {spec} of version {version}; {SPEC} of {VERSION} is read")
        found = {}
        for _ in range(number("I")):
            name, rank = text(), number("B")
            shape = [number("I") for _ in range(rank)]
            kind, size = TYPES[number("B")], number("I")
            array = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, place)
            found[name], place = array.reshape(shape), place + size
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, BadModelFile):
            raise
        raise BadModelFile(f"{path}: is cut off, or no model of CTranslate2 ({error})") from error
    return found


def state(found: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The weights under transformers' names, in the file's floats. Raises `BadModelFile`."""
    return {name: torch.tensor(array) for name, array in _renamed(found)}


def _renamed(found: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    for name, array in found.items():
        stack, _, inner = name.partition("/")
        if array.ndim == 0 or inner in ("alignment_heads",):
            continue
        if array.dtype.kind != "f":
            raise BadModelFile(f"{name}: quantised ({array.dtype}); weights in floats are read")
        block, module, kind = _place(inner)
        parts = INSIDE.get(module, (module,)) if block else (module,)
        kind = NORMS.get(kind, kind)
        for part, rows in zip(parts, np.split(array, len(parts)), strict=True):
            if part.endswith("k_proj") and kind == "bias":
                if rows.any():
                    raise BadModelFile(f"{name}: keys have a bias, and Whisper's have none")
                continue
            whole = OUTSIDE.get(inner, f"{block}{part}.{kind}")
            yield f"model.{stack}.{whole}", rows


def _place(inner: str) -> tuple[str, str, str]:
    """ "layer_3/ffn/linear_0/bias": the block's prefix here, the module there, which of it."""
    if match := re.fullmatch(r"layer_(\d+)/(.+)/(\w+)", inner):
        return f"layers.{match[1]}.", match[2], match[3]
    module, _, kind = inner.rpartition("/")
    return "", module, kind


def whisper(path: Path, folder: Path, name: str) -> None:
    """Write the model of a `model.bin` to `folder`, as transformers keeps it.

    CTranslate2's `config.json` and `tokenizer.json` lie there; the first is replaced.
    """
    found = variables(path)
    tensors = state(found)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    ids = {mark: backend.token_to_id(f"<|{mark}|>") for mark in ("endoftext", "startoftranscript")}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    layers = {
        f"{stack}_layers": len(
            {n for n in shapes if re.match(rf"model\.{stack}\..*fc1\.weight", n)}
        )
        for stack in ("encoder", "decoder")
    }
    special: dict[str, Any] = {
        "bos_token_id": ids["endoftext"],
        "eos_token_id": ids["endoftext"],
        "pad_token_id": ids["endoftext"],
        "decoder_start_token_id": ids["startoftranscript"],
    }
    width, mels, _ = shapes["model.encoder.conv1.weight"]
    vocabulary = shapes["model.decoder.embed_tokens.weight"][0]
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "d_model": width,
        "num_mel_bins": mels,
        "max_source_positions": shapes["model.encoder.embed_positions.weight"][0],
        "max_target_positions": shapes["model.decoder.embed_positions.weight"][0],
        "encoder_attention_heads": int(found["encoder/num_heads"]),
        "decoder_attention_heads": int(found["decoder/num_heads"]),
        "encoder_ffn_dim": shapes["model.encoder.layers.0.fc1.weight"][0],
        "decoder_ffn_dim": shapes["model.decoder.layers.0.fc1.weight"][0],
        "name_or_path": name,
        **layers,
    }
    config = WhisperConfig(**sizes, **special)
    config.save_pretrained(folder)
    _generation(about, backend, special).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=mels).save_pretrained(folder)
    backend.post_processor = None  # what stands before a transcript, whoever asks says
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    ).save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _generation(about: dict[str, Any], backend: Tokenizer, special: dict[str, Any]) -> Any:
    """How transformers' Whisper writes: languages, tasks, and the tokens it never begins with."""
    marks = [f"<|{mark}|>" for mark in ("transcribe", "translate", "notimestamps")]
    transcribe, translate, plain = map(backend.token_to_id, marks)
    several = special["eos_token_id"] != 50256  # GPT-2's vocabulary: the English models'
    fields: dict[str, Any] = special | {
        "is_multilingual": several,
        "no_timestamps_token_id": plain,
        "suppress_tokens": about["suppress_ids"],
        "begin_suppress_tokens": about["suppress_ids_begin"],
        "alignment_heads": about["alignment_heads"],
        "max_length": 448,
    }
    if several:
        languages = {backend.id_to_token(number): number for number in about["lang_ids"]}
        tasks = {"transcribe": transcribe, "translate": translate}
        fields |= {"lang_to_id": languages, "task_to_id": tasks}
    return GenerationConfig(**fields)
