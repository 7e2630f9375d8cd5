"""Merges of models in folders: what `forgetting merge` does, in one call.

    from forgetting.engine.merge_files import merge_files
    merge_files({"method": "TIES", "base": "base", "models": ["chat", "domain"]}, "merged")

Tensors are read, merged in float32 and written one after another, so that no model has to fit into
memory. All that can be refused is refused before; the folder appears when it is complete.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from forgetting.engine.merge_recipes import BadRecipe, Recipe, read_recipe
from forgetting.merging.base import Merging, Tools
from forgetting.models import loading, weight_files
from forgetting.models.foundations import Foundation
from forgetting.models.loading import BadFolder
from forgetting.models.packaged import PACKAGED
from forgetting.models.parts import Part
from forgetting.models.vocabularies import SILENT, require_one_vocabulary
from forgetting.models.weight_files import Shards, Weights
from forgetting.wording import listed

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NOTE = "merge.yaml"
# Beside a model's weights and of its training, not of the model.
LEFT_OUT = {ADAPTER, NOTE, loading.INDEX, "trainer_state.json", "all_results.json"}
FAR = 0.1  # ‖δ‖/‖θ‖ above which a model was hardly tuned from the base
COARSE = 0.01  # of ‖δ‖, above which rounding is told
# Of a configuration, what does not change what is computed of a token.
TOKENS = {"bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "transformers.js_config"}
UNWRITABLE = {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT}
AHEAD = 2  # tensors that are merged and wait to be written, for each thread


class NoRoom(OSError):
    """The disk has no room for what would be written, or refuses to write it."""


@dataclass(frozen=True)
class Operand:
    """A model of a recipe: as it is written there, and where its files lie."""

    name: str
    folder: Path
    adapter: bool = False

    def weight_files(self) -> list[Path]:
        """The safetensors files that are read of it. Raises `loading.BadFolder`."""
        if not self.adapter:
            return loading.weight_files(self.folder)
        if not (self.folder / ADAPTER_WEIGHTS).is_file():
            raise BadFolder(
                f"{self.name}: an adapter without {ADAPTER_WEIGHTS}; save it with save_pretrained"
            )
        return [self.folder / ADAPTER_WEIGHTS]


@dataclass
class Merged:
    """What a merge was: its folder, the coefficients of its operands, and what has to be said.

    `coefficients`, None where they vary from weight to weight, and `moved`, which is ‖δ‖/‖θ‖, are
    of the operands in order, the base first. `shares` are of the models: how much of each one's δ
    is in the merge, ⟨θ - θ₀, δ⟩/‖δ‖².
    """

    folder: Path
    recipe: Recipe
    operands: list[str]
    coefficients: list[float] | None
    moved: list[float]
    shares: list[float]
    beside: dict[str, str]
    parameters: int = 0
    rounding: float = 0.0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


def merge_files(
    recipe: Recipe | Mapping[str, Any] | Path | str, out: Path | str, *, force: bool = False
) -> Merged:
    """Merge the models that a recipe names into the folder `out`.

    A recipe is a YAML file, its fields, or a `Recipe`. `force` replaces a model that is there.
    Raises `BadRecipe`, `loading.BadFolder` and `NoRoom`, each in one line; nothing of `out` is
    left then.
    """
    started = time.perf_counter()
    recipe = read_recipe(recipe)
    out = Path(out).expanduser().absolute()
    operands = [_operand(field, name) for field, name in recipe.operands.items()]
    base = operands[0]
    source = _source(recipe, operands)
    _require_free(out, operands, force)
    _require_one_vocabulary(operands)
    states = [weight_files.weights(base.folder)]
    for operand in operands[1:]:
        operand.weight_files()
        states.append(states[0] if operand.adapter else weight_files.weights(operand.folder))
        _require_one_architecture(operand, states[0], states[-1])
    dtype = states[0].dtype if recipe.dtype == "base" else recipe.dtype
    shapes = {name: place.shape for name, place in states[0].places.items()}
    shards = Shards(shapes, dtype, recipe.shard_bytes)
    _require_room(out, shards.bytes)
    merged = Merged(
        folder=out,
        recipe=recipe,
        operands=[operand.name for operand in operands],
        coefficients=recipe.coefficients,
        moved=[],
        shares=[],
        beside=_said_beside(source, base) | {"dtype": dtype},
        parameters=sum(torch.Size(shape).numel() for shape in shapes.values()),
        warnings=[*recipe.remarks, *_differences(source, base, operands)],
    )
    with _appearing(out) as made, ThreadPoolExecutor(1) as pool:
        hashes = pool.submit(_hashes, operands)
        if recipe.sha256:
            _require_same(recipe.sha256, hashes.result())
        for number, operand in enumerate(operands):
            if operand.adapter:
                file = made.parent / f"{number}.safetensors"
                states[number] = _with_adapter(base, states[0], operand, file)
        tools = _Parts(base.folder)
        shards.write(made, _tensors(recipe.how, merged, states, tools, shards.dtype))
        _copy_beside(source, base, made, dtype)
        text = _note(merged, hashes.result())
        (made / NOTE).write_text(text, encoding="utf-8")
    merged.seconds = time.perf_counter() - started
    return merged


# -- what is merged ----------------------------------------------------------------------------


def _operand(field: str, name: str) -> Operand:
    """The model that a recipe names: a packaged one, a folder, or a folder with an adapter."""
    if packaged := PACKAGED.get(name):
        return Operand(name, packaged.locate())
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise BadRecipe(
            f"{field}={name!r}: no such folder; name one with safetensors weights, fetched before, "
            f"or {listed(['smollm2-135m', 'gemma3-270m'])}"
        )
    folder = folder.resolve()
    adapter = (folder / ADAPTER).is_file() and not (folder / "config.json").is_file()
    if adapter and field == "base":
        raise BadRecipe(f"{field}={name!r}: an adapter; name the model that it was trained on")
    if not adapter and not (folder / "config.json").is_file():
        raise BadRecipe(f"{field}={name!r}: holds no config.json; save it with save_pretrained")
    return Operand(name, folder, adapter)


def _source(recipe: Recipe, operands: Sequence[Operand]) -> Operand:
    """The operand that gives tokenizer, template, stop tokens and configuration."""
    wanted = recipe.tokenizer
    if wanted in ("", "base"):
        return operands[0]
    for operand in operands:
        if wanted == operand.name or Path(wanted).resolve() == operand.folder:
            return operand
    names = listed([repr(operand.name) for operand in operands])
    raise BadRecipe(f"tokenizer={wanted!r}: is none of the merged models; name one of {names}")


def _require_one_vocabulary(operands: Sequence[Operand]) -> None:
    base = operands[0]
    foundations = []
    for operand in operands:
        folder = _tokenizer_folder(operand, base)
        files = sorted(weight_files.sha256(folder, _files_beside(folder)).items())
        foundation = Foundation(operand.name, str(files), partial(Path, folder))
        with loading.told(f"{operand.name}: tokenizer"):
            foundation.tokenizer()
        foundations.append(foundation)
    for other in foundations[1:]:
        try:
            require_one_vocabulary(foundations[0], other)
        except ValueError as error:
            raise BadRecipe(str(error)) from error


def _require_one_architecture(operand: Operand, base: Weights, state: Weights) -> None:
    """Raise `loading.BadFolder` with the first name or shape that the base has not."""
    for name in sorted(base.keys() ^ state.keys()):
        who = "the base has not" if name in state else "only the base has"
        raise BadFolder(f"{operand.name}: {name}: {who} it; a merge needs one architecture")
    for name, place in base.places.items():
        if state.places[name].shape != place.shape:
            shapes = f"{state.places[name].shape}, and in the base {place.shape}"
            raise BadFolder(
                f"{operand.name}: {name} has the shape {shapes}; a merge needs one architecture"
            )


def _with_adapter(base: Operand, below: Weights, operand: Operand, file: Path) -> Weights:
    """The base's weights with an adapter's, as PEFT merges it; what it changed stands in `file`."""
    from peft import PeftModel  # four seconds: where there is no adapter, not spent

    from forgetting.models import foundations

    with loading.told(f"{operand.name}: adapter"):
        wrapped = PeftModel.from_pretrained(foundations.load_model(base.folder), operand.folder)
        config = wrapped.active_peft_config
        if config.is_prompt_learning or not hasattr(wrapped.base_model, "merge_and_unload"):
            kind = config.peft_type
            raise BadFolder(f"{operand.name}: {kind} changes no weights; name LoRA or its like")
        model = wrapped.merge_and_unload(safe_merge=True)
    with torch.no_grad():
        changed = {
            name: weight.detach().contiguous()
            for name, weight in model.named_parameters()
            if name not in below or not torch.equal(weight, below[name].float())
        }
    save_file(changed, file)
    merged = weight_files.places(file).over(below)
    _require_one_architecture(operand, below, merged)
    return merged


def _hashes(operands: Iterable[Operand]) -> dict[str, dict[str, str]]:
    """Of each operand the sha256 of its files of weights."""
    return {
        operand.name: weight_files.sha256(operand.folder, operand.weight_files())
        for operand in operands
    }


def _require_same(wanted: Mapping[str, Mapping[str, str]], found: Mapping[str, Any]) -> None:
    for name, files in wanted.items():
        for file, sha256 in files.items():
            if (is_now := found.get(name, {}).get(file)) != sha256:
                now = f"is {is_now[:12]}… now" if is_now else "is not read"
                raise BadRecipe(
                    f"sha256.{name}.{file}={sha256[:12]!r}…: the file {now}; merge the weights of "
                    "then, or leave the hash out"
                )


# -- tensors -----------------------------------------------------------------------------------


class _Parts:
    """Of `merging.base.Tools` what needs no data: which part of the model a parameter is of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def part(self, name: str) -> Part:
        return self._family.part(name)

    @cached_property
    def _family(self) -> Any:
        from forgetting.models.family import config_of, family_of

        return family_of(config_of(self.folder))

    def nats(self, *_: Any) -> list[float]:
        raise BadRecipe("method: asks the models a task; call forgetting.merge in Python")

    def importance(self, *_: Any) -> Any:
        raise BadRecipe("method: asks the models a task; call forgetting.merge in Python")


