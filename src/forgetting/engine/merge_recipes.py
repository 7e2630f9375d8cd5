"""What is merged how, as a YAML file says it: a recipe of our own spelling, or one of mergekit's.

    method: TIES            # any method of `merging`
    base: ./base            # the common ancestor
    models: [./chat, {path: ./domain, weight: 0.5}]
    parameters: {density: 0.2}
    dtype: float32          # of what is written
    tokenizer: ./chat       # whose tokenizer, template and stop tokens; the base's if not said

What is not understood is refused in one line, before a weight is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, field_validator

from forgetting import checking, method
from forgetting.checking import BadValue, first_problem
from forgetting.merging.base import Merging
from forgetting.wording import did_you_mean

UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class BadRecipe(ValueError):
    """A recipe that cannot be followed: the field, the value, the remedy."""


class Model(BaseModel):
    """A model of a recipe, and its weight in the merge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(min_length=1)
    weight: float | None = None


class Recipe(BaseModel):
    """A recipe's fields as they are written. `method` is a name, or in Python a method."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    method: str | InstanceOf[Merging]
    base: str = Field(min_length=1)
    models: tuple[Model, ...]
    parameters: dict[str, Any] = {}
    dtype: Literal["float32", "bfloat16", "float16", "base"] = "float32"
    tokenizer: str = ""
    max_shard_size: str = Field("2GB", pattern=r"^\d+(\.\d+)? ?[KMGT]B$")
    sha256: dict[str, dict[str, str]] = {}
    remarks: tuple[str, ...] = Field((), exclude=True)  # what a translation has to say

    @field_validator("models", mode="before")
    @classmethod
    def _models(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple) or not value:
            raise ValueError("a list is needed; name one model or more")
        return tuple({"path": each} if isinstance(each, str) else each for each in value)

    @cached_property
    def how(self) -> Merging:
        """The method with its parameters. Raises `BadRecipe`."""
        known = kinds()
        if isinstance(self.method, Merging):
            kind = type(self.method)
        elif self.method in known:
            kind = known[self.method]
        else:
            hint = did_you_mean(self.method, known, f"there are: {', '.join(sorted(known))}")
            raise BadRecipe(f"method={self.method!r}: there is none; {hint}")
        if "task" in (each.name for each in fields(kind)):
            remedy = "asks the models a task; call forgetting.merge in Python"
            raise BadRecipe(f"method={kind.__name__!r}: {remedy}")
        return self.method if isinstance(self.method, Merging) else self._built(kind)

    def _built(self, kind: type[Merging]) -> Merging:
        own = {each.name: each for each in fields(kind) if each.init}
        given, name = dict(self.parameters), kind.__name__
        weights = [each.weight for each in self.models]
        if any(weight is not None for weight in weights):
            if "weights" not in own or "weights" in given:
                raise BadRecipe(
                    f"models: weight: not beside the parameters of {name}; leave it out"
                )
            if weights[: kind.unweighted] == [None] * kind.unweighted:
                weights = weights[kind.unweighted :]
            given["weights"] = [1.0 if weight is None else weight for weight in weights]
        for field, value in given.items():
            if field not in own:
                hint = did_you_mean(field, own, f"it has: {', '.join(own) or 'none'}")
                raise BadRecipe(
                    f"parameters.{field}={value!r}: {name} has no such parameter; {hint}"
                )
            given[field] = _plain(value)
        for each in own.values():
            needed = each.default is MISSING and each.default_factory is MISSING
            if needed and each.name not in given:
                raise BadRecipe(f"parameters.{each.name}: missing; {name} needs it")
        try:
            return kind(**given)
        except (ValueError, TypeError) as error:
            raise BadRecipe(f"parameters: {' '.join(str(error).split())}") from error

    @property
    def shard_bytes(self) -> int:
        """The most bytes a file of weights may have."""
        amount, unit = self.max_shard_size[:-2], self.max_shard_size[-2]
        return int(float(amount) * UNITS[unit])

    def text(self) -> dict[str, Any]:
        """The recipe as one would write it."""
        how = self.method
        shown = {"method": how} | self.model_dump(exclude={"method"}, exclude_defaults=True)
        if isinstance(how, Merging):
            own = {each.name: getattr(how, each.name) for each in fields(how)}
            shown |= {"method": type(how).__name__, "parameters": own}
        shown["models"] = [
            each.path if each.weight is None else each.model_dump() for each in self.models
        ]
        return shown


def read_recipe(given: Recipe | Mapping[str, Any] | Path | str) -> Recipe:
    """A recipe from a file, from its fields, or as it is. Raises `BadRecipe`, `BadFile`."""
    where = "recipe"
    if isinstance(given, Path | str):
        where, path = str(given), Path(given)
        if not path.is_file():
            raise BadRecipe(f"{where}: no such file; name a recipe in YAML")
        given = checking.yaml(path)
    try:
        if not isinstance(given, Recipe):
            given = Recipe(**(of_mergekit(given) if "merge_method" in given else given))
        given.how.require_count(len(given.models))
        return given
    except ValidationError as error:
        problem = first_problem(error, set(Recipe.model_fields) - {"remarks"})
        raise BadRecipe(f"{where}: {problem}") from error
    except BadValue as error:
        problem = str(error).replace("weights=", "parameters.weights=")
        raise BadRecipe(f"{where}: {problem}") from error
    except BadRecipe as error:
        raise BadRecipe(f"{where}: {error}") from error


def kinds() -> dict[str, type[Merging]]:
    """The methods that a recipe can name."""
    loaded = {each.name: each.load() for each in method.methods() if each.package == "merging"}
    return {n: c for n, c in loaded.items() if isinstance(c, type) and issubclass(c, Merging)}


def _plain(value: Any) -> Any:
    """Lists as tuples, which can be hashed, and "1e-3", which YAML takes for a word, a number."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value


