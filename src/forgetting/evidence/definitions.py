"""What "forgetting" means: the definitions of continual learning, as functions of accuracies.

The accuracy matrix R is T×T: R[i, j] is the accuracy on task j after learning task i, a fraction
between 0 and 1, tasks in the order in which they are learned and counted from 0. `before` holds
the accuracies (T,) of the model before any learning. What was not measured is NaN; a definition
that needs it raises `NotMeasured`, and none fills it in. Drops are positive where something was
forgotten, transfers are positive where something was won.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class NotMeasured(ValueError):
    """A definition needs an accuracy that was not measured."""


def average_accuracy(R: ArrayLike, after: int | None = None) -> float:
    """A_k = 1/k · Σ_{j ≤ k} R[k, j]: mean accuracy on the k tasks learned so far.

    Chaudhry et al. 2018 (arXiv 1801.10112); at the end of training (`after=None`) it is
    ACC of Lopez-Paz & Ranzato 2017 (arXiv 1706.08840). `after` is the index of the last task
    learned. Between 0 and 1.
    """
    matrix = _matrix(R)
    last = len(matrix) - 1 if after is None else after
    if not 0 <= last < len(matrix):
        raise ValueError(f"after={after}: R has tasks 0 to {len(matrix) - 1}; name one of them")
    return float(_row(matrix, last, last + 1, "average accuracy").mean())


def average_incremental_accuracy(R: ArrayLike) -> float:
    """1/T · Σ_k A_k: `average_accuracy`, averaged over the whole sequence and not its end alone.

    Rebuffi et al. 2017 (iCaRL, arXiv 1611.07725), for tasks of equal size. Between 0 and 1.
    """
    return float(np.mean([average_accuracy(R, after=k) for k in range(len(_matrix(R)))]))


def initial_last_drop(R: ArrayLike) -> Floats:
    """R[j, j] - R[T-1, j] of each old task j < T-1: just after learning it, minus the end.

    Shape (T-1,). Negative where later tasks made an earlier one better.
    """
    matrix = _sequence(R, "the initial-last drop")
    old = len(matrix) - 1
    learned = _diagonal(matrix, old, "the initial-last drop")
    return learned - _row(matrix, old, old, "the initial-last drop")


def backward_transfer(R: ArrayLike) -> float:
    """BWT = 1/(T-1) · Σ_{j < T-1} (R[T-1, j] - R[j, j]).

    Lopez-Paz & Ranzato 2017 (arXiv 1706.08840), section 2. The mean of `initial_last_drop` with
    the other sign: negative backward transfer is forgetting. Between -1 and 1.
    """
    return float(0.0 - initial_last_drop(R).mean())  # not -0.0 where nothing was lost


def forward_transfer(R: ArrayLike, before: ArrayLike) -> float:
    """FWT = 1/(T-1) · Σ_{j ≥ 1} (R[j-1, j] - before[j]): tasks improved before their turn came.

    Lopez-Paz & Ranzato 2017 (arXiv 1706.08840), section 2, where `before` is a network with random
    weights; here it is the model that the sequence starts from. Between -1 and 1.
    """
    what = "forward transfer"
    matrix = _sequence(R, what)
    start = _vector("before", before, len(matrix))[1:]
    ahead = [_entry(matrix, j - 1, j, what) for j in range(1, len(matrix))]
    return float(np.mean(np.array(ahead) - start))


def maximum_drop(
    R: ArrayLike,
    before: ArrayLike | None = None,
    since: Literal["start", "learned"] = "start",
) -> Floats:
    """f_j = max_{l < T-1} R[l, j] - R[T-1, j] of each old task j: its best minus the end.

    Chaudhry et al. 2018 (arXiv 1801.10112); the mean is their F. Shape (T-1,), between
    -1 and 1. The equation's maximum starts at the first task learned (`since="start"`), also above
    the diagonal, where task j had not been learned. Much code takes l ≥ j: `since="learned"`. With
    `before` the maximum includes the model before any learning, which for a pre-trained model may
    well be the best.
    """
    what = "the maximum drop"
    if since not in ("start", "learned"):
        raise ValueError(f"since={since!r}: must be 'start' or 'learned'")
    if since == "learned" and before is not None:
        raise ValueError("since='learned': leaves `before` out; drop one of the two")
    matrix = _sequence(R, what)
    old = len(matrix) - 1
    best = []
    for j in range(old):
        rows = range(j if since == "learned" else 0, old)
        best.append(max(_entry(matrix, i, j, what) for i in rows))
    if before is not None:
        best = list(np.maximum(best, _vector("before", before, old + 1)[:old]))
    return np.array(best) - _row(matrix, old, old, what)


def intransigence(R: ArrayLike, reference: ArrayLike) -> Floats:
    """I_j = reference[j] - R[j, j]: what a task lacks just after it was learned.

    Chaudhry et al. 2018 (arXiv 1801.10112), where `reference` comes from a model
    trained on all tasks up to j together; others train on each task alone. Shape (T,), between -1
    and 1. Negative where the earlier tasks helped.
    """
    matrix = _matrix(R)
    wanted = _vector("reference", reference, len(matrix))
    return wanted - _diagonal(matrix, len(matrix), "intransigence")


def drop_from_original(before: ArrayLike, after: ArrayLike) -> Floats:
    """before[j] - after[j] of each old task: the original model minus the tuned one.

    For abilities that no training of ours gave, a pre-trained model's, there is no R[j, j]; this
    is then the only drop there is. Shape (tasks,), between -1 and 1.
    """
    start = _vector("before", before)
    return start - _vector("after", after, len(start))


def relative_drop(before: ArrayLike, after: ArrayLike, chance: ArrayLike = 0.0) -> Floats:
    """(before[j] - after[j]) / (before[j] - chance[j]) of each old task.

    With `chance=0` one step of FG of Luo et al. 2023 (arXiv 2308.08747), as a fraction. With the
    accuracy of guessing as `chance` it is the share lost of what there was to lose: 1 is a model
    that guesses. Shape (tasks,). Raises `ValueError` where `before` is not above chance.
    """
    start = _vector("before", before)
    floor = _vector("chance", np.broadcast_to(np.asarray(chance, float), start.shape))
    for j in np.flatnonzero(start <= floor):
        raise ValueError(
            f"before[{j}]={start[j]:g}: not above chance={floor[j]:g}, so no share of it can be "
            "lost; report drop_from_original"
        )
    return drop_from_original(start, after) / (start - floor)


def cross_entropy_change(
    before: ArrayLike, after: ArrayLike, tokens: ArrayLike | None = None
) -> float:
    """ΔCE = Σ_j w_j · (after[j] - before[j]): rise of the old tasks' cross-entropy, nats per token.

    `before` and `after` are the cross-entropies of each old task (nats per token, original and
    tuned model). w_j is 1 / tasks, or with `tokens` each task's share of all tokens. Positive where
    something was forgotten.
    """
    start = _vector("before", before, highest=np.inf)
    if np.isinf(start).any():
        raise ValueError("before=inf: the original model has no finite cross-entropy; check it")
    end = _vector("after", after, len(start), highest=np.inf)
    weights = np.ones(len(start))
    if tokens is not None:
        weights = _vector("tokens", tokens, len(start), highest=np.inf)
        if not 0 < weights.sum() < np.inf:
            raise ValueError("tokens: must add up to a positive number; count them, or leave out")
    return float(np.average(end - start, weights=weights))


def every_definition(R: ArrayLike, before: ArrayLike, reference: ArrayLike) -> dict[str, float]:
    """One matrix under every definition, averaged over tasks; needs all of R to be measured."""
    matrix = _matrix(R)
    start = _vector("before", before, len(matrix))
    return {
        "average_accuracy": average_accuracy(matrix),
        "average_incremental_accuracy": average_incremental_accuracy(matrix),
        "forward_transfer": forward_transfer(matrix, start),
        "backward_transfer": backward_transfer(matrix),
        "initial_last_drop": float(initial_last_drop(matrix).mean()),
        "maximum_drop": float(maximum_drop(matrix).mean()),
        "drop_from_original": float(drop_from_original(start[:-1], matrix[-1, :-1]).mean()),
        "intransigence": float(intransigence(matrix, reference).mean()),
    }


def _matrix(R: ArrayLike) -> Floats:
    matrix = np.asarray(R, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        shape = "×".join(map(str, matrix.shape)) or "a single number"
        raise ValueError(
            f"R is {shape}: must be T×T, a row after each task and a column of each task; "
            "the model before any learning is given as `before`"
        )
    outside = ~(np.isnan(matrix) | ((matrix >= 0) & (matrix <= 1)))
    for i, j in np.argwhere(outside):
        raise ValueError(
            f"R[{i}, {j}]={matrix[i, j]:g}: accuracies are fractions between 0 and 1; "
            "divide percentages by 100"
        )
    return matrix


def _sequence(R: ArrayLike, what: str) -> Floats:
    matrix = _matrix(R)
    if len(matrix) < 2:
        raise ValueError(f"R is 1×1: {what} needs two tasks or more; add the task learned before")
    return matrix


def _vector(name: str, values: ArrayLike, size: int | None = None, highest: float = 1.0) -> Floats:
    """`values` as a vector of `size` measured numbers between 0 and `highest`."""
    vector = np.asarray(values, dtype=float)
    if vector.ndim != 1 or not vector.size or size not in (None, len(vector)):
        wanted = f"({size},)" if size else "(tasks,)"
        raise ValueError(f"{name} has shape {vector.shape}: must be {wanted}, a number a task")
    for j in np.flatnonzero(np.isnan(vector)):
        raise NotMeasured(f"{name}[{j}]=nan: not measured; measure the model on task {j}")
    for j in np.flatnonzero((vector < 0) | (vector > highest)):
        rule = "between 0 and 1; divide percentages by 100" if highest == 1 else "at least 0"
        raise ValueError(f"{name}[{j}]={vector[j]:g}: must be {rule}")
    return vector


def _entry(matrix: Floats, i: int, j: int, what: str) -> float:
    if np.isnan(matrix[i, j]):
        early = what == "the maximum drop" and i < j
        raise NotMeasured(
            f"R[{i}, {j}]=nan: {what} needs the accuracy on task {j} after learning task {i}; "
            "measure it" + ", or give since='learned'" * early
        )
    return float(matrix[i, j])


def _row(matrix: Floats, i: int, tasks: int, what: str) -> Floats:
    return np.array([_entry(matrix, i, j, what) for j in range(tasks)])


def _diagonal(matrix: Floats, tasks: int, what: str) -> Floats:
    return np.array([_entry(matrix, j, j, what) for j in range(tasks)])