def _tensors(
    how: Merging, merged: Merged, states: Sequence[Weights], tools: Tools, dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor]]:
    """The merged tensors, and into `merged` what they say of operands and of rounding.

    Raises `loading.BadFolder` where a value is not finite.
    """
    sums: Any = 0.0
    count = len(states)
    for name, tensor, found in _in_threads(how, states, tools, dtype):
        for operand, value in zip([*merged.operands, "the merge"], found.tolist(), strict=False):
            if not math.isfinite(value):
                raise BadFolder(
                    f"{operand}: weights: {name} has values that are not finite; merge sound ones"
                )
        sums += found
        yield name, tensor
    size, *lengths, change, lost = sums[: count + 2].sqrt().tolist()
    merged.moved = [0.0, *(length / size if size else 0.0 for length in lengths)]
    merged.rounding = lost / change if change else 0.0
    pairs = zip(sums[count + 2 :].tolist(), lengths, strict=True)
    merged.shares = [product / length**2 if length else 0.0 for product, length in pairs]
    for name, share in zip(merged.operands, merged.moved, strict=True):
        if share > FAR:
            merged.warnings.append(
                f"{name}: ‖δ‖/‖θ‖ is {share:.0%}, above {FAR:.0%}: hardly tuned from "
                f"{merged.operands[0]}; name as base what it was tuned from"
            )
    if merged.rounding > COARSE:
        merged.warnings.append(
            f"dtype={merged.beside['dtype']}: rounding is {merged.rounding:.1%} of ‖δ‖; "
            "write float32 to keep what was learnt"
        )


