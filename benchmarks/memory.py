"""Memory of a training step: the estimate beside what was measured.

    python benchmarks/memory.py                              # SmolLM2-135M, twelve configurations
    python benchmarks/memory.py --configurations full:1:128  # tuning:batch:length, with commas

Each configuration trains two steps in a process of its own; measured is the most memory that this
process ever held, from its start until its weights are stored.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path

import report

CONFIGURATIONS = [
    f"{tuning}:{shape}"
    for tuning in ("full", "freeze", "lora")
    for shape in ("1:128", "2:256", "1:512", "4:512")
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--configurations", default=",".join(CONFIGURATIONS))
    options.add_argument("--one", help="one configuration, in this process, as JSON")
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()
    if given.one:
        print(json.dumps(measure(given.model, given.one)))
        return
    numbers: dict[str, str] = {}
    print("tuning:batch:length   estimated  measured  error   parts (MB)")
    for name in given.configurations.split(","):
        with tempfile.TemporaryDirectory() as folder:
            from forgetting import foundation, home

            _ = foundation(given.model).foundation.folder
            (Path(folder) / "models").symlink_to(home.home() / "models")
            found = report.in_a_fresh_process(
                "--model", given.model, "--one", name, FORGETTING_HOME=folder
            )
        error = found["estimated"] / found["measured"] - 1
        parts = ", ".join(f"{part} {size / 1e6:.0f}" for part, size in found["parts"].items())
        print(
            f"{name:<20} {found['estimated'] / 1e6:7.0f} MB {found['measured'] / 1e6:6.0f} MB "
            f"{error:+6.1%}   {parts}; {found['stages']}",
            flush=True,
        )
        tuning, batch, length = name.split(":")
        numbers[f"{tuning}, {batch} × {length} tokens"] = (
            f"{found['estimated'] / 1e6:,.0f} / {found['measured'] / 1e6:,.0f} MB, {error:+.0%}"
        )
    if given.keep:
        report.keep("memory", f"Memory of training {given.model}: estimated / measured", numbers)


def measure(model: str, name: str) -> dict:
    """Estimated and measured bytes."""
    from forgetting import FreezeFirst, Full, LoRA, Task, foundation
    from forgetting.engine import compute, training
    from forgetting.experiments import resources, study

    kind, batch, length = name.split(":")
    base = foundation(model)
    tune = {"full": Full(), "freeze": FreezeFirst(base.layers * 2 // 3), "lora": LoRA()}[kind]
    shape = {"batch": int(batch), "length": int(length)}
    tokens = 2 * shape["batch"] * shape["length"]
    checkpoint = base.train(Task("zh_everyday"), tune=tune, tokens=tokens, **shape)
    stages = {"start": peak()}
    memory = resources.training_memory(base, tune, checkpoint.step.settings)
    assert study
    peaks, training_step = [], training.OrderedTrainer.training_step

    def watched(*arguments):
        loss = training_step(*arguments)
        peaks.append(peak())
        return loss

    training.OrderedTrainer.training_step = watched
    compute.make(checkpoint)
    stages |= {"first step": peaks[0], "last step": peaks[-1], "stored": peak()}
    return {
        "estimated": memory.peak,
        "measured": peak(),
        "parts": memory._asdict(),
        "stages": {stage: round(size / 1e6) for stage, size in stages.items()},
    }


def peak() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


if __name__ == "__main__":
    main()
