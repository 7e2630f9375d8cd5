"""Weights on disk, tensor by tensor: what is larger than memory is read, and written, in passing.

A parameter has the name that its model gives it, whatever prefix a file writes before it; a head
that is tied to the embeddings is no parameter of its own, though many files hold it twice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors import safe_open

from forgetting.models import loading
from forgetting.models.loading import FLOATS, INDEX, WHOLE, BadFolder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
NAMES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}


class Place(NamedTuple):
    """Where a parameter lies: a file, its name therein, its shape and the file's code of a type."""

    file: Path
    name: str
    shape: tuple[int, ...]
    code: str


class Weights(Mapping[str, torch.Tensor]):
    """A model's weights as a mapping that reads a tensor when it is asked for, and keeps none."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self.places = dict(places)

    def __getitem__(self, name: str) -> torch.Tensor:
        return _read(self.places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def over(self, below: Weights) -> Weights:
        """These weights, and those of `below` where there are none."""
        return Weights(below.places | self.places)

    @property
    def dtype(self) -> str:
        """The type of most of its values."""
        sizes: dict[str, int] = {}
        for place in self.places.values():
            sizes[place.code] = sizes.get(place.code, 0) + torch.Size(place.shape).numel()
        return NAMES[max(sizes, key=lambda code: sizes[code])]


def _read(place: Place) -> torch.Tensor:
    with safe_open(place.file, framework="pt") as file:
        return file.get_tensor(place.name)


def weights(folder: Path) -> Weights:
    """The parameters in a folder's safetensors files, in the files' order; nothing is read yet.

    Raises `loading.BadFolder` for a folder whose weights are not there, are no floats, are not all
    that its configuration needs, or that contradict it about what is tied.
    """
    outline = _outline(folder)
    known = dict(outline.named_parameters())
    buffers = {name for name, _ in outline.named_buffers()}
    unread = [re.compile(each) for each in outline._keys_to_ignore_on_load_unexpected or ()]
    prefix = f"{outline.base_model_prefix}."
    found: dict[str, Place] = {}
    aliases: dict[str, Place] = {}
    tied = dict(outline.all_tied_weights_keys)
    for path in loading.weight_files(folder):
        for name, place in _places(path):
            name = _canonical(name, known.keys() | tied.keys() | buffers, prefix)
            if name in buffers:
                continue
            if name not in known and any(pattern.search(name) for pattern in unread):
                continue
            if place.code not in FLOATS:
                raise BadFolder(f"{path}: {name}: of type {place.code}; weights are floats")
            (aliases if name in tied else found)[name] = place
    for name, place in aliases.items():
        source = found.setdefault(tied[name], place)
        if source is not place and not torch.equal(_read(source), _read(place)):
            raise BadFolder(
                f"{folder}: tie_word_embeddings=true: {name} differs from what it is tied to; say "
                "false, or leave it out of the weights"
            )
    if found.keys() <= known.keys() and (missing := known.keys() - found.keys()):
        raise BadFolder(f"{folder}: weights: {min(missing)} is missing; fetch the whole model")
    for name in found.keys() & known.keys():
        if found[name].shape != (wanted := tuple(known[name].shape)):
            shapes = f"{found[name].shape}, and the configuration wants {wanted}"
            raise BadFolder(f"{folder}: weights: {name} has the shape {shapes}; mend config.json")
    return Weights(found)


def places(path: Path) -> Weights:
    """What one file holds, under the names that stand in it."""
    return Weights(dict(_places(path)))


def sha256(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """The sha256 of each of these files, by its name in the folder."""
    hashes = {}
    for path in files:
        with path.open("rb") as file:
            hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(
                file, "sha256"
            ).hexdigest()
    return hashes


class Shards:
    """Where each of a model's tensors will stand on disk, before any of them is there."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: str, limit: int) -> None:
        self.dtype = DTYPES[dtype]
        self.shapes = shapes
        size = {n: torch.Size(s).numel() * self.dtype.itemsize for n, s in shapes.items()}
        self.bytes = sum(size.values())
        groups: list[dict[str, int]] = [{}]
        for name in shapes:
            if groups[-1] and sum(groups[-1].values()) + size[name] > limit:
                groups.append({})
            groups[-1][name] = size[name]
        self.groups = groups

    def write(self, folder: Path, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Write the tensors as they come, which is in the order of the names, one at a time."""
        coming = iter(tensors)
        count = len(self.groups)
        index: dict[str, str] = {}
        for number, group in enumerate(self.groups, 1):
            file = f"model-{number:05}-of-{count:05}.safetensors" if count > 1 else WHOLE
            index |= dict.fromkeys(group, file)
            with (folder / file).open("wb") as stream:
                stream.write(self._header(group))
                for name in group:
                    given, tensor = next(coming)
                    if (given, tuple(tensor.shape)) != (name, self.shapes[name]):
                        raise ValueError(
                            f"{given}: shaped {tuple(tensor.shape)} in place of {name}"
                        )
                    flat = tensor.to(self.dtype).contiguous().reshape(-1)
                    stream.write(flat.view(torch.uint8).numpy().data)
        for name, _ in coming:
            raise ValueError(f"{name}: a tensor that the base lacks")
        if count > 1:
            about = {"metadata": {"total_size": self.bytes}, "weight_map": index}
            (folder / INDEX).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    def _header(self, group: Mapping[str, int]) -> bytes:
        """What safetensors begin with: the length of a JSON text, and the text, padded to 8."""
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        start = 0
        for name, size in group.items():
            header[name] = {
                "dtype": CODES[self.dtype],
                "shape": list(self.shapes[name]),
                "data_offsets": [start, start + size],
            }
            start += size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


def _places(path: Path) -> Iterator[tuple[str, Place]]:
    with loading.told(str(path)), safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            part = file.get_slice(name)
            yield name, Place(path, name, tuple(part.get_shape()), part.get_dtype())


def _canonical(name: str, known: set[str], prefix: str) -> str:
    """The name that the model gives to what a file calls `name`."""
    for candidate in (name, prefix + name, name.removeprefix(prefix)):
        if candidate in known:
            return candidate
    return name


def _outline(folder: Path) -> Any:
    """The folder's model without weights: its parameters have names and shapes."""
    with loading.told(f"{folder / 'config.json'}"):
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        for field in ("quantization_config", "transformers_weights"):
            if getattr(config, field, None) is not None:
                raise BadFolder(f"{folder}: {field}: name a model whose weights are plain numbers")
        kinds: list[Any] = [
            getattr(transformers, name)._from_config
            for name in config.architectures or ()
            if hasattr(transformers, name)
        ]
        autos = (transformers.AutoModelForCausalLM, transformers.AutoModelForSeq2SeqLM)
        kinds += [auto.from_config for auto in autos]
        with torch.device("meta"):
            for make in kinds[:-1]:
                with suppress(ValueError):
                    return make(config)
            return kinds[-1](config)