# -- mergekit's spelling -----------------------------------------------------------------------

# A method by mergekit's name: ours, and which of mergekit's parameters it understands.
MERGEKIT = {
    "linear": ("LinearAverage", ("weight", "normalize")),
    "task_arithmetic": ("TaskArithmetic", ("weight", "normalize", "lambda")),
    "ties": ("TIES", ("weight", "density", "normalize", "rescale", "lambda")),
    "dare_linear": ("DARE", ("weight", "density", "normalize", "rescale", "lambda")),
    "dare_ties": ("DARE", ("weight", "density", "normalize", "rescale", "lambda")),
    "slerp": ("Slerp", ("t",)),
    "nuslerp": ("SlerpDeltas", ("weight",)),
    "model_stock": ("ModelStock", ()),
}
NORMALIZED = {"linear", "ties"}  # by default
REMARKS = {  # the second of DARE where it rescales, nuslerp's where it has no base
    **dict.fromkeys(
        ("dare_linear", "dare_ties"),
        (
            "draws with seed 0, and other numbers than mergekit's",
            "what is kept is divided by the density, where mergekit rescales each tensor to its L1 "
            "norm",
        ),
    ),
    "nuslerp": ("a straight line where models are nearly parallel",),
    "model_stock": (
        "where changes point away from each other the base stays; mergekit goes beyond it, and "
        "takes very short changes for smaller",
    ),
}
SAME = {"int8_mask"}  # changes nothing in a result
KEYS = ["merge_method", "base_model", "models", "parameters", "dtype", "out_dtype"]
KEYS += ["tokenizer_source", "tokenizer"]


