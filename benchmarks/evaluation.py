"""Reading the retention panel: the library beside lm-eval's own HFLM, on the same items.

    python benchmarks/evaluation.py            # SmolLM2-135M, every item of the panel
    python benchmarks/evaluation.py --items 10 # ten items a task
    python benchmarks/evaluation.py --side ours # the library alone

HFLM is given its best batch size, found on a few items of each task before. The two run one after
the other, each in a process of its own; nothing else should run. Printed are seconds, their ratio,
and whether every answer is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import report

BATCH_SIZES = (1, 8, 32)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--items", type=int, help="items a task (default: the panel's own)")
    options.add_argument("--source", default="auto", choices=["auto", "public", "bundled"])
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--side", choices=["ours", "theirs"], help="one side alone, as JSON")
    options.add_argument("--batch", type=int, help="HFLM's batch size (default: found by trial)")
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()
    if given.side:
        measured = measure(given.side, given.model, given.source, given.items, given.batch)
        print(json.dumps(measured))
        return
    trial = {given.batch: 0.0} if given.batch else {}
    for size in () if given.batch else BATCH_SIZES:
        trial[size] = side(given, "theirs", size, items=2)["seconds"]
        print(f"HFLM, 2 items a task, batch {size}: {trial[size]:.1f} s", flush=True)
    best = min(trial, key=trial.__getitem__)
    ours = side(given, "ours", None, given.items)
    theirs = side(given, "theirs", best, given.items)
    differ = [name for name in ours["answers"] if ours["answers"][name] != theirs["answers"][name]]
    gap = max(
        abs(a - b)
        for name in ours["likelihoods"]
        for a, b in zip(ours["likelihoods"][name], theirs["likelihoods"][name], strict=True)
    )
    numbers = {
        "items": ours["items"],
        "tasks": len(ours["answers"]),
        "threads": given.threads,
        "the library, seconds": ours["seconds"],
        f"HFLM in batches of {best}, seconds": theirs["seconds"],
        "speed, times HFLM's": theirs["seconds"] / ours["seconds"],
        "the library, MiB at most": round(ours["memory"]),
        "HFLM, MiB at most": round(theirs["memory"]),
        "tasks with another answer": ", ".join(differ) or "none",
        "largest gap between likelihoods, nats": f"{gap:.1e}",
    }
    for words, value in numbers.items():
        print(f"{words}: {value}")
    if given.keep:
        report.keep("evaluation", "Reading the retention panel", numbers)


def side(given: argparse.Namespace, name: str, batch: int | None, items: int | None) -> dict:
    """One side's measurement, from a fresh process."""
    command = ["--side", name, "--model", given.model]
    command += ["--source", given.source]
    command += ["--items", str(items)] if items else []
    command += ["--batch", str(batch)] if batch else []
    return report.in_a_fresh_process(*command, OMP_NUM_THREADS=str(given.threads))


def measure(name: str, model: str, source: str, items: int | None, batch: int | None) -> dict:
    """Seconds to answer the panel once model and documents are loaded, and the answers."""
    import logging
    import resource

    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager, get_task_dict

    from forgetting import foundation, tasks
    from forgetting.engine import compute
    from forgetting.experiments import retention
    from forgetting.probes.evaluation import FamilyLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    network, tokenizer = compute.model(foundation(model))
    if name == "ours":
        lm = FamilyLM(network, tokenizer)
    else:
        lm = HFLM(pretrained=network, tokenizer=tokenizer, batch_size=batch, max_length=2048)
    manager = TaskManager(include_path=str(tasks.folder()), include_defaults=False)
    panel = retention.retention(source)
    loaded = {task.name: get_task_dict([task.name], manager)[task.name] for task in panel}
    wanted = {
        task.name: list(range(min(items or len(them.eval_docs), task.items or 10**9)))
        for task, them in ((task, loaded[task.name]) for task in panel)
    }
    wanted = {name: at[: len(loaded[name].eval_docs)] for name, at in wanted.items()}
    samples = {}
    started = time.perf_counter()
    for chat in (False, True):
        group = [task.name for task in panel if task.chat == chat]
        if group:
            done = evaluate(
                lm,
                {name: loaded[name] for name in group},
                samples={name: wanted[name] for name in group},
                apply_chat_template=chat,
                bootstrap_iters=0,
                log_samples=True,
            )
            samples |= done["samples"]
    seconds = time.perf_counter() - started
    answers, likelihoods = {}, {}
    for task in panel:
        logged = sorted(samples[task.name], key=lambda sample: sample["doc_id"])
        generated = task.config["output_type"] == "generate_until"
        replies = [[reply[0] for reply in sample["resps"]] for sample in logged]
        if generated:
            answers[task.name] = replies
            continue
        numbers = [[r[0] if isinstance(r, (tuple, list)) else r for r in one] for one in replies]
        answers[task.name] = [one.index(max(one)) for one in numbers]
        likelihoods[task.name] = [value for one in numbers for value in one]
    return {
        "seconds": seconds,
        "items": sum(map(len, wanted.values())),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "answers": answers,
        "likelihoods": likelihoods,
    }


if __name__ == "__main__":
    main()
