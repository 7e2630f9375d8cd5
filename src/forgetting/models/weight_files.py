"""Weights on disk, tensor by tensor: what is larger than memory is read, and written, in passing.

A parameter has the name that its model gives it, whatever prefix a file writes before it; a head
that is tied to the embeddings is no parameter of its own, though many files hold it twice.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors import safe_open

from forgetting import store
from forgetting.models import loading
from forgetting.models.loading import FLOATS, INDEX, WHOLE, BadFolder

NAMES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
CODES = {name: code for code, name in NAMES.items()}


class Place(NamedTuple):
    """Where a parameter lies: a file, its name therein, its shape and the file's code of a type."""

    file: Path
    name: str
    shape: tuple[int, ...]
    code: str

    def read(self) -> torch.Tensor:
        with safe_open(self.file, framework="pt") as file:
            return file.get_tensor(self.name)


class Weights(Mapping[str, torch.Tensor]):
    """A model's weights as a mapping that reads a tensor when it is asked for, and keeps none."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self.places = dict(places)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.places[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def over(self, below: Weights) -> Weights:
        """These weights, and those of `below` where there are none."""
        return Weights(below.places | self.places)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: place.shape for name, place in self.places.items()}

    @property
    def dtype(self) -> str:
        """The type of most of its values."""
        sizes: Counter[str] = Counter()
        for place in self.places.values():
            sizes[place.code] += torch.Size(place.shape).numel()
        return NAMES[max(sizes, key=sizes.__getitem__)]


def weights(folder: Path) -> Weights:
    """The parameters in a folder's safetensors files, in the files' order; nothing is read yet.

    Raises `loading.BadFolder` for a folder whose weights are not there, are no floats, are not all
    that its configuration needs, or that contradict it about what is tied.
    """
    outline = _outline(folder)
    known, tied = dict(outline.named_parameters()), dict(outline.all_tied_weights_keys)
    buffers = {name for name, _ in outline.named_buffers()}
    unread = [re.compile(each) for each in outline._keys_to_ignore_on_load_unexpected or ()]
    prefix = f"{outline.base_model_prefix}."
    found: dict[str, Place] = {}
    aliases: dict[str, Place] = {}
    for path in loading.weight_files(folder):
        for written, place in places(path).places.items():
            spellings = written, prefix + written, written.removeprefix(prefix)
            names = (s for s in spellings if s in known or s in tied or s in buffers)
            name = next(names, written)
            odd = name not in known and any(pattern.search(name) for pattern in unread)
            if name in buffers or odd:
                continue
            if place.code not in FLOATS:
                raise BadFolder(f"{path}: {name}: of type {place.code}; weights are floats")
            (aliases if name in tied else found)[name] = place
    for name, place in aliases.items():
        source = found.setdefault(tied[name], place)
        if source is not place and not torch.equal(source.read(), place.read()):
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
    """What one file holds, under the names that stand in it. Raises `loading.BadFolder`."""
    with loading.told(str(path)), safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return Weights(
            {
                name: Place(path, name, tuple(part.get_shape()), part.get_dtype())
                for name, part in slices.items()
            }
        )


def sha256(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """The sha256 of each of these files, by its name in the folder."""
    return {path.relative_to(folder).as_posix(): store.sha256(path) for path in files}


class Shards:
    """Where each of a model's tensors will stand on disk, before any of them is there.

    `shapes` by name, `dtype` torch's name of a float, `limit` the most bytes of a file, which one
    tensor alone may exceed.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: str, limit: int) -> None:
        self.shapes, self.code = shapes, CODES[dtype]
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.groups: list[dict[str, int]] = [{}]  # bytes by name, a file each
        for name, shape in shapes.items():
            size = torch.Size(shape).numel() * self.dtype.itemsize
            if self.groups[-1] and sum(self.groups[-1].values()) + size > limit:
                self.groups.append({})
            self.groups[-1][name] = size
        self.bytes = sum(sum(group.values()) for group in self.groups)

    def write(self, folder: Path, tensors: Iterator[tuple[str, torch.Tensor]]) -> None:
        """Write the tensors as they come, which is in the order of the names, one at a time."""
        count = len(self.groups)
        index: dict[str, str] = {}
        for number, group in enumerate(self.groups, 1):
            file = f"model-{number:05}-of-{count:05}.safetensors" if count > 1 else WHOLE
            index |= dict.fromkeys(group, file)
            with (folder / file).open("wb") as stream:
                stream.write(self._header(group))
                for name in group:
                    given, tensor = next(tensors)
                    if (given, tuple(tensor.shape)) != (name, self.shapes[name]):
                        raise ValueError(f"{given}: shaped {tuple(tensor.shape)}, not as {name}")
                    flat = tensor.to(self.dtype).contiguous().reshape(-1)
                    stream.write(flat.view(torch.uint8).numpy().data)
        for name, _ in tensors:
            raise ValueError(f"{name}: a tensor that the base lacks")
        if count > 1:
            about = {"metadata": {"total_size": self.bytes}, "weight_map": index}
            (folder / INDEX).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    def _header(self, group: Mapping[str, int]) -> bytes:
        """What safetensors begin with: the length of a JSON text, and the text, padded to 8."""
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        ends = list(accumulate(group.values(), initial=0))
        for name, place in zip(group, pairwise(ends), strict=True):
            shape = list(self.shapes[name])
            header[name] = {"dtype": self.code, "shape": shape, "data_offsets": place}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


def _outline(folder: Path) -> Any:
    """The folder's model without weights: its parameters have names and shapes."""
    from forgetting.models.family import config_of, family_of  # a second

    with loading.told(f"{folder / 'config.json'}"):
        config = config_of(folder)
        loading.require_plain(folder, config)
        for name in config.architectures or ():
            if kind := getattr(transformers, name, None):
                with torch.device("meta"):
                    return kind._from_config(config)
        return family_of(config).outline(config)
