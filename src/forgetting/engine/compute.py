"""Computes what a lineage names: each step once, in this process, into the store.

`weights` computes a step from what it starts from, a function a kind. A training stores what it
moved, any other step that costs something all its weights, the rest is computed when it is read.
Nothing trains while a book is rendered (`FORGETTING_RENDER=1`): a missing step is an error there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import singledispatch
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetting import merging, store
from forgetting.engine import processes, training
from forgetting.home import rendering
from forgetting.lineage import Adapt, Checkpoint, Completion, Graft, Linear, Merge, Samples, Train
from forgetting.merging import State
from forgetting.models import family, foundations
from forgetting.models.foundations import Foundation
from forgetting.objectives import Objective
from forgetting.objectives.cross_entropy import CrossEntropy
from forgetting.tasks import Task
from forgetting.tuning import Tuning
from forgetting.tuning.full import Full

# A generator of torch's reads 32 bits of its seed: what is drawn for one seed lies below the next.
SEEDS_A_SEED = 1_000_003
MOVED, WHOLE = "changed.safetensors", "weights.safetensors"

Progress = Callable[[float], None]


class NotComputed(RuntimeError):
    """Something is missing that may not be computed now."""


def model(
    checkpoint: Checkpoint, progress: Progress | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The checkpoint's model (evaluation mode, float32) and tokenizer; computed if missing.

    It lies on this process's GPU where there is one.
    """
    if isinstance(checkpoint.step, Foundation):
        loaded = foundations.load_model(checkpoint.step.folder).eval().to(processes.device())
    else:
        loaded = _loaded(checkpoint, state(checkpoint, progress))
    return loaded, foundations.load_tokenizer(checkpoint.foundation.folder)


def configuration(checkpoint: Checkpoint) -> Any:
    """The transformers configuration of the checkpoint's model: its foundation's, or a graft's.

    Raises `family.UnknownFamily` for a graft of models that no family puts together.
    """
    step = checkpoint.origin.step
    if isinstance(step, Graft):
        return family.grafted(*map(configuration, step.parents), step.connector)
    return family.config_of(checkpoint.foundation.folder)


def state(checkpoint: Checkpoint, progress: Progress | None = None) -> dict[str, torch.Tensor]:
    """All weights of the checkpoint by name, float32, in main memory; computed if missing."""
    trained: list[tuple[Checkpoint, Train]] = []
    start = checkpoint
    while isinstance(start.step, Train):
        trained.insert(0, (start, start.step))
        start = start.step.parent
    # Everything is stored before anything is read: who trains has the memory to itself.
    folders = [_folder(c, progress if c is checkpoint else None) for c, _ in trained]
    if start.step.costs:
        found = load_file(_folder(start, progress if start is checkpoint else None) / WHOLE)
    else:
        found = weights(start.step)
    for (moved, step), folder in zip(trained, folders, strict=True):
        found = _laid(moved, step, load_file(folder / MOVED), found)
    return found


@singledispatch
def weights(step: Any) -> dict[str, torch.Tensor]:
    """All weights that a step makes of those it starts from, by name, float32.

    Register a function for every kind of step: `@weights.register`, with the class as the type of
    its argument. Raises `TypeError` for a kind that has none.
    """
    raise TypeError(f"kind={step.kind!r}: no function computes it; see engine.compute.weights")


@weights.register
def _foundation(step: Foundation) -> dict[str, torch.Tensor]:
    return foundations.weights(step.folder)


@weights.register
def _merge(step: Merge) -> dict[str, torch.Tensor]:
    """Raises `ValueError` where names or shapes differ."""
    if isinstance(step.how, Linear):
        in_order = sorted(step.terms, key=lambda term: term[1].key)  # one key, one rounding
        return merging.weighted_sum((factor, state(operand)) for factor, operand in in_order)
    base, *models = map(state, step.operands)
    for model in models:
        merging.require_one_architecture(base, model)
    return step.how.merge(base, models)


@weights.register
def _adapt(step: Adapt) -> dict[str, torch.Tensor]:
    return state(step.parent)


@weights.register
def _graft(step: Graft) -> dict[str, torch.Tensor]:
    config = configuration(Checkpoint(step))
    states = map(state, step.parents)
    return family.family_of(config).graft(config, *states, step.connector, step.seed)


def make(checkpoint: Checkpoint, progress: Progress | None = None) -> None:
    """Compute the checkpoint's last step, and what is missing below it, unless that is stored."""
    if checkpoint.step.costs:
        _folder(checkpoint, progress)


def tuning(step: Train) -> Tuning:
    """What may move in a training: everything, where it says nothing."""
    return Full() if step.tune is None else cast(Tuning, step.tune)