def of_mergekit(given: Mapping[str, Any]) -> dict[str, Any]:
    """Our fields for a recipe of mergekit 0.1.5, with its meaning of what is left out.

    Raises `BadRecipe` for what is not understood.
    """
    for key, value in given.items():
        if key not in KEYS:
            hint = did_you_mean(key, KEYS, f"of mergekit's keys these are read: {', '.join(KEYS)}")
            raise BadRecipe(f"{key}: {_brief(value)}: not understood; {hint}")
    name, base = given["merge_method"], given.get("base_model")
    if name not in MERGEKIT:
        hint = did_you_mean(str(name), MERGEKIT, f"understood are: {', '.join(MERGEKIT)}")
        raise BadRecipe(f"merge_method={name!r}: not understood; {hint}")
    if not isinstance(given.get("models"), list) or not given["models"]:
        raise BadRecipe(f"models={given.get('models')!r}: a list is needed; name each with `model`")
    shared = _settings(name, "parameters", given.get("parameters"))
    models = [_listed(name, number, each, shared) for number, each in enumerate(given["models"])]
    if name == "linear":  # the base is one of the models
        if base is not None and base not in [path for path, _ in models]:
            models.append((base, shared))
    elif base is not None:
        models = [each for each in models if each[0] != base]
    elif name != "nuslerp":
        raise BadRecipe(f"base_model: missing; {name} needs the common ancestor")
    ours, known = MERGEKIT[name]
    for path, own in models:
        if "weight" in known and "weight" not in own:
            raise BadRecipe(f"models: {path}: weight: missing; {name} needs one for every model")
    weights: list[Any] = [own.get("weight") for _, own in models]
    remarks = [f"{name}: {remark}" for remark in REMARKS.get(name, ())]
    parameters = {"scale": shared["lambda"]} if "lambda" in shared else {}
    if "density" in known:
        densities = {own.get("density", 1.0) for _, own in models}
        if len(densities) > 1:
            raise BadRecipe(f"density={sorted(densities)}: one for all models is understood")
        parameters["density"] = densities.pop()
    normalize = shared.get("normalize", name in NORMALIZED)
    if name == "linear":
        parameters["normalize"] = normalize
    elif name == "ties" and not normalize:
        raise BadRecipe("parameters.normalize=False: TIES takes a mean; leave it out")
    elif name == "dare_ties" and normalize:
        raise BadRecipe("parameters.normalize=True: not understood with dare_ties; leave it out")
    elif name in ("task_arithmetic", "dare_linear") and normalize:
        if abs(whole := sum(weights)) < 1e-8:
            raise BadRecipe(f"parameters.normalize=True: the weights add up to {whole}; say false")
        weights = [weight / whole for weight in weights]
    if name == "ties" and shared.get("rescale"):
        raise BadRecipe("parameters.rescale=True: not understood with ties; give a lambda instead")
    if ours == "DARE":
        parameters["rescale"] = shared.get("rescale", True)
        parameters |= {"seed": 0, "elect": "sum" if name == "dare_ties" else "none"}
        remarks = remarks if parameters["rescale"] else remarks[:1]
    if name == "slerp":
        if "t" not in shared:
            raise BadRecipe("parameters.t: missing; slerp needs it, 0 is base_model")
        parameters["t"] = shared["t"]
    if name == "nuslerp":
        total = sum(weights)
        parameters["t"] = weights[-1] / total if abs(total) >= 1e-6 else 0.5
        if base is None:  # the first model is
            (base, _), *models = models
            ours, weights = "Slerp", weights[1:]
        else:
            remarks = []
    base = models[0][0] if base is None else base
    takes = "weight" in known and name != "nuslerp"
    fields = {"method": ours, "base": base, "parameters": parameters}
    fields["models"] = [
        {"path": path, "weight": weight} if takes else path
        for (path, _), weight in zip(models, weights, strict=True)
    ]
    return fields | _as_written(given, base, remarks)


def _as_written(given: Mapping[str, Any], base: str, remarks: list[str]) -> dict[str, Any]:
    """What a recipe of mergekit says of its output."""
    inner, outer = given.get("dtype"), given.get("out_dtype")
    if inner not in (None, "float32"):
        remarks.append(f"dtype={inner!r}: what is written; the sum is made in float32")
    source = given.get("tokenizer_source")
    block = given.get("tokenizer")
    if block is not None:
        if not isinstance(block, dict) or block.keys() != {"source"}:
            raise BadRecipe(f"tokenizer={_brief(block)}: not understood; say {{source: base}}")
        source = block["source"]
    if source == "union":
        raise BadRecipe(
            "tokenizer_source='union': a merge here needs one vocabulary; say base, or a model"
        )
    tokenizer = "" if source in (None, "base", base) else source
    written = {"dtype": outer or inner or "base", "tokenizer": tokenizer}
    return written | {"remarks": tuple(remarks)}


def _listed(
    name: str, number: int, given: Any, shared: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """A model's path, and its parameters: its own, or else those of all."""
    where = f"models.{number}"
    if not isinstance(given, dict) or not isinstance(given.get("model"), str):
        raise BadRecipe(f"{where}={_brief(given)}: no model; write `- model: ./folder`")
    for key, value in given.items():
        if key not in ("model", "parameters"):
            raise BadRecipe(f"{where}.{key}={_brief(value)}: not understood; leave it out")
    own = _settings(name, f"{where}.parameters", given.get("parameters"))
    return given["model"], {**shared, **own}


def _settings(name: str, where: str, given: Any) -> dict[str, Any]:
    """Parameters as plain numbers. Raises `BadRecipe` for gradients, filters and unknown ones."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadRecipe(f"{where}={_brief(given)}: expected names and values")
    known = MERGEKIT[name][1]
    plain = {}
    for key, value in given.items():
        if key in SAME:
            continue
        if key not in known:
            hint = did_you_mean(key, known, f"{name} has: {', '.join(known) or 'none'}")
            raise BadRecipe(f"{where}.{key}={_brief(value)}: not understood; {hint}")
        if isinstance(value, list | dict):
            what = "layer gradients and filters are"
            raise BadRecipe(f"{where}.{key}={_brief(value)}: {what} not understood; give a number")
        value = _plain(value)
        wanted = bool if key in ("normalize", "rescale") else (int, float)
        if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
            need = "true or false" if wanted is bool else "a number"
            raise BadRecipe(f"{where}.{key}={_brief(value)}: {need} is needed")
        plain[key] = value
    return plain


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
