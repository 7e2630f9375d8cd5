"""Models that are merged: where they lie, whether they are alike, and what lies beside weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from forgetting.engine.merge_recipes import BadRecipe, Recipe
from forgetting.models import loading, weight_files
from forgetting.models.foundations import Foundation, load_model
from forgetting.models.loading import BadFolder
from forgetting.models.packaged import PACKAGED
from forgetting.models.vocabularies import SILENT, require_one_vocabulary
from forgetting.models.weight_files import Weights
from forgetting.wording import listed

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CONFIG, NOTE = "config.json", "merge.yaml"
# Beside a model's weights and of its training, not of the model.
LEFT_OUT = {ADAPTER, NOTE, loading.INDEX, "trainer_state.json", "all_results.json"}
# Of a configuration, what does not change what is computed of a token.
TOKENS = {"bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "transformers.js_config"}


@dataclass(frozen=True)
class Operand:
    """A model of a recipe: as it is written there, and where its files lie.

    An adapter has a folder `below` it, the base's, whose files count where it has none of its own.
    """

    name: str
    folder: Path
    below: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """Where its files lie; of those of one name the last counts."""
        return [self.below, self.folder] if self.below else [self.folder]

    def weight_files(self) -> list[Path]:
        """The safetensors files that are read of it. Raises `loading.BadFolder`."""
        if not self.below:
            return loading.weight_files(self.folder)
        if not (self.folder / ADAPTER_WEIGHTS).is_file():
            raise BadFolder(
                f"{self.name}: an adapter without {ADAPTER_WEIGHTS}; save it with save_pretrained"
            )
        return [self.folder / ADAPTER_WEIGHTS]

    def settings(self, file: str) -> dict[str, Any]:
        """What a JSON file says; nothing where there is none."""
        for folder in reversed(self.folders):
            if (path := folder / file).exists():
                return json.loads(path.read_text(encoding="utf-8"))
        return {}

    def files_beside(self, folder: Path) -> list[Path]:
        """In one of its folders configuration, tokenizer and templates, to be copied."""
        return [path for path in loading.beside_weights(folder) if path.name not in LEFT_OUT]

    @cached_property
    def foundation(self) -> Foundation:
        """It, or the base where an adapter has no tokenizer, by what lies beside its weights."""
        own = (self.folder / "tokenizer_config.json").exists()
        folder = self.folder if own else self.folders[0]
        files = weight_files.sha256(folder, self.files_beside(folder))
        return Foundation(self.name, str(files), lambda: folder)

    @cached_property
    def tokenizer(self) -> Any:
        """Raises `loading.BadFolder`."""
        with loading.told(f"{self.name}: tokenizer"):
            return self.foundation.tokenizer()

    @property
    def stops(self) -> list[int]:
        """The ids at which `generate` ends: the generation's configuration, or else the model's."""
        for file in ("generation_config.json", CONFIG):
            if (stops := self.settings(file).get("eos_token_id")) is not None:
                return [stops] if isinstance(stops, int) else list(stops)
        return []


def find(recipe: Recipe) -> list[Operand]:
    """The models that a recipe names, the base first. Raises `BadRecipe`."""
    base = _find("base", recipe.base)
    models = enumerate(recipe.models)
    return [base, *(_find(f"models.{n}", model.path, base.folder) for n, model in models)]


def _find(field: str, name: str, base: Path | None = None) -> Operand:
    """A packaged model, a folder, or, on a base, a folder with an adapter."""
    if packaged := PACKAGED.get(name):
        return Operand(name, packaged.locate())
    folder = Path(name).expanduser().resolve()
    if not folder.is_dir():
        problem = (
            "no such folder; name one with safetensors weights, fetched before, or "
            f"{listed(['smollm2-135m', 'gemma3-270m'])}"
        )
    elif (folder / CONFIG).is_file():
        return Operand(name, folder)
    elif not (folder / ADAPTER).is_file():
        problem = f"holds no {CONFIG}; save it with save_pretrained"
    elif base is None:
        problem = "an adapter; name the model that it was trained on"
    else:
        return Operand(name, folder, base)
    raise BadRecipe(f"{field}={name!r}: {problem}")


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
    """Raise `BadRecipe` with the first token that two models number apart."""
    for operand in operands:
        assert operand.tokenizer  # it can be read
        try:
            require_one_vocabulary(operands[0].foundation, operand.foundation)
        except ValueError as error:
            raise BadRecipe(str(error)) from error


def require_one_architecture(operand: Operand, base: Weights, state: Weights) -> None:
    """Raise `loading.BadFolder` with the first name or shape that the base has not."""
    ours, theirs = base.shapes, state.shapes
    for name in sorted(ours.keys() ^ theirs.keys()):
        who = "the base has not" if name in theirs else "only the base has"
        raise BadFolder(f"{operand.name}: {name}: {who} it; a merge needs one architecture")
    for name, shape in ours.items():
        if theirs[name] != shape:
            raise BadFolder(
                f"{operand.name}: {name} has the shape {theirs[name]}, and in the base {shape}; a "
                "merge needs one architecture"
            )


def with_adapter(below: Weights, operand: Operand, file: Path) -> Weights:
    """The base's weights with an adapter's, as PEFT merges it; what it changed stands in `file`."""
    from peft import PeftModel  # four seconds: where there is no adapter, not spent

    with loading.told(f"{operand.name}: adapter"):
        wrapped = PeftModel.from_pretrained(load_model(operand.folders[0]), operand.folder)
        config = wrapped.active_peft_config
        if config.is_prompt_learning or not hasattr(wrapped.base_model, "merge_and_unload"):
            kind = config.peft_type
            raise BadFolder(f"{operand.name}: {kind} changes no weights; name LoRA or its like")
        model = wrapped.merge_and_unload(safe_merge=True)
    changed = {
        name: weight.detach().contiguous()
        for name, weight in model.named_parameters()
        if name not in below or not torch.equal(weight, below[name].float())
    }
    save_file(changed, file)
    merged = weight_files.places(file).over(below)
    require_one_architecture(operand, below, merged)
    return merged


def hashes_of(operands: Sequence[Operand]) -> dict[str, dict[str, str]]:
    """Of each operand the sha256 of its files of weights."""
    return {each.name: weight_files.sha256(each.folder, each.weight_files()) for each in operands}


def require_same(wanted: Mapping[str, Mapping[str, str]], found: Mapping[str, Any]) -> None:
    """Raise `BadRecipe` for a file that has not the hash that is wanted."""
    for name, file in ((name, file) for name, files in wanted.items() for file in files):
        before, is_now = wanted[name][file], found.get(name, {}).get(file)
        if is_now != before:
            now = f"is {is_now[:12]}… now" if is_now else "is not read"
            raise BadRecipe(
                f"sha256.{name}.{file}={before[:12]!r}…: the file {now}; merge the weights of "
                "then, or leave the hash out"
            )


# -- what lies beside --------------------------------------------------------------------------


def copy_beside(source: Operand, made: Path, dtype: str) -> None:
    """Configuration, tokenizer and templates of `source`, for weights of this type, into `made`."""
    for folder in source.folders:
        for path in source.files_beside(folder):
            target = made / path.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    config = source.settings(CONFIG)
    for part in (config, *(each for each in config.values() if isinstance(each, dict))):
        if part is config or {"dtype", "torch_dtype"} & part.keys():
            part.pop("torch_dtype", None)
            part["dtype"] = dtype
    (made / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def said_beside(source: Operand) -> dict[str, str]:
    """Whose tokenizer, template and stop tokens a merge has, and which they are."""
    names = [repr(source.tokenizer.convert_ids_to_tokens(stop)) for stop in source.stops]
    return {
        "tokenizer": source.name,
        "chat template": f"{source.name} has {'one' if source.tokenizer.chat_template else 'none'}",
        "stop tokens": f"{', '.join(names) or 'none'} ({source.name})",
    }


def differences(source: Operand, operands: Sequence[Operand]) -> list[str]:
    """What operands have beside their weights that the merge will not have, a line each."""
    lines = []
    config = source.settings(CONFIG)
    for operand in operands:
        if operand.folder == source.folder:
            continue
        lost = []
        own = operand.tokenizer.chat_template
        if own and own != source.tokenizer.chat_template:
            lost.append("chat template")
        if operand.stops != source.stops:
            lost.append("stop tokens")
        if lost and operand is not operands[0]:
            lines.append(
                f"{operand.name}: its {listed(lost)} differ{'s' * (len(lost) == 1)} from those of "
                f"{source.name}, which the merge has; `tokenizer: {operand.name}` takes its own"
            )
        other = operand.settings(CONFIG)
        for name in sorted((config.keys() | other.keys()) - SILENT - TOKENS):
            if config.get(name) != other.get(name):
                lines.append(
                    f"{operand.name}: {CONFIG}: {name} is {other.get(name)!r}, and in the merge "
                    f"{config.get(name)!r}, as {source.name} has it"
                )
    return lines