def _in_threads(
    how: Merging, states: Sequence[Weights], tools: Tools, dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """`how.merged`, with several names at a time, and of each name squared norms.

    They are of the base, of each model's difference to it, of the merge's, and of its rounding;
    then come the products of each model's difference and the merge's.
    """
    base, *models = states
    survey = how.survey(base, models, tools)
    threads = torch.get_num_threads()

    @torch.no_grad()
    def one(name: str) -> tuple[str, torch.Tensor, torch.Tensor]:
        start, *tuned = (state[name].float() for state in states)
        tensor = how.tensor(name, start, tuned, survey)
        written = tensor.to(dtype)
        rounded = torch.zeros(()) if written is tensor else written.float() - tensor
        changes = [(model - start).flatten() for model in tuned]
        change = (tensor - start).flatten()
        norms = [torch.linalg.vector_norm(each) for each in (start, *changes, change, rounded)]
        products = torch.stack([each @ change for each in changes]).double()
        return name, written, torch.cat([torch.stack(norms).double().square(), products])

    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[tuple[str, torch.Tensor, torch.Tensor]]] = deque()
            try:
                for name in base:
                    waiting.append(pool.submit(one, name))
                    if len(waiting) > AHEAD * threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        torch.set_num_threads(threads)


# -- what lies beside --------------------------------------------------------------------------


def _tokenizer_folder(operand: Operand, base: Operand) -> Path:
    """The operand's own folder, or the base's for an adapter without a tokenizer."""
    own = (operand.folder / "tokenizer_config.json").exists()
    return base.folder if operand.adapter and not own else operand.folder


def _files_beside(folder: Path) -> list[Path]:
    """Configuration, tokenizer and templates, to be copied."""
    return [path for path in loading.beside_weights(folder) if path.name not in LEFT_OUT]


def _folders_beside(source: Operand, base: Operand) -> list[Path]:
    """Where the files beside the weights come from; of those of one name the last counts."""
    return [base.folder, source.folder] if source.adapter else [source.folder]


