"""Answers to prompts of mixed length: the library beside `model.generate` in static batches.

    python benchmarks/sampling.py                         # 200 prompts, batches of 32
    python benchmarks/sampling.py --prompts 100 --batch 64
    python benchmarks/sampling.py --order sorted          # static batches of similar length

Both sides answer the same prompts (word problems, instructions and the book's own small tasks, in
the chat template) greedily with the same batch size. The static batches are taken in the prompts'
order, or, as lm-eval takes them, sorted by length. The sides alternate, each run in a process of
its own; nothing else should run. Printed are seconds, their ratio, and which answers differ; these
are compared with what each prompt gets alone if `--alone` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

import report

# Tasks with questions of different lengths: from the public sets, and without them.
PUBLIC = ("gsm8k_pinned", "ifeval_pinned")
BUNDLED = ("formats", "prompts_en")
ALWAYS = ("mini_qa", "mini_sql", "mini_maths", "mini_state", "mini_sentiment", "mini_calls")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--prompts", type=int, default=200)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--new", type=int, default=128, help="tokens an answer has at most")
    options.add_argument("--order", default="mixed", choices=["mixed", "sorted"])
    options.add_argument("--rounds", type=int, default=1, help="runs of each side")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--alone", action="store_true", help="compare with batches of one, too")
    options.add_argument("--side", choices=["ours", "theirs", "alone"], help="one side, as JSON")
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()
    if given.side:
        print(json.dumps(measure(given)))
        return
    runs: dict[str, list[dict]] = {"ours": [], "theirs": []}
    for _ in range(given.rounds):
        for name, done in runs.items():
            done.append(side(given, name))
            print(f"{name}: {done[-1]['seconds']:.1f} s", flush=True)
    ours, theirs = runs["ours"][0]["answers"], runs["theirs"][0]["answers"]
    mean = {name: statistics.median(run["seconds"] for run in done) for name, done in runs.items()}
    written = [len(ids) for ids in ours]
    numbers = {
        "prompts": f"{len(ours)} of {runs['ours'][0]['lengths']} tokens",
        "threads": given.threads,
        "answers, tokens": sum(written),
        "answers cut short": sum(n == given.new for n in written),
        "the library, seconds": mean["ours"],
        f"generate in batches of {given.batch}, seconds": mean["theirs"],
        "speed, times generate's": mean["theirs"] / mean["ours"],
        "the library, MiB at most": round(max(run["memory"] for run in runs["ours"])),
        "generate, MiB at most": round(max(run["memory"] for run in runs["theirs"])),
        "answers that differ": differing(ours, theirs),
    }
    if given.alone:
        alone = side(given, "alone")["answers"]
        numbers["ours that differ from the prompt alone"] = differing(ours, alone)
        numbers["theirs that differ from the prompt alone"] = differing(theirs, alone)
    for words, value in numbers.items():
        print(f"{words}: {value}")
    if given.keep:
        report.keep("sampling", f"Sampling, prompts {given.order}", numbers)


def differing(one: list[list[int]], other: list[list[int]]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def side(given: argparse.Namespace, name: str) -> dict:
    """One side's measurement, from a fresh process."""
    command = ["--side", name, "--model", given.model]
    command += ["--order", given.order]
    for option in ("prompts", "batch", "new"):
        command += [f"--{option}", str(getattr(given, option))]
    return report.in_a_fresh_process(*command, OMP_NUM_THREADS=str(given.threads))


def questions(number: int) -> list[str]:
    """As many from each task, in turns."""
    from forgetting import Task

    tasks = [Task(name) for name in (*PUBLIC, *ALWAYS)]
    if any(task.missing() for task in tasks):
        tasks = [Task(name) for name in (*BUNDLED, *ALWAYS)]
    each = -(-number // len(tasks))
    lists = [[t.example(d).question for d in t.documents("test")[:each]] for t in tasks]
    return [asked for turn in zip(*lists, strict=True) for asked in turn][:number]


def measure(given: argparse.Namespace) -> dict:
    """Seconds to answer all prompts once the model is loaded, and the answers' tokens."""
    import resource

    from forgetting import foundation
    from forgetting.engine import compute
    from forgetting.models import template
    from forgetting.models.family import family_of
    from forgetting.tasks import Turn

    model, tokenizer = compute.model(foundation(given.model))
    texts = [template.chat(tokenizer, [Turn("user", q)]) for q in questions(given.prompts)]
    prompts = [template.ids(tokenizer, text) for text in texts]
    started = time.perf_counter()
    if given.side == "ours":
        answer = family_of(model).answer
        done = answer(model, tokenizer, prompts, max_new_tokens=given.new, batch=given.batch)
        answers = [completion.ids for completion in done]
    else:
        size = given.batch if given.side == "theirs" else 1
        answers = in_static_batches(model, tokenizer, prompts, given.new, size, given.order)
    lengths = sorted(map(len, prompts))
    return {
        "seconds": time.perf_counter() - started,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "lengths": f"{lengths[0]} to {lengths[-1]} (median {statistics.median(lengths):.0f})",
        "answers": answers,
    }


def in_static_batches(model, tokenizer, prompts, new, batch, order) -> list[list[int]]:
    """What `model.generate` writes, without end tokens, with the padding that it needs."""
    import torch

    end = tokenizer.eos_token_id
    at = list(range(len(prompts)))
    if order == "sorted":
        at.sort(key=lambda index: -len(prompts[index]))
    answers: dict[int, list[int]] = {}
    for start in range(0, len(at), batch):
        members = at[start : start + batch]
        together = tokenizer.pad(
            {"input_ids": [prompts[index] for index in members]},
            padding_side="left",
            return_tensors="pt",
        )
        with torch.no_grad():
            out = model.generate(
                **together, max_new_tokens=new, do_sample=False, pad_token_id=end
            ).tolist()
        for index, ids in zip(members, out, strict=True):
            ids = ids[together["input_ids"].shape[1] :]
            answers[index] = ids[: ids.index(end)] if end in ids else ids
    return [answers[index] for index in range(len(prompts))]


if __name__ == "__main__":
    main()
