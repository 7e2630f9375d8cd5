"""Computes what a lineage names: each step once, in this process, into the store.

`weights` computes a step from what it starts from, a function a kind. A training stores what it
moved, any other step that costs something all its weights, the rest is computed when it is read.
Nothing trains while a book is rendered (`FORGETTING_RENDER=1`): a missing step is an error there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import singledispatch
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetting import merging, store
from forgetting.engine import merges, processes, training
from forgetting.home import rendering
from forgetting.lineage import Adapt, Checkpoint, Completion, Graft, Linear, Merge, Samples, Train
from forgetting.merging import State
from forgetting.merging.base import Merging
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


class Diverged(ValueError):
    """A checkpoint whose weights are no numbers: there is nothing to measure."""


class NotComputed(RuntimeError):
    """Something is missing that may not be computed now."""


def model(checkpoint: Checkpoint) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The checkpoint's model (evaluation mode, float32) and tokenizer; computed if missing.

    It lies on this process's GPU where there is one.
    """
    untouched = isinstance(checkpoint.step, Foundation)
    loaded = _loaded(checkpoint, None if untouched else state(checkpoint))
    return loaded, checkpoint.foundation.tokenizer()


def configuration(checkpoint: Checkpoint) -> Any:
    """The transformers configuration of the checkpoint's model: its foundation's, or a graft's.

    Raises `family.UnknownFamily` for a graft of models that no family puts together.
    """
    step = checkpoint.origin.step
    if isinstance(step, Graft):
        parent, other = map(configuration, step.parents)
        return family.graft(parent, other, step.connector).config
    return family.config_of(checkpoint.foundation.folder)


def state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """All weights of the checkpoint by name, float32, in main memory; computed if missing."""
    trained: list[tuple[Checkpoint, Train]] = []
    start = checkpoint
    while isinstance(start.step, Train):
        trained.insert(0, (start, start.step))
        start = start.step.parent
    # Everything is stored before anything is read: who trains has the memory to itself.
    folders = [_folder(moved) for moved, _ in trained]
    tensors = load_file(_folder(start) / WHOLE) if start.step.costs else weights(start.step)
    for (moved, step), folder in zip(trained, folders, strict=True):
        tensors = laid(moved, tuning(step), load_file(folder / MOVED), tensors)
    return tensors


@singledispatch
def weights(step: Any) -> dict[str, torch.Tensor]:
    """All weights that a step makes of those it starts from, by name, float32.

    Each kind of step has a function, `@weights.register`ed by the type of its argument. Raises
    `TypeError` for a kind that has none.
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
    base, *others = map(state, step.operands)
    for other in others:
        merging.require_one_architecture(base, other)
    if not isinstance(step.how, Merging):
        return step.how.merge(base, others)
    return step.how.merge(base, others, _tools(step, [base, *others]))


@weights.register
def _adapt(step: Adapt) -> dict[str, torch.Tensor]:
    if step.stream is None or step.same_weights:
        return state(step.parent)
    return step.stream.weights(step)


@weights.register
def _graft(step: Graft) -> dict[str, torch.Tensor]:
    parent, other = step.parents
    grafting = family.graft(configuration(parent), configuration(other), step.connector)
    return grafting.weights(state(parent), state(other), step.seed)


def make(checkpoint: Checkpoint) -> None:
    """Compute the checkpoint's last step, and what is missing below it, unless that is stored."""
    if checkpoint.step.costs:
        _folder(checkpoint)


def tuning(step: Train) -> Tuning:
    """What may move in a training: everything, where it says nothing."""
    return Full() if step.tune is None else cast(Tuning, step.tune)


def objective(step: Train) -> Objective:
    """What a training asks for: cross-entropy, where it says nothing."""
    return CrossEntropy() if step.objective is None else cast(Objective, step.objective)


def require_finite(checkpoint: Checkpoint, model: Any) -> None:
    """Raise `Diverged` where a weight of the checkpoint's model is not finite."""
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise Diverged(
                f"{checkpoint!r}: diverged: {name} is not finite; lower the learning rate"
            )


