"""What a chapter's run spends beside training, measuring and sampling, as a share of its time.

    python benchmarks/overhead.py                        # the freezing chapter, laptop tier
    python benchmarks/overhead.py --chapter lora --tier classroom
    python benchmarks/overhead.py --source ../older/src  # another version of the library

The chapter runs as a reader runs it, `forgetting run`, from an empty store. Its kernel counts what
is spent inside training, measuring and sampling; everything else is overhead: imports, loading
models, figures and tables, and what the library adds: the graph, the store and papermill.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report

# Runs in the kernel before the notebook's first cell. A second of a function counts once, for the
# innermost of those that are running.
STARTUP = """
import atexit, functools, importlib, inspect, json, time

began, running, spent = time.perf_counter(), [], {}

def counted(function, part):
    @functools.wraps(function)
    def count(*given, **named):
        began = time.perf_counter()
        running.append(0.0)
        try:
            return function(*given, **named)
        finally:
            seconds = time.perf_counter() - began
            spent[part] = spent.get(part, 0.0) + seconds - running.pop()
            if running:
                running[-1] += seconds
    return count

for place, name, part in PARTS:
    module = importlib.import_module(f"forgetting.{place}")
    for name in [name] if name else [n for n, _ in inspect.getmembers(module, inspect.isfunction)]:
        setattr(module, name, counted(getattr(module, name), part))
spent["imports"] = time.perf_counter() - began
atexit.register(lambda: open(TOLD, "w").write(json.dumps(spent)))
"""
PARTS = [
    ("engine.training", "train", "training"),
    ("probes.evaluation", "evaluate", "measuring"),
    ("engine.compute", "samples", "sampling"),
    ("store", "put", "writing what is stored"),
    ("store", "get", "checking what is stored"),
    ("models.foundations", "load_model", "loading models"),
    ("models.foundations", "weights", "loading models"),
    ("engine.compute", "state", "loading models"),
    ("views.figures", "", "figures and tables"),  # every function of it
    ("views.tables", "", "figures and tables"),
]
USEFUL = ("training", "measuring", "sampling")
ELSEWHERE = ("imports", "loading models", "figures and tables")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--chapter", default="freezing")
    options.add_argument("--tier", default="laptop")
    options.add_argument("--source", help="the `src` folder of another version of the library")
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()
    numbers = measured(given)
    for words, value in numbers.items():
        print(f"{words}: {value}")
    if given.keep:
        title = f"A whole run: the chapter {given.chapter}, {given.tier} tier"
        report.keep(f"overhead_{given.chapter}", title, numbers)


def measured(given: argparse.Namespace) -> dict[str, float | str]:
    """Seconds of the whole run, and the share of each part."""
    from forgetting.home import home

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        startup, told = folder / "profile_default" / "startup", folder / "told.json"
        startup.mkdir(parents=True)
        (startup / "count.py").write_text(f"PARTS = {PARTS}\nTOLD = {str(told)!r}\n{STARTUP}")
        for found in home().iterdir():
            if found.name != "store":
                (folder / found.name).symlink_to(found)
        where = {
            "IPYTHONDIR": name,
            "FORGETTING_HOME": name,
            "FORGETTING_RESULTS": str(folder / "results"),
        }
        if given.source:
            where["PYTHONPATH"] = str(Path(given.source).absolute())
        command = [sys.executable, "-m", "forgetting.cli", "run", given.chapter]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--tier", given.tier], env=os.environ | where, check=False, stdout=sys.stderr
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            sys.exit(done.returncode)  # it has said why
        spent = json.loads(told.read_text())
    spent["papermill and the graph"] = seconds - sum(spent.values())
    useful = sum(spent.get(part, 0.0) for part in USEFUL)
    beside = sum(spent.get(part, 0.0) for part in ELSEWHERE)
    numbers = {
        "seconds": seconds,
        "overhead": f"{1 - useful / seconds:.1%}",
        "of it the graph, the store and papermill": f"{1 - (useful + beside) / seconds:.1%}",
    }
    return numbers | {part: f"{share / seconds:.1%}" for part, share in spent.items()}


if __name__ == "__main__":
    main()
