"""A study on one process and on workers beside each other: seconds, and whether records agree.

    python benchmarks/scheduler.py                                       # 16 runs on `tiny`
    python benchmarks/scheduler.py --runs 16 --model smollm2-135m --tokens 1024
    python benchmarks/scheduler.py --sides 1,2,local:2,apart:2 --items 4 --rounds 2

Sides: `1` and `2` are one process with as many threads; `local:2` is two workers that share two
cores; `apart:2` is two processes that know nothing of each other and do half of the runs each: what
two cores can do at best. Each side starts from an empty store in a process of its own, one side
after the other. Printed are seconds from the first step to the last record, without what every side
pays once (imports and the start of workers, printed apart), and the ratio to the first side.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import report

from forgetting import Cell, LoRA, Task, foundation, home

NAMES = {
    "1": "one process, one thread",
    "2": "one process, two threads",
    "apart:2": "two processes apart, half of the runs each",
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--runs", type=int, default=16)
    options.add_argument("--model", default="tiny")
    options.add_argument("--tokens", type=int, default=512, help="training tokens a run")
    options.add_argument("--length", type=int, default=128)
    options.add_argument("--items", type=int, default=8, help="test items a task")
    options.add_argument("--sides", default="1,local:2")
    options.add_argument("--rounds", type=int, default=1, help="runs of each side, in turn")
    options.add_argument("--side", help="one side alone, as JSON")
    options.add_argument("--part", default="0/1", help="with --side, which part of the runs")
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()
    if given.rounds < 1:
        sys.exit(f"--rounds {given.rounds}: at least 1")
    if given.side:
        print(json.dumps(measure(given)))
        return
    _ = foundation(given.model).foundation.folder  # unpacked once, for all sides
    found: dict[str, list[dict]] = {side: [] for side in given.sides.split(",")}
    for side, done in list(found.items()) * given.rounds:
        done.append(started(side, sys.argv[1:]))
        print(
            f"{side}: {done[-1]['seconds']:.1f} s for {given.runs} runs "
            f"(and {done[-1]['start']:.1f} s to start), "
            f"{done[-1]['threads']} threads a process",
            flush=True,
        )
    numbers = compared(found)
    for words, value in numbers.items():
        print(f"{words}: {value}")
    if given.keep:
        title = f"A study of {given.runs} runs: one process, and workers beside each other"
        report.keep("scheduler", title, numbers)


def compared(found: dict[str, list[dict]]) -> dict[str, float | str]:
    """Seconds of each side, its speed in terms of the first, and whether the records agree.

    Seconds are medians over rounds; of two rounds, their mean.
    """
    first, *others = found
    names = {side: NAMES.get(side, f"`{side}`") for side in found}
    seconds = {side: statistics.median(one["seconds"] for one in found[side]) for side in found}
    numbers: dict[str, float | str] = {"runs of a side": len(found[first])}
    numbers |= {f"{names[side]}, seconds": seconds[side] for side in found}
    for side in others:
        ratio = seconds[first] / seconds[side]
        numbers[f"{names[side]}, times as fast as {names[first]}"] = ratio
    alike: dict[str, list[list[str]]] = {}
    for one in itertools.chain.from_iterable(found.values()):
        alike.setdefault(one["threads"], []).append(one["records"])
    for threads, texts in alike.items():  # the last digits depend on how many threads add
        if len(texts) > 1:
            same = all(text == texts[0] for text in texts)
            runs = f"records of the {len(texts)} runs whose processes have as many threads"
            numbers[f"{runs} ({threads})"] = "the same" if same else "OTHERS"
    return numbers


def started(side: str, arguments: list[str]) -> dict:
    """One side's measurement, from a fresh process and an empty store."""
    if side.startswith("apart:"):
        return started_apart(int(side.removeprefix("apart:")), arguments)
    threads = side if side.isdigit() else side.removeprefix("local:")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "models").symlink_to(home.home() / "models")
        environment = {
            "FORGETTING_HOME": folder,
            "OMP_NUM_THREADS": threads,
            "FORGETTING_SCHEDULER": "" if side.isdigit() else side,
        }
        return report.in_a_fresh_process(*arguments, "--side", side, **environment)


def started_apart(count: int, arguments: list[str]) -> dict:
    """As many processes at once as `count` says, each with one thread and its part of the runs."""
    with ThreadPoolExecutor(count) as pool:
        parts = [["--part", f"{number}/{count}"] for number in range(count)]
        found = list(pool.map(lambda part: started("1", [*arguments, *part]), parts))
    slowest = max(found, key=lambda one: one["seconds"])
    texts = sorted(itertools.chain.from_iterable(one["records"] for one in found))
    return slowest | {"records": texts}


def measure(given: argparse.Namespace) -> dict:
    """Seconds of the study once every process has begun, and a hash of the records."""
    from forgetting.experiments import study

    part, parts = map(int, given.part.split("/"))
    base = foundation(given.model)
    task = Task("zh_everyday")
    settings = {"tokens": given.tokens, "length": given.length, "batch": 1}
    cells = [
        Cell(
            base.train(task, tune=LoRA(), seed=seed, **settings),
            {"method": "LoRA", "learning_rate": 3e-4, "seed": seed},
        )
        for seed in range(given.runs)[part::parts]
    ]
    asks = [Task(name, given.items) for name in ("zh_everyday", "arc_easy_standin", "english")]
    said: list[float] = []
    began = time.monotonic()
    runs = study.measure("b", cells, asks, "smoke", say=lambda _: said.append(time.monotonic()))
    ended = time.monotonic()
    left_out = {"computing": True, "sessions": {"__all__": {"timing", "environment"}}}
    texts = [json.dumps(run.record.model_dump(mode="json", exclude=left_out)) for run in runs]
    return {
        "start": said[0] - began,
        "seconds": ended - said[0],
        "threads": runs[0].environment["threads"],
        "records": sorted(hashlib.sha256(text.encode()).hexdigest() for text in texts),
    }


if __name__ == "__main__":
    main()
