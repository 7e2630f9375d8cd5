"""Merging models in folders: `forgetting merge` beside mergekit, on the same two models.

    python benchmarks/merging.py                          # SmolLM2-135M, TIES and linear
    python benchmarks/merging.py --kit /path/to/mergekit  # where `pip install --target` put it
    python benchmarks/merging.py --model gemma3-270m

The two models are the base with noise of 1 % of each tensor's length, and mergekit has the base in
float32 as well. mergekit is tried with each of its settings for a CPU, and its fastest counts
(`pip install mergekit==0.1.5`). One runs after the other, each in a process of its own, from its
first import to its last byte; nothing else should run. Printed are seconds, their ratio, memory at
most, and how many weights differ.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import report

RECIPES: dict[str, dict[str, Any]] = {
    "ties": {"density": 0.2, "weight": 1.0},
    "linear": {"weight": 0.5},
}
SETTINGS = {
    "as it is": [],
    "lazily": ["--lazy-unpickle"],
    "lazily, written beside": ["--lazy-unpickle", "--async-write"],
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--methods", nargs="+", choices=[*RECIPES], default=[*RECIPES])
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--rounds", type=int, default=1, help="runs a side; the fastest counts")
    options.add_argument("--kit", default="", help="a folder that holds mergekit")
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()
    numbers: dict[str, Any] = {"threads": given.threads}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        make(given.model, place)
        for name in given.methods:
            numbers |= compared(given, name, place)
    for words, value in numbers.items():
        print(f"{words}: {value}")
    if given.keep:
        report.keep("merging", f"Merging two models of {given.model}'s kind", numbers)


def make(name: str, place: Path) -> None:
    """The base and two models near it, as folders."""
    import torch
    from safetensors.torch import save_file

    from forgetting import foundation
    from forgetting.models import foundations

    source = foundation(name).foundation
    state = foundations.weights(source.folder)
    model = foundations.load_model(source.folder)
    for number, folder in enumerate(("base", "chat", "domain")):
        model.save_pretrained(place / folder)  # with `architectures`, which mergekit reads
        source.tokenizer().save_pretrained(place / folder)
        dice = torch.Generator().manual_seed(number)
        moved = {}
        for key, tensor in state.items():
            noise = torch.randn(tensor.shape, generator=dice)
            moved[key] = tensor + bool(number) * 0.01 * tensor.norm() / noise.norm() * noise
        save_file(moved, place / folder / "model.safetensors", metadata={"format": "pt"})


def compared(given: argparse.Namespace, name: str, place: Path) -> dict[str, Any]:
    """Both sides' numbers for a method."""
    base = {} if name == "linear" else {"base_model": str(place / "base")}
    models = [
        {"model": str(place / each), "parameters": RECIPES[name]} for each in ("chat", "domain")
    ]
    recipe = place / f"{name}.yaml"  # JSON is YAML
    written = {"merge_method": name, **base, "models": models, "dtype": "float32"}
    recipe.write_text(json.dumps(written))
    threads = {"OMP_NUM_THREADS": str(given.threads)}
    command = [sys.executable, "-m", "forgetting.cli", "merge", str(recipe), "--force", "--out"]
    ours = best(given, [*command, str(place / "ours")], threads)
    kit = [sys.executable, "-m", "mergekit.scripts.run_yaml", str(recipe), str(place / "theirs")]
    kit += ["--num-threads", str(given.threads), "--quiet"]
    paths = {"PYTHONPATH": given.kit} if given.kit else {}
    tried = {words: best(given, [*kit, *more], threads | paths) for words, more in SETTINGS.items()}
    setting = min(tried, key=lambda words: tried[words]["seconds"])
    theirs = tried[setting]
    return {
        f"{name}: the library, seconds": ours["seconds"],
        f"{name}: mergekit {setting}, seconds": theirs["seconds"],
        f"{name}: speed, times mergekit's": theirs["seconds"] / ours["seconds"],
        f"{name}: the library, MiB at most": round(ours["memory"]),
        f"{name}: mergekit, MiB at most": round(theirs["memory"]),
        f"{name}: memory, of mergekit's": ours["memory"] / theirs["memory"],
        f"{name}: weights that differ, a million": apart(place / "ours", place / "theirs"),
    }


def best(
    given: argparse.Namespace, command: list[str], environment: dict[str, str]
) -> dict[str, float]:
    """The fastest of a command's runs: seconds, and MiB at most, from a process that waits."""
    return min(
        (
            report.in_a_fresh_process("--timed", json.dumps([command, environment]))
            for _ in range(given.rounds)
        ),
        key=lambda run: run["seconds"],
    )


def timed(command: list[str], environment: dict[str, str]) -> None:
    """Run a command, and print what it took; its memory is that of this process's only child."""
    started = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "memory": most}))


def apart(ours: Path, theirs: Path) -> float:
    """How many of a million weights differ by more than rounding.

    Of changes that are equally large at the border of what TIES keeps, each side keeps others.
    """
    from forgetting.models import weight_files

    one, other = weight_files.weights(ours), weight_files.weights(theirs)
    if one.keys() != other.keys():
        sys.exit(f"other names: {sorted(one.keys() ^ other.keys())[:3]}")
    differ = sum(int(((one[name] - other[name]).abs() > 1e-6).sum()) for name in one)
    return 1e6 * differ / sum(one[name].numel() for name in one)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        timed(*json.loads(sys.argv[2]))
    else:
        main()
