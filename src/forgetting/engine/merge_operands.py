"""Models that are merged: where they lie, whether they are alike, and what lies beside weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from forgetting.engine.merge_recipes import BadRecipe, Recipe
from forgetting.models import loading, weight_files
from forgetting.models.foundations import Foundation
from forgetting.models.loading import BadFolder
from forgetting.models.packaged import PACKAGED
from forgetting.models.vocabularies import SILENT, require_one_vocabulary
from forgetting.models.weight_files import Weights
from forgetting.wording import listed

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NOTE = "merge.yaml"
# Beside a model's weights and of its training, not of the model.
LEFT_OUT = {ADAPTER, NOTE, loading.INDEX, "trainer_state.json", "all_results.json"}
# Of a configuration, what does not change what is computed of a token.
TOKENS = {"bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "transformers.js_config"}


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


def find(field: str, name: str) -> Operand:
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


def source_of(recipe: Recipe, operands: Sequence[Operand]) -> Operand:
    """The operand that gives tokenizer, template, stop tokens and configuration."""
    wanted = recipe.tokenizer
    if wanted in ("", "base"):
        return operands[0]
    for operand in operands:
        if wanted == operand.name or Path(wanted).resolve() == operand.folder:
            return operand
    names = listed([repr(operand.name) for operand in operands])
    raise BadRecipe(f"tokenizer={wanted!r}: is none of the merged models; name one of {names}")


def require_one_tokenizer(operands: Sequence[Operand]) -> None:
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


def require_one_architecture(operand: Operand, base: Weights, state: Weights) -> None:
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


def with_adapter(base: Operand, below: Weights, operand: Operand, file: Path) -> Weights:
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
    require_one_architecture(operand, below, merged)
    return merged


def hashes_of(operands: Iterable[Operand]) -> dict[str, dict[str, str]]:
    """Of each operand the sha256 of its files of weights."""
    return {
        operand.name: weight_files.sha256(operand.folder, operand.weight_files())
        for operand in operands
    }


def require_same(wanted: Mapping[str, Mapping[str, str]], found: Mapping[str, Any]) -> None:
    for name, files in wanted.items():
        for file, sha256 in files.items():
            if (is_now := found.get(name, {}).get(file)) != sha256:
                now = f"is {is_now[:12]}… now" if is_now else "is not read"
                raise BadRecipe(
                    f"sha256.{name}.{file}={sha256[:12]!r}…: the file {now}; merge the weights of "
                    "then, or leave the hash out"
                )


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


def copy_beside(source: Operand, base: Operand, made: Path, dtype: str) -> None:
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


def said_beside(source: Operand, base: Operand) -> dict[str, str]:
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


def differences(source: Operand, base: Operand, operands: Sequence[Operand]) -> list[str]:
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