def _copy_beside(source: Operand, base: Operand, made: Path, dtype: str) -> None:
    for folder in _folders_beside(source, base):
        for path in _files_beside(folder):
            target = made / path.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    config = _json(made / "config.json")
    for part in (config, *(each for each in config.values() if isinstance(each, dict))):
        if part is config or {"dtype", "torch_dtype"} & part.keys():
            part.pop("torch_dtype", None)
            part["dtype"] = dtype
    (made / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _config(folder: Path, base: Operand) -> dict[str, Any]:
    return _json((folder if (folder / "config.json").exists() else base.folder) / "config.json")


def _said_beside(source: Operand, base: Operand) -> dict[str, str]:
    """Whose tokenizer, template and stop tokens a merge has, and which they are."""
    tokenizer = loading.tokenizer(_tokenizer_folder(source, base))
    stops = _stops(source, base)
    names = [repr(tokenizer.convert_ids_to_tokens(stop)) for stop in stops]
    has = "has one" if tokenizer.chat_template else "has none"
    return {
        "tokenizer": source.name,
        "chat template": f"{source.name} {has}",
        "stop tokens": f"{', '.join(names) or 'none'} ({source.name})",
    }


def _stops(operand: Operand, base: Operand) -> list[int]:
    """The ids at which `generate` ends: the generation's configuration, or else the model's."""
    for folder in reversed(_folders_beside(operand, base)):
        for file in ("generation_config.json", "config.json"):
            stops = _json(folder / file).get("eos_token_id")
            if stops is not None:
                return [stops] if isinstance(stops, int) else list(stops)
    return []


def _differences(source: Operand, base: Operand, operands: Sequence[Operand]) -> list[str]:
    """What operands have beside their weights that the merge will not have, a line each."""
    lines = []
    template = loading.tokenizer(_tokenizer_folder(source, base)).chat_template
    config = {**_config(source.folder, base)}
    for operand in operands:
        if operand.folder == source.folder:
            continue
        own = loading.tokenizer(_tokenizer_folder(operand, base)).chat_template
        lost = []
        if own and own != template:
            lost.append("chat template")
        if operand is not base and _stops(operand, base) != _stops(source, base):
            lost.append("stop tokens")
        if lost and operand is not base:
            lines.append(
                f"{operand.name}: its {listed(lost)} differ{'s' * (len(lost) == 1)} from those of "
                f"{source.name}, which the merge has; `tokenizer: {operand.name}` takes its own"
            )
        other = _config(operand.folder, base)
        for name in sorted((config.keys() | other.keys()) - SILENT - TOKENS):
            if config.get(name) != other.get(name):
                lines.append(
                    f"{operand.name}: config.json: {name} is {other.get(name)!r}, and in the merge "
                    f"{config.get(name)!r}, as {source.name} has it"
                )
    return lines


def _note(merged: Merged, hashes: Mapping[str, Mapping[str, str]]) -> str:
    """The recipe as it was followed: to read, and to follow again."""
    from yaml import safe_dump

    from forgetting import __version__

    moved = list(zip(merged.operands, merged.moved, strict=True))[1:]
    lines = [
        f"# Merged with forgetting {__version__}: forgetting merge {NOTE} --out FOLDER",
        *(f"# {what}: {which}" for what, which in merged.beside.items()),
        *(f"# ‖δ‖/‖θ‖ of {name}: {share:.4%}" for name, share in moved),
        *(f"# {' '.join(warning.split())}" for warning in merged.warnings),
    ]
    recipe = merged.recipe.text() | {"sha256": dict(hashes)}
    return "\n".join(lines) + "\n" + safe_dump(recipe, sort_keys=False, allow_unicode=True)


# -- the folder --------------------------------------------------------------------------------


def _require_free(out: Path, operands: Sequence[Operand], force: bool) -> None:
    """Raise `BadRecipe` where `out` may not be written."""
    place = out.resolve()
    for operand in operands:
        if operand.folder == place or operand.folder.is_relative_to(place):
            what = f"holds {operand.name}, which is merged"
            raise BadRecipe(f"out={out}: {what}; name another folder")
    if out.is_file():
        raise BadRecipe(f"out={out}: a file; name a folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        raise BadRecipe(f"out={out}: is not empty; name another folder, or add --force")
    if not (out / "config.json").is_file():
        raise BadRecipe(f"out={out}: holds something else than a model; name another folder")


def _require_room(out: Path, size: int) -> None:
    place = next(folder for folder in out.parents if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < size:
        raise NoRoom(
            f"out={out}: {free / 1e9:.1f} GB free, {size / 1e9:.1f} GB needed; free space, name "
            "another disk, or write bfloat16"
        )


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder to fill beside `out`, which takes its place when complete and leaves nothing else.

    Raises `NoRoom` where it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            made = Path(scratch) / out.name
            made.mkdir()
            yield made
            if out.is_dir():
                os.replace(out, Path(scratch) / "before")
            os.replace(made, out)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise NoRoom(
            f"out={out}: cannot be written ({error.strerror}); name another folder"
        ) from error