def losses(checkpoint: Checkpoint) -> list[float]:
    """Training loss of every optimiser step, nats per token; empty for what was not trained.

    Of a training that diverged, those before the first that is not finite.
    """
    folder = store.get("weights", checkpoint.key) if isinstance(checkpoint.step, Train) else None
    return json.loads((folder / "losses.json").read_text()) if folder else []


def shown(checkpoint: Checkpoint) -> dict[str, Any]:
    """What became of the examples of the last training step; empty where a task gave its own."""
    step = checkpoint.step
    if not isinstance(step, Train) or isinstance(step.shown, Task):
        return {}
    tokenizer = checkpoint.foundation.tokenizer()
    return step.shown.report(tokenizer, step.settings, step.seed, samples)


def samples(step: Samples) -> list[list[Completion]]:
    """What the checkpoint wrote, a list of completions for each prompt; generated if missing."""
    folder = store.get("samples", step.key) or _sample(step)
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    flat = [Completion(**json.loads(line)) for line in lines]
    return [flat[i : i + step.per_prompt] for i in range(0, len(flat), step.per_prompt)]


def train_through(checkpoints: Sequence[Checkpoint]) -> None:
    """Make sure that checkpoints which differ in `epochs` alone are stored, in one training.

    The longest that is missing is trained; shorter ones are stored as it passes them. Raises
    `ValueError` where their recipes differ in something else.
    """
    recipes = {checkpoint.after(1) for checkpoint in checkpoints}
    if len(recipes) > 1:
        raise ValueError(f"{len(recipes)} recipes that differ in more than their epochs: {recipes}")
    steps = [(c, c.step) for c in checkpoints if isinstance(c.step, Train)]
    missing = {s.settings.epochs: c for c, s in steps if store.get("weights", c.key) is None}
    if missing:
        longest = missing.pop(max(missing))
        assert isinstance(longest.step, Train)
        refuse_while_rendering(f"checkpoint {longest.key}")
        _train(longest, longest.step, missing)


def refuse_while_rendering(what: str) -> None:
    """Raise `NotComputed` if a book is being rendered."""
    if rendering():
        raise NotComputed(f"{what} is not in the results; run the chapter before rendering it")


def check_processes(step: Train) -> None:
    """Raise `processes.BadProcesses` where a training cannot be shared as it is asked to be."""
    goal = objective(step)
    if (count := processes.asked()) > 1 and not goal.mean:
        raise processes.BadProcesses(
            f"processes={count}: {goal!r} is no mean over tokens; train it in one process"
        )


def _folder(checkpoint: Checkpoint) -> Path:
    """Where the weights that the last step made are stored; computed if missing."""
    key, step = checkpoint.key, checkpoint.step
    if folder := store.get("weights", key):
        return folder
    refuse_while_rendering(f"checkpoint {key}")
    if isinstance(step, Train):
        return _train(checkpoint, step, {})
    return store.put("weights", key, _writer(checkpoint, WHOLE, weights(step)))


def _tools(step: Merge, states: Sequence[State]) -> merges.Operands:
    """What a merge may ask of its operands, which have these weights."""

    def of_operands() -> family.Family:
        return family.family_of(configuration(step.operands[0]))

    return merges.Operands(step.operands, states, _loaded, of_operands)


def _loaded(checkpoint: Checkpoint, state: State | None) -> PreTrainedModel:
    """A model with these weights, in evaluation mode, where this process has its models."""
    if state and isinstance(checkpoint.origin.step, Graft):
        config = configuration(checkpoint)
        loaded = family.family_of(config).build(config, state)
    else:
        loaded = foundations.load_model(checkpoint.foundation.folder, state=state)
    return loaded.eval().to(processes.device())


