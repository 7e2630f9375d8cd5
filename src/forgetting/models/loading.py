"""What is loaded of a model's folder: its files, one digest over them, and what they must be.

Weights come from `model.safetensors`, or from the shards that `model.safetensors.index.json` names.
A model gets all its weights from them, and nothing of them is left over; else it is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from forgetting.store import MANIFEST

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
TEMPLATES = "additional_chat_templates"
# What lies in such folders and is not loaded: weights in other formats, code, prose.
UNREAD = {".bin", ".ckpt", ".gguf", ".h5", ".md", ".msgpack", ".onnx", ".ot", ".pkl", ".pt", ".pth"}
UNREAD |= {".npz", ".py", ".safetensors", ""}
FLOATS = {"F64", "F32", "F16", "BF16"}
# Templates that write today's date write this one: what is trained tomorrow is what was today.
TODAY = datetime(2024, 7, 26)
DATE = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
MARK = "what does the user say?"


class BadFolder(ValueError):
    """A folder that holds no model which could be loaded whole."""


def digest(folder: Path) -> str:
    """One hash, sha256 in hex, over every file that is loaded, and the date that templates write.

    Raises `BadFolder` for weights that are not there.
    """
    digest = hashlib.sha256()
    for path in sorted([*weight_files(folder), *beside_weights(folder)]):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    digest.update(str(TODAY).encode())
    return digest.hexdigest()


def beside_weights(folder: Path) -> list[Path]:
    """Configuration, tokenizer and chat templates; the index of shards too."""
    paths = [*folder.iterdir(), *folder.glob(f"{TEMPLATES}/*")]
    kept = (p for p in paths if p.suffix not in UNREAD and not p.name.startswith("."))
    return sorted(path for path in kept if path.is_file() and path.name != MANIFEST)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that the model is loaded from. Raises `BadFolder`."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    index = folder / INDEX
    if not index.is_file():
        raise BadFolder(
            f"{folder}: holds no safetensors weights ({WHOLE}, or {INDEX}); save the model with "
            "save_pretrained"
        )
    with told(f"{index}: weight_map"):
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = (s for s in shards if Path(s).is_absolute() or ".." in Path(s).parts)
        other = (s for s in shards if not s.endswith(".safetensors"))
        for shard in (*outside, *other):
            raise BadFolder(
                f"{index}: weight_map: {shard!r}: name safetensors files inside the folder"
            )
        for shard in shards:
            if not (folder / shard).is_file():
                raise BadFolder(f"{index}: weight_map: {shard!r} is missing; fetch it again")
        if not shards:
            raise BadFolder(f"{index}: weight_map: empty; name the shards of the model")
    return [folder / shard for shard in shards]


def check(folder: Path) -> None:
    """Raise `BadFolder`, in one line, for a folder that holds no model to train or to ask.

    Looks at everything but the values of the weights.
    """
    from forgetting.models.family import config_of, family_of  # they import this

    with told(f"{folder / 'config.json'}"):
        config = config_of(folder)
        require_plain(folder, config)
        model = family_of(config).outline(config)
        sizes = config.get_text_config().vocab_size
    if (folder / "adapter_config.json").exists():
        raise BadFolder(f"{folder}: holds an adapter (adapter_config.json); merge it into its base")
    names = {name for name, _ in model.named_parameters()}
    for path in weight_files(folder):
        with told(str(path)), safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                kind = file.get_slice(name).get_dtype()
                if kind not in FLOATS and any(n == name or n.endswith(f".{name}") for n in names):
                    raise BadFolder(f"{path}: {name}: of type {kind}; weights are floats")
    with told(f"{folder}: tokenizer"):
        _check_tokenizer(folder, tokenizer(folder), sizes)


def require_plain(folder: Path, config: Any) -> None:
    """Raise `BadFolder` where a configuration says that weights are packed in some way."""
    for name in ("quantization_config", "transformers_weights"):
        if getattr(config, name, None) is not None:
            raise BadFolder(f"{folder}: {name}: name a model whose weights are plain numbers")


def _check_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase, size: int) -> None:
    ends = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")}
    for name, number in {"last": tokenizer.vocab_size - 1, **ends}.items():
        if number is not None and number >= size:
            raise BadFolder(
                f"{folder}: tokenizer: its {name} token has the id {number}, and the model embeds "
                f"{size}; take the tokenizer that the model was trained with"
            )
    if tokenizer.chat_template:
        with told(f"{folder}: chat_template"):
            turn = [{"role": "user", "content": MARK}]
            text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            if MARK not in str(text):
                raise BadFolder(f"{folder}: chat_template: leaves out what the user says; mend it")


def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of `folder`, with its chat template, which writes `TODAY` for today.

    Raises `BadFolder` where the template writes a date in a way that cannot be pinned.
    """
    loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    template = loaded.chat_template
    if isinstance(template, dict):
        loaded.chat_template = {name: _dated(folder, text) for name, text in template.items()}
    elif template:
        loaded.chat_template = _dated(folder, template)
    return loaded


