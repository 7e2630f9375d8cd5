"""Computes what a lineage names: each step once, in this process, into the store.

Nothing trains while a book is rendered (`FORGETTING_RENDER=1`): a missing step is an error there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetting import merging, store
from forgetting.engine import processes, training
from forgetting.engine.generation import Completion, generate
from forgetting.lineage import Checkpoint, Merge, Samples, Train
from forgetting.models import foundations
from forgetting.models.foundations import Foundation
from forgetting.tasks import Task

# A generator of torch's reads 32 bits of its seed: what is drawn for one seed lies below the next.
SEEDS_A_SEED = 1_000_003

Progress = Callable[[float], None]


class NotComputed(RuntimeError):
    """Something is missing that may not be computed now."""


def model(
    checkpoint: Checkpoint, progress: Progress | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The checkpoint's model (evaluation mode, float32) and tokenizer; computed if missing.

    It lies on this process's GPU where there is one.
    """
    folder = checkpoint.foundation.folder
    if isinstance(checkpoint.step, Foundation):
        loaded = foundations.load_model(folder)
    else:
        loaded = foundations.load_model(folder, state=state(checkpoint, progress))
    return loaded.eval().to(processes.device()), foundations.load_tokenizer(folder)


def state(checkpoint: Checkpoint, progress: Progress | None = None) -> dict[str, torch.Tensor]:
    """All weights of the checkpoint by name, float32, in main memory; computed if missing."""
    step = checkpoint.step
    if isinstance(step, Foundation):
        return foundations.weights(step.folder)
    if isinstance(step, Merge):
        return merging.weighted_sum((factor, state(parent)) for factor, parent in step.terms)
    folder = _folder(checkpoint, step, progress)
    if step.tune.adapter is None:
        return state(step.parent) | load_file(folder / "changed.safetensors")
    from peft import set_peft_model_state_dict  # four seconds: where nothing is trained, not spent

    parent, _ = model(step.parent)
    wrapped = step.tune.apply(parent)
    set_peft_model_state_dict(wrapped, load_file(folder / "changed.safetensors"))
    return _named(wrapped.merge_and_unload())


def train(checkpoint: Checkpoint, progress: Progress | None = None) -> None:
    """Train the checkpoint's last step, and what is missing below it, unless that is stored."""
    if isinstance(checkpoint.step, Train):
        _folder(checkpoint, checkpoint.step, progress)


def losses(checkpoint: Checkpoint) -> list[float]:
    """Training loss of every optimiser step, nats per token; empty for what was not trained."""
    folder = store.get("weights", checkpoint.key)
    return json.loads((folder / "losses.json").read_text()) if folder else []


def shown(checkpoint: Checkpoint) -> dict[str, Any]:
    """What became of the examples of the last training step; empty where a task gave its own."""
    step = checkpoint.step
    if not isinstance(step, Train) or isinstance(step.shown, Task):
        return {}
    tokenizer = foundations.load_tokenizer(checkpoint.foundation.folder)
    return step.shown.report(tokenizer, step.settings, step.seed)


def samples(wanted: Samples) -> list[list[Completion]]:
    """What the checkpoint wrote, a list of completions for each prompt; generated if missing."""
    folder = store.get("samples", wanted.key) or _sample(wanted)
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    flat = [Completion(**json.loads(line)) for line in lines]
    return [flat[i : i + wanted.per_prompt] for i in range(0, len(flat), wanted.per_prompt)]


def train_through(checkpoints: Sequence[Checkpoint], progress: Progress | None = None) -> None:
    """Make sure that checkpoints which differ in `epochs` alone are stored, in one training.

    The longest that is missing is trained; shorter ones are stored as it passes them. Raises
    `ValueError` where their recipes differ in something else.
    """
    family = {checkpoint.after(1) for checkpoint in checkpoints}
    if len(family) > 1:
        raise ValueError(f"{len(family)} recipes that differ in more than their epochs: {family}")
    missing = {c.step.settings.epochs: c for c in checkpoints if isinstance(c.step, Train)}
    missing = {n: c for n, c in missing.items() if store.get("weights", c.key) is None}
    if missing:
        longest = missing.pop(max(missing))
        assert isinstance(longest.step, Train)
        _train(longest, longest.step, progress, passed=missing)


def rendering() -> bool:
    """Whether a book is being rendered: only stored results may be shown, and nothing written."""
    return bool(os.environ.get("FORGETTING_RENDER"))


def refuse_while_rendering(what: str) -> None:
    """Raise `NotComputed` if a book is being rendered."""
    if rendering():
        raise NotComputed(f"{what} is not in the results; run the chapter before rendering it")