def objective(step: Train) -> Objective:
    """What a training asks for: cross-entropy, where it says nothing."""
    return CrossEntropy() if step.objective is None else cast(Objective, step.objective)


def losses(checkpoint: Checkpoint) -> list[float]:
    """Training loss of every optimiser step, nats per token; empty for what was not trained."""
    folder = store.get("weights", checkpoint.key) if isinstance(checkpoint.step, Train) else None
    return json.loads((folder / "losses.json").read_text()) if folder else []


def shown(checkpoint: Checkpoint) -> dict[str, Any]:
    """What became of the examples of the last training step; empty where a task gave its own."""
    step = checkpoint.step
    if not isinstance(step, Train) or isinstance(step.shown, Task):
        return {}
    tokenizer = foundations.load_tokenizer(checkpoint.foundation.folder)
    return step.shown.report(tokenizer, step.settings, step.seed, samples)


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


def refuse_while_rendering(what: str) -> None:
    """Raise `NotComputed` if a book is being rendered."""
    if rendering():
        raise NotComputed(f"{what} is not in the results; run the chapter before rendering it")


def _folder(checkpoint: Checkpoint, progress: Progress | None) -> Path:
    """Where the weights that the last step made are stored; computed if missing."""
    folder, step = store.get("weights", checkpoint.key), checkpoint.step
    if folder is None and isinstance(step, Train):
        return _train(checkpoint, step, progress)
    return folder or _whole(checkpoint)


def _whole(checkpoint: Checkpoint) -> Path:
    """Compute the last step, and store all its weights."""
    refuse_while_rendering(f"checkpoint {checkpoint.key}")
    return store.put(
        "weights", checkpoint.key, _writer(checkpoint, WHOLE, weights(checkpoint.step))
    )


def _loaded(checkpoint: Checkpoint, state: State) -> PreTrainedModel:
    """A model with these weights, in evaluation mode, where this process has its models."""
    if isinstance(checkpoint.origin.step, Graft):
        config = configuration(checkpoint)
        loaded = family.family_of(config).build(config, state)
    else:
        loaded = foundations.load_model(checkpoint.foundation.folder, state=state)
    return loaded.eval().to(processes.device())


def _laid(
    checkpoint: Checkpoint, step: Train, moved: State, parent: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The parent's weights with what the training moved."""
    if tuning(step).adapter is None:
        return parent | dict(moved)
    from peft import set_peft_model_state_dict  # four seconds: where nothing is trained, not spent

    wrapped = tuning(step).apply(_loaded(checkpoint, parent))
    set_peft_model_state_dict(wrapped, dict(moved))
    return _named(wrapped.merge_and_unload())


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
    tuned = tuning(step).apply(parent)

    def save(reached: Checkpoint, losses: list[float]) -> Path:
        moved = _moved(step, tuned)  # of all processes, which all have to ask
        if processes.rank() > 0:
            return Path()
        return store.put("weights", reached.key, _writer(reached, MOVED, moved, losses))

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
        objective(step),
        progress,
        after_epoch,
        before=model(teacher)[0] if teacher else None,
        weights=state,
        drawn=samples,
    )
    return save(checkpoint, losses)


def check_processes(step: Train) -> None:
    """Raise `processes.BadProcesses` where a training cannot be shared as it is asked to be."""
    goal = objective(step)
    if (count := processes.asked()) > 1 and not goal.mean:
        raise processes.BadProcesses(
            f"processes={count}: {goal!r} is no mean over tokens; train it in one process"
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
    texts = [t for t in wanted.prompts.texts(tokenizer, samples) for _ in range(wanted.per_prompt)]
    written = family.family_of(loaded).answer(
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
    if tuning(step).adapter is None:
        found = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    else:
        from peft import get_peft_model_state_dict

        found = get_peft_model_state_dict(tuned)
    return {name: processes.whole(tensor).contiguous() for name, tensor in found.items()}


def _writer(
    checkpoint: Checkpoint, name: str, tensors: State, losses: Sequence[float] | None = None
) -> Callable[[Path], None]:
    """What fills a checkpoint's folder in the store."""

    def write(folder: Path) -> None:
        try:
            save_file({name: t.contiguous() for name, t in tensors.items()}, folder / name)
        except SafetensorError as error:  # a full disk, told without its number
            raise OSError(str(error)) from error
        if losses is not None:
            (folder / "losses.json").write_text(json.dumps([round(x, 6) for x in losses]) + "\n")
        (folder / "recipe.json").write_text(_pretty(checkpoint.lineage()))

    return write


def _named(loaded: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().cpu() for name, p in loaded.named_parameters()}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
