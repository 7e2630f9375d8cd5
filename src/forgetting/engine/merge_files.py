"""Merges of models in folders: what `forgetting merge` does, in one call.

    from forgetting.engine.merge_files import merge_files
    merge_files({"method": "TIES", "base": "base", "models": ["chat", "domain"]}, "merged")

Tensors are read, merged in float32 and written one after another, so that no model has to fit into
memory. All that can be refused is refused before; the folder appears when it is complete.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from forgetting.engine import merge_operands
from forgetting.engine.merge_recipes import BadRecipe, Recipe, read_recipe
from forgetting.models import weight_files
from forgetting.models.loading import BadFolder
from forgetting.models.weight_files import Shards, Weights

FAR = 0.1  # ‖δ‖/‖θ‖ above which a model was hardly tuned from the base
COARSE = 0.01  # of ‖δ‖, above which rounding is told
UNWRITABLE = {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT}
AHEAD = 2  # tensors that are merged and wait to be written, for each thread


class NoRoom(OSError):
    """The disk has no room for what would be written, or refuses to write it."""


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
    beside: dict[str, str]
    parameters: int
    moved: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
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
    operands = merge_operands.find(recipe)
    source = merge_operands.source_of(recipe, operands)
    _require_free(out, operands, force)
    merge_operands.require_one_tokenizer(operands)
    states = []
    for operand in operands:
        operand.weight_files()  # an adapter's too are there
        states.append(weight_files.weights(operand.folders[0]))
        merge_operands.require_one_architecture(operand, states[0], states[-1])
    base = states[0]
    dtype = base.dtype if recipe.dtype == "base" else recipe.dtype
    shards = Shards(base.shapes, dtype, recipe.shard_bytes)
    _require_room(out, shards.bytes)
    coefficients = recipe.how.coefficients(len(recipe.models))
    merged = Merged(
        folder=out,
        recipe=recipe,
        operands=[operand.name for operand in operands],
        coefficients=[coefficients[0], *coefficients[1]] if coefficients else None,
        beside=merge_operands.said_beside(source) | {"dtype": dtype},
        parameters=shards.bytes // shards.dtype.itemsize,
        warnings=[*recipe.remarks, *merge_operands.differences(source, operands)],
    )
    with _appearing(out) as made, ThreadPoolExecutor(1) as pool:
        hashes = pool.submit(merge_operands.hashes_of, operands)
        if recipe.sha256:
            merge_operands.require_same(recipe.sha256, hashes.result())
        for number, operand in enumerate(operands):
            if operand.below:
                file = made.parent / f"{number}.safetensors"
                states[number] = merge_operands.with_adapter(base, operand, file)
        shards.write(made, _tensors(merged, states, operands[0].folder, shards.dtype))
        merge_operands.copy_beside(source, made, dtype)
        text = _note(merged, hashes.result())
        (made / merge_operands.NOTE).write_text(text, encoding="utf-8")
    merged.seconds = time.perf_counter() - started
    return merged


# -- tensors -----------------------------------------------------------------------------------


def _tensors(
    merged: Merged, states: Sequence[Weights], folder: Path, dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor]]:
    """The merged tensors, and into `merged` what they say of operands and of rounding.

    Raises `loading.BadFolder` where a value is not finite.
    """
    from forgetting.engine.merges import Operands  # a second, once nothing is to be refused
    from forgetting.models.family import family_of

    tools = Operands((), states, lambda *_: None, lambda: family_of(folder))
    join = merged.recipe.how.joiner(states[0], states[1:], tools)
    sums: Any = 0.0
    count = len(states)
    for name, tensor, found in _in_threads(join, states[0], dtype):
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
    join: Callable[[str], tuple[list[torch.Tensor], torch.Tensor]],
    names: Iterable[str],
    dtype: torch.dtype,
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """What is merged, with several names at a time, and of each name squared norms.

    They are of the base, of each model's difference to it, of the merge's, and of its rounding;
    then come the products of each model's difference and the merge's.
    """
    threads = torch.get_num_threads()

    @torch.no_grad()
    def one(name: str) -> tuple[str, torch.Tensor, torch.Tensor]:
        (start, *tuned), tensor = join(name)
        written = tensor.to(dtype)
        rounded = torch.zeros(()) if written is tensor else written.float() - tensor
        *changes, change = ((each - start).flatten() for each in (*tuned, tensor))
        norms = [torch.linalg.vector_norm(each) for each in (start, *changes, change, rounded)]
        products = torch.stack([each @ change for each in changes]).double()
        return name, written, torch.cat([torch.stack(norms).double().square(), products])

    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[tuple[str, torch.Tensor, torch.Tensor]]] = deque()
            for name in names:
                waiting.append(pool.submit(one, name))
                if len(waiting) > AHEAD * threads:
                    yield waiting.popleft().result()
            for future in waiting:
                yield future.result()
    finally:
        torch.set_num_threads(threads)


def _note(merged: Merged, hashes: Mapping[str, Mapping[str, str]]) -> str:
    """The recipe as it was followed: to read, and to follow again."""
    from yaml import safe_dump

    from forgetting import __version__

    moved = list(zip(merged.operands, merged.moved, strict=True))[1:]
    lines = [
        f"# Merged by forgetting {__version__}; again: forgetting merge THIS_FILE --out FOLDER",
        *(f"# {what}: {which}" for what, which in merged.beside.items()),
        *(f"# ‖δ‖/‖θ‖ of {name}: {share:.4%}" for name, share in moved),
        *(f"# {' '.join(warning.split())}" for warning in merged.warnings),
    ]
    recipe = merged.recipe.text() | {"sha256": dict(hashes)}
    return "\n".join(lines) + "\n" + safe_dump(recipe, sort_keys=False, allow_unicode=True)


# -- the folder --------------------------------------------------------------------------------


def _require_free(out: Path, operands: Sequence[merge_operands.Operand], force: bool) -> None:
    """Raise `BadRecipe` where `out` may not be written."""
    place, problem = out.resolve(), ""
    merged = [each.name for each in operands if each.folder.is_relative_to(place)]
    if merged:
        problem = f"holds {merged[0]}, which is merged; name another folder"
    elif out.is_file():
        problem = "a file; name a folder"
    elif out.is_dir() and any(out.iterdir()):
        if not force:
            problem = "is not empty; name another folder, or add --force"
        elif not (out / "config.json").is_file():
            problem = "holds something else than a model; name another folder"
    if problem:
        raise BadRecipe(f"out={out}: {problem}")


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