def laid(
    checkpoint: Checkpoint, tune: Tuning, moved: State, parent: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The parent's weights with what moved, where `tune` said what may."""
    if tune.adapter is None:
        return parent | dict(moved)
    from peft import set_peft_model_state_dict  # four seconds: where nothing is trained, not spent

    wrapped = tune.apply(_loaded(checkpoint, parent))
    set_peft_model_state_dict(wrapped, dict(moved))
    merged = wrapped.merge_and_unload()
    return {name: p.detach().cpu() for name, p in merged.named_parameters()}


def _train(checkpoint: Checkpoint, step: Train, passed: Mapping[int, Checkpoint]) -> Path:
    """Train, and store what moved; on the way the checkpoints `passed`, by their epochs."""
    if processes.world() == 1 and (count := processes.asked()) > 1:
        return _train_together(count, checkpoint, step, passed)
    parent, tokenizer = model(step.parent)
    torch.manual_seed(step.seed)  # adapters start from random numbers
    tuned = tuning(step).apply(parent)

    def save(reached: Checkpoint, losses: list[float]) -> Path:
        moved = moved_by(tuning(step), tuned)  # of all processes, which all have to ask
        if processes.rank() > 0:
            return Path()
        return store.put("weights", reached.key, _writer(reached, MOVED, moved, losses))

    def after_epoch(epochs: int, losses: list[float]) -> None:
        if epochs in passed:
            save(passed[epochs], losses)

    teacher = getattr(step.shown, "teacher", None)
    losses = training.train(
        tuned,
        tokenizer,
        step.shown,
        step.settings,
        step.seed,
        objective(step),
        after_epoch,
        before=model(teacher)[0] if teacher else None,
        weights=state,
        drawn=samples,
    )
    return save(checkpoint, losses)


def _train_together(
    count: int, checkpoint: Checkpoint, step: Train, passed: Mapping[int, Checkpoint]
) -> Path:
    """`_train` in several processes; what they need is computed before, in this one alone."""
    check_processes(step)
    state(step.parent)
    for sampled in step.samples:
        samples(sampled)
    processes.run(count, _train, checkpoint, step, passed)
    folder = store.get("weights", checkpoint.key)
    assert folder, "the first process stores the weights"
    return folder


def _sample(step: Samples) -> Path:
    """Generate and store. Every row has random numbers of its own, by its place."""
    refuse_while_rendering(f"samples of {step.of.key}")
    loaded, tokenizer = model(step.of)
    texts = [t for t in step.prompts.texts(tokenizer, samples) for _ in range(step.per_prompt)]
    completions = family.family_of(loaded).answer(
        loaded,
        tokenizer,
        texts,
        max_new_tokens=step.max_new_tokens,
        until=step.until,
        temperature=step.temperature,
        top_k=step.top_k,
        top_p=step.top_p,
        seeds=[(step.seed * SEEDS_A_SEED + place) % 2**32 for place in range(len(texts))],
    )
    lines = [json.dumps(asdict(completion), ensure_ascii=False) for completion in completions]

    def write(folder: Path) -> None:
        (folder / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "recipe.json").write_text(_pretty(step.recipe()))

    return store.put("samples", step.key, write)


def moved_by(tune: Tuning, tuned: Any) -> dict[str, torch.Tensor]:
    """What moved in a tuned model: the adapter, or the tensors that the tuning names."""
    if tune.adapter is None:
        moved = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    else:
        from peft import get_peft_model_state_dict

        moved = get_peft_model_state_dict(tuned)
    return {name: processes.whole(tensor).contiguous() for name, tensor in moved.items()}


def _writer(
    checkpoint: Checkpoint, name: str, tensors: State, losses: Sequence[float] | None = None
) -> Callable[[Path], None]:
    """What fills a checkpoint's folder in the store."""

    def write(folder: Path) -> None:
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / name)
        if losses is not None:
            numbers = [round(loss, 6) for loss in takewhile(math.isfinite, losses)]
            (folder / "losses.json").write_text(json.dumps(numbers) + "\n")
        (folder / "recipe.json").write_text(_pretty(checkpoint.lineage()))

    return write


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