def _dated(folder: Path, template: str) -> str:
    """A template with the date written out wherever it asks for today's."""
    dated = DATE.sub(lambda call: json.dumps(TODAY.strftime(call[2])), template)
    if re.search(r"strftime_now\b(?! is (not )?defined)", dated):
        raise BadFolder(
            f"{folder}: chat_template: strftime_now: the prompt would depend on the day; write "
            "strftime_now('a format'), or a date"
        )
    return dated


def model(auto: Any, folder: Path) -> Any:
    """The model of `folder` in float32 by an Auto class of transformers, from safetensors alone.

    Raises `BadFolder` for weights that are missing, left over, not finite, of another shape, or
    that contradict the configuration about what is tied.
    """
    weight_files(folder)
    with told(str(folder)), _quietly():
        loaded, report = auto.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # they are told below, by their names
            output_loading_info=True,
        )
    for name, stored, wanted in sorted(report["mismatched_keys"]):
        shapes = f"{tuple(stored)}, and the configuration wants {tuple(wanted)}"
        raise BadFolder(f"{folder}: weights: {name} has the shape {shapes}; mend config.json")
    for problem, remedy in (
        ("missing", "would be random numbers; fetch the whole model"),
        ("unexpected", "would not be read; take the configuration that belongs to the weights"),
    ):
        if names := report[f"{problem}_keys"]:
            raise BadFolder(f"{folder}: weights: {min(names)} is {problem}: {remedy}")
    head = loaded.get_output_embeddings()
    tied = loaded.config.get_text_config().tie_word_embeddings and loaded._tied_weights_keys
    if tied and head is not None and head.weight is not loaded.get_input_embeddings().weight:
        raise BadFolder(
            f"{folder}: tie_word_embeddings=true: {min(tied)} differs from what it is tied to; say "
            "false, or leave it out of the weights"
        )
    for name, weight in loaded.named_parameters():
        if not weight.isfinite().all():
            raise BadFolder(f"{folder}: weights: {name} has values that are not finite; fetch it")
    return loaded


@torch.no_grad()
def require_causal(model: Any, folder: Path) -> None:
    """Raise `BadFolder` where a token is foreseen: an encoder read as a causal language model."""
    pairs = torch.tensor([[0, 1], [0, 2]], device=model.device)
    read = {"input_ids": pairs, "attention_mask": torch.ones_like(pairs)}
    first, second = model(**read, use_cache=False).logits[:, 0]
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise BadFolder(
            f"{folder}: model_type={model.config.model_type!r}: its tokens see those after them; "
            "name a model that goes on from a text"
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Within it transformers writes no report of many lines: what matters is raised."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Whatever transformers and safetensors raise, as one line that says where."""
    try:
        yield
    except BadFolder:
        raise
    except Exception as error:  # of their many classes, and of what a template calls
        words = " ".join(str(error).split())[:300]
        raise BadFolder(f"{where}: cannot be read ({type(error).__name__}: {words})") from error