def _folder(checkpoint: Checkpoint, step: Train, progress: Progress | None) -> Path:
    """Where the weights that the step moved are stored; trained if missing."""
    return store.get("weights", checkpoint.key) or _train(checkpoint, step, progress)


def _train(
    checkpoint: Checkpoint,
    step: Train,
    progress: Progress | None,
    passed: Mapping[int, Checkpoint] | None = None,
) -> Path:
    """Train, and store what moved: the adapter, or the tensors that the tuning names.

    `passed` are the checkpoints to store on the way, by the number of their epochs.
    """
    refuse_while_rendering(f"checkpoint {checkpoint.key}")
    if processes.world() == 1 and (count := processes.asked()) > 1:
        return _train_together(count, checkpoint, step, passed)
    parent, tokenizer = model(step.parent)
    torch.manual_seed(step.seed)  # adapters start from random numbers
    tuned = step.tune.apply(parent)

    def save(reached: Checkpoint, losses: list[float]) -> Path:
        moved = _moved(step, tuned)  # of all processes, which all have to ask
        if processes.rank() > 0:
            return Path()
        return store.put("weights", reached.key, partial(_write, reached, moved, losses))

    def after_epoch(epochs: int, losses: list[float]) -> None:
        if passed and epochs in passed:
            save(passed[epochs], losses)

    teacher = getattr(step.shown, "teacher", None)
    losses = training.train(
        tuned,
        tokenizer,
        step.shown,
        step.settings,
        step.seed,
        step.objective,
        progress,
        after_epoch,
        before=model(teacher)[0] if teacher else None,
    )
    return save(checkpoint, losses)


def check_processes(step: Train) -> None:
    """Raise `processes.BadProcesses` where a training cannot be shared as it is asked to be."""
    if (count := processes.asked()) > 1 and not step.objective.mean:
        raise processes.BadProcesses(
            f"processes={count}: {step.objective!r} is no mean over tokens; train it in one process"
        )


def _train_together(
    count: int, checkpoint: Checkpoint, step: Train, passed: Mapping[int, Checkpoint] | None
) -> Path:
    """`_train` in several processes; what they need is computed before, in this one alone."""
    check_processes(step)
    state(step.parent)
    for wanted in step.samples:
        samples(wanted)
    processes.run(count, _train_a_part, checkpoint, dict(passed or {}))
    folder = store.get("weights", checkpoint.key)
    assert folder, "the first process stores the weights"
    return folder


def _train_a_part(checkpoint: Checkpoint, passed: Mapping[int, Checkpoint]) -> None:
    assert isinstance(checkpoint.step, Train)
    _train(checkpoint, checkpoint.step, None, passed)


def _sample(wanted: Samples) -> Path:
    """Generate and store. Every row has random numbers of its own, by its place."""
    refuse_while_rendering(f"samples of {wanted.of.key}")
    loaded, tokenizer = model(wanted.of)
    texts = [t for t in wanted.prompts.texts(tokenizer) for _ in range(wanted.per_prompt)]
    written = generate(
        loaded,
        tokenizer,
        texts,
        max_new_tokens=wanted.max_new_tokens,
        until=wanted.until,
        temperature=wanted.temperature,
        top_k=wanted.top_k,
        top_p=wanted.top_p,
        seeds=[(wanted.seed * SEEDS_A_SEED + place) % 2**32 for place in range(len(texts))],
    )
    lines = [json.dumps(asdict(one), ensure_ascii=False) for one in written]

    def write(folder: Path) -> None:
        (folder / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "recipe.json").write_text(_pretty(wanted.recipe()))

    return store.put("samples", wanted.key, write)


def _moved(step: Train, tuned: Any) -> dict[str, torch.Tensor]:
    """What a training moved: the adapter, or the tensors that the tuning names."""
    if step.tune.adapter is None:
        found = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    else:
        from peft import get_peft_model_state_dict

        found = get_peft_model_state_dict(tuned)
    return {name: processes.whole(tensor).contiguous() for name, tensor in found.items()}


def _write(
    checkpoint: Checkpoint, moved: Mapping[str, torch.Tensor], losses: list[float], folder: Path
) -> None:
    try:
        save_file(dict(moved), folder / "changed.safetensors")
    except SafetensorError as error:  # a full disk, told without its number
        raise OSError(str(error)) from error
    (folder / "losses.json").write_text(json.dumps([round(x, 6) for x in losses]) + "\n")
    (folder / "recipe.json").write_text(_pretty(checkpoint.lineage()))


def _named(loaded: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().cpu() for name, p in loaded.named_parameters()}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
