"""Planning a study: a graph of 10,000 keyed steps, wide, in chains and of diamonds.

    python benchmarks/graph.py                # seconds until the first step could start
    python benchmarks/graph.py --steps 1000   # a smaller one
    python benchmarks/graph.py --dask         # and the same on Dask, with empty steps

Nothing trains. Planning includes every key, the check for stored records and the graph; what is
computed once a process (the hashes of data sets, task files read) is done before.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import report

from forgetting import Cell, Checkpoint, FreezeFirst, Task, chapters, foundation
from forgetting.engine import scheduler
from forgetting.experiments.study import Question, plan


def wide(base: Checkpoint, task: Task, runs: int) -> list[Checkpoint]:
    """One step from the base each."""
    return [base.train(task, seed=seed) for seed in range(runs)]


def chains(base: Checkpoint, task: Task, runs: int, length: int = 50) -> list[Checkpoint]:
    """Sequences of `length` tasks, measured after each."""
    found: list[Checkpoint] = []
    for number in range(runs):
        parent = base if number % length == 0 else found[-1]
        found.append(parent.train(task, seed=number))
    return found


def diamonds(base: Checkpoint, task: Task, runs: int) -> list[Checkpoint]:
    """A ladder: two trainings from one checkpoint, merged, trained again."""
    found, parent = [], base
    for number in range(runs // 3):
        one = parent.train(task, seed=number)
        two = parent.train(task, tune=FreezeFirst(1), seed=number)
        parent = one + 0.5 * (two - one)
        found += [one, two, parent]
        if number % 15 == 14:  # a ladder of 15 rungs; its keys were twice as many with each
            parent = base
    return found


SHAPES: dict[str, Callable[..., list[Checkpoint]]] = {
    "wide": wide,
    "chains": chains,
    "diamonds": diamonds,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--steps", type=int, default=10_000)
    options.add_argument("--dask", action="store_true", help="run empty steps on one worker, too")
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()
    numbers: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as home:
        os.environ["FORGETTING_HOME"] = home
        freezing = chapters.experiment("freezing")
        base, task = foundation("tiny"), freezing.taught("laptop", "bundled")["chinese"]
        probes = freezing.probes("laptop", "bundled")
        plan([Question("graph", "smoke", [Cell(base.train(task), LABELS)], probes)])
        for name, shape in SHAPES.items():
            started = time.perf_counter()
            cells = [Cell(checkpoint, LABELS) for checkpoint in shape(base, task, given.steps // 3)]
            named = time.perf_counter()
            graph = plan([Question("graph", "smoke", cells, probes)])
            ended = time.perf_counter()
            print(
                f"{name}: {len(graph)} steps in {ended - started:.2f} s "
                f"({named - started:.2f} s to write down, {ended - named:.2f} s to plan)",
                flush=True,
            )
            numbers[f"{name}: {len(graph):,} steps, seconds to plan"] = ended - started
            if given.dask:
                numbers[f"{name}: milliseconds a step on Dask"] = on_dask(name, graph)
    if given.keep:
        report.keep("graph", "Planning a study", numbers)


def on_dask(name: str, graph: scheduler.Graph) -> float:
    """Run the graph with steps that do nothing; milliseconds a step."""
    empty = {key: replace(step, work=_nothing) for key, step in graph.items()}
    said: list[float] = []
    started = time.perf_counter()
    scheduler.run(empty, where="local:1", say=lambda _: said.append(time.perf_counter()))
    ended = time.perf_counter()
    a_step = 1000 * (ended - said[0]) / len(graph)
    print(
        f"{name} on Dask: the first step starts after {said[0] - started:.1f} s, "
        f"{a_step:.1f} ms a step",
        flush=True,
    )
    return a_step


LABELS = {"method": "full", "learning_rate": 3e-4, "seed": 0}


def _nothing(*_: object) -> None:
    pass


if __name__ == "__main__":
    main()
