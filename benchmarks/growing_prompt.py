"""A prompt that grows by a question and its answer: read once, beside read whole every time.

    python benchmarks/growing_prompt.py                      # 32 questions of the code book
    python benchmarks/growing_prompt.py --task dbpedia_kinds --items 40 --keep

Every question is answered with the likeliest of the task's answers, after all questions before it
with their right answers. Both sides read the same prompts in one process, one after the other;
nothing else should run. Printed are tokens read, seconds, their ratios, and whether the answers are
the same.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence

import report


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--task", default="codes")
    options.add_argument("--items", type=int, default=32)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()

    import torch

    from forgetting.engine import compute
    from forgetting.lineage import foundation
    from forgetting.models.family import family_of
    from forgetting.models.growing_prompt import GrowingPrompt
    from forgetting.probes.playing import Writer
    from forgetting.probes.streams import Stream
    from forgetting.tasks import Task

    torch.set_num_threads(given.threads)
    model, tokenizer = compute.model(foundation(given.model))
    stream = Stream(Task(given.task, given.items), closed=True)
    write = Writer(model, tokenizer, stream.task, stream.labels())
    prompts, before = [], ""
    for document in stream.documents():
        write.example = stream.task.example(document)
        prompts.append([*write.choices(before + write.example.question).values()])
        before += f"{write.example.question} {write.example.answer}\n\n"
    once = GrowingPrompt(model)
    ours = timed(once.log_likelihoods, prompts)
    theirs = timed(lambda rows: family_of(model).log_likelihoods(model, rows), prompts)
    whole = sum(len(rows[0]["input_ids"]) for rows in prompts)
    numbers = {
        "questions": len(prompts),
        "tokens of the longest prompt": max(len(rows[0]["input_ids"]) for rows in prompts),
        "threads": given.threads,
        "tokens read, growing": once.read,
        "tokens read, whole": whole,
        "growing, seconds": ours[0],
        "whole, seconds": theirs[0],
        "speed, times whole reading's": theirs[0] / ours[0],
        "answers that differ": sum(a != b for a, b in zip(ours[1], theirs[1], strict=True)),
    }
    for words, value in numbers.items():
        print(f"{words}: {value}")
    if given.keep:
        report.keep("growing_prompt", "A prompt that grows", numbers)


def timed(read: Callable, prompts: Sequence) -> tuple[float, list[int]]:
    """Seconds, and the place of the likeliest answer to each prompt; the first warms up."""
    read(prompts[0])
    started, answers = time.perf_counter(), []
    for rows in prompts:
        sums = [float(each.log_likelihoods.sum()) for each in read(rows)]
        answers.append(max(range(len(sums)), key=sums.__getitem__))
    return time.perf_counter() - started, answers


if __name__ == "__main__":
    main()
