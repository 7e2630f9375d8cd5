"""Fine-tuning on rows of uneven length: the library beside TRL's SFTTrainer.

    python benchmarks/training.py                  # the very batches of TRL, one epoch
    python benchmarks/training.py --case own       # each side's own order, held-out loss, 3 seeds
    python benchmarks/training.py --case frozen    # the last third of the blocks, three epochs
    python benchmarks/training.py --split          # the library alone: where its time goes

The rows are word problems, function calls and instructions in equal parts (GSM8K, OpenFunctions,
Alpaca), up to 1024 tokens long; the answer alone is supervised. The two sides run in
turn, each time in a process of its own; nothing else should run. Printed are seconds, useful
tokens a second (padding is none), the peak of resident memory and how far the losses are apart.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import random
import re
import shutil
import statistics
import sys
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import report

MIX = ("gsm8k_pinned", "openfunctions", "alpaca")
LENGTH, ROOM_FOR_TEMPLATE, HELD_OUT = 1024, 64, 24
CASES = {  # epochs, share of the blocks that move, seeds
    "same": (1, 1.0, 1),
    "own": (1, 1.0, 3),
    "frozen": (3, 1 / 3, 1),
}
PRODUCTS, ATTENTION, OTHER = "matrix products", "attention", "all else"
KINDS = {  # patterns of PyTorch's operations
    PRODUCTS: r"aten::(add)?b?mm_?",
    ATTENTION: r"aten::.*scaled_dot_product.*",
    "number by number: norms, gates, places, sums": (
        r"aten::(mul_?|add_?|silu|silu_backward|pow|cat|neg|sum|mean|rsqrt|div)"
    ),
    "AdamW and the gradient's norm": r"aten::(_fused_adamw_|linalg_vector_norm)",
    "memory filled with zeros": r"aten::(fill_|zero_)",
}
TITLES = {
    "same": "in TRL's very batches",
    "own": "in batches of our own choosing",
    "frozen": "the last third of the blocks, three epochs",
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--case", default="same", choices=CASES)
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--examples", type=int, default=48)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--rate", type=float, default=1e-5, help="learning rate")
    options.add_argument("--rounds", type=int, default=1, help="runs of each side and seed")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--recompute", action="store_true", help="TRL's gradient checkpointing")
    options.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    options.add_argument("--split", action="store_true", help="where time goes on a CPU")
    options.add_argument(
        "--compile", action="store_true", help="with --split, blocks compiled too; needs g++"
    )
    options.add_argument("--side", choices=["ours", "trl"], help="one side alone, as JSON")
    options.add_argument("--seed", type=int, default=0, help="with --side")
    options.add_argument("--keep", action="store_true", help="store the result for the README")
    given = options.parse_args()
    if given.examples % given.batch:
        sys.exit(f"--examples {given.examples}: make it a multiple of --batch {given.batch}")
    if given.rounds < 1:
        sys.exit(f"--rounds {given.rounds}: at least 1")
    if given.compile and not given.split:
        sys.exit("--compile: belongs to --split")
    if given.compile and not shutil.which(compiler := os.environ.get("CXX", "g++")):
        sys.exit(f"--compile: no C++ compiler {compiler} is here; install it or set CXX")
    if given.split:
        numbers = split(given)
        for words, value in numbers.items():
            print(f"{words}: {value}")
        if given.keep:
            report.keep("training_split", "Training: where the library's time goes", numbers)
        return
    if given.side != "ours" and importlib.util.find_spec("trl") is None:
        sys.exit(
            "trl is not installed, and it is what the library is compared with: pip install trl"
        )
    if given.side:
        print(json.dumps(measure(given)))
        return
    seeds = range(CASES[given.case][2])
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "trl": []}
    for seed in [seed for seed in seeds for _ in range(given.rounds)]:
        for name, done in runs.items():
            done.append(side(name, seed))
            print(
                f"{name}, seed {seed}: {done[-1]['seconds']:.1f} s, "
                f"{done[-1]['tokens'] / done[-1]['seconds']:.0f} useful tokens/s, "
                f"{done[-1]['memory']:.0f} MiB at most, "
                f"held-out loss {done[-1]['held_out']:.4f}",
                flush=True,
            )
    numbers = compared(runs["ours"], runs["trl"], same_rows=given.case != "own")
    for words, value in numbers.items():
        print(f"{words}: {value}")
    if given.keep:
        report.keep(f"training_{given.case}", f"Training: {TITLES[given.case]}", numbers)


def compared(
    ours: list[dict[str, Any]], trl: list[dict[str, Any]], *, same_rows: bool
) -> dict[str, Any]:
    """The two sides beside each other: medians over rounds and seeds."""

    def ratio(name: str) -> float:
        one, other = (statistics.median(run[name] for run in runs) for runs in (trl, ours))
        return one / other

    numbers = {
        "rows": ours[0]["rows"],
        "tokens": ours[0]["tokens"],
        "supervised tokens": ours[0]["supervised"],
        "runs a side": len(ours),
        "speed, times TRL's": ratio("seconds"),
        "memory, of TRL's": 1 / ratio("memory"),
    }
    if ours[0]["share"] is not None:
        share = [statistics.median(run["share"] for run in runs) for runs in (ours, trl)]
        numbers["share of the rate of matrix products"] = f"{share[0]:.0%}; TRL {share[1]:.0%}"
    if same_rows:
        pairs = [
            (a, b)
            for one, other in zip(ours, trl, strict=True)
            for a, b in zip(one["losses"], other["losses"], strict=True)
        ]
        apart = max(abs(a - b) / b for a, b in pairs)
        numbers["losses of a step, apart at most, relative"] = f"{apart:.1e} ({len(pairs)} steps)"
    gaps = [one["held_out"] - other["held_out"] for one, other in zip(ours, trl, strict=True)]
    numbers["held-out loss, ours less TRL's, nats"] = f"{statistics.mean(gaps):+.4f}"
    if not same_rows and len(gaps) > 1:
        spread = statistics.stdev(run["held_out"] for run in trl)
        numbers["spread of TRL's held-out loss over seeds, nats"] = f"{spread:.4f}"
    return numbers


def split(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a full fine-tuning once its memory is touched, and shares of its operations.

    The shares come from another run, with PyTorch's profiler; its seconds are told too.
    """
    import torch

    from forgetting import foundation
    from forgetting.engine import compute, training
    from forgetting.lineage import Settings
    from forgetting.models.rows import sft_rows
    from forgetting.tuning import Full

    torch.set_num_threads(given.threads)
    network, tokenizer = compute.model(foundation(given.model))
    network = Full().apply(network)
    mix = mixture(given.examples, tokenizer)
    settings = Settings(
        style="sft",
        examples=given.examples,
        batch=given.batch,
        length=LENGTH,
        learning_rate=given.rate,
        precision=given.precision,
    )

    def seconds_of_training(what: str) -> float:
        started = time.perf_counter()
        training.train(network, tokenizer, dialogue(mix), settings, 0)
        seconds = time.perf_counter() - started
        print(f"{what}: {seconds:.1f} s", flush=True)
        return seconds

    seconds_of_training("touching memory")
    seconds = seconds_of_training("timed")
    product = rate_of_products(network, given.precision)
    for _ in range(2):  # the first time, the profiler's own notes touch memory
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
            profiled_seconds = seconds_of_training("with the profiler")
    kinds = shares_of_kinds(profiled)
    rows = sft_rows(dialogue(mix), tokenizer, settings, seed=0)
    useful = useful_operations(network, rows)
    with_attention = useful + attention_operations(network, rows)
    products = kinds[PRODUCTS] + kinds[ATTENTION]
    numbers = {
        "tokens": sum(len(row["input_ids"]) for row in rows),
        "seconds": seconds,
        "seconds with the profiler": profiled_seconds,
        **{kind: f"{share:.0%}" for kind, share in kinds.items()},
        "share of the rate of matrix products": f"{useful / seconds / product:.0%}",
        "the same, attention's products counted": f"{with_attention / seconds / product:.0%}",
        "the same, were all else free": f"{with_attention / seconds / products / product:.0%}",
    }
    if given.compile:
        compile_blocks(network)
        seconds_of_training("compiling")
        compiled = seconds_of_training("compiled")
        product = rate_of_products(network, given.precision)
        numbers |= {
            "compiled: speed, times as fast": seconds / compiled,
            "compiled: share of the rate": f"{useful / compiled / product:.0%}",
            "compiled: attention's products counted": f"{with_attention / compiled / product:.0%}",
        }
    return numbers


def shares_of_kinds(profiled: Any) -> dict[str, float]:
    """Of the time that PyTorch's operations took on the CPU, each of `KINDS` and the rest."""
    spent = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    shares = dict.fromkeys([*KINDS, OTHER], 0.0)
    for operation, of_operation in spent.items():
        matching = (kind for kind, names in KINDS.items() if re.fullmatch(names, operation))
        shares[next(matching, OTHER)] += of_operation / sum(spent.values())
    return shares


def compile_blocks(network: Any) -> None:
    """`torch.compile` for all in a block but attention, whose rows differ from step to step."""
    import torch
    from transformers import AttentionInterface

    by_row = AttentionInterface()["by_row"]
    AttentionInterface.register("by_row", torch.compiler.disable(by_row))
    blocks = next(p for p in network.base_model.children() if isinstance(p, torch.nn.ModuleList))
    for block in blocks:
        block.compile(dynamic=True)


def useful_operations(network: Any, rows: list[dict[str, Any]]) -> float:
    """Floating point operations of an epoch of full fine-tuning: the head at supervised tokens."""
    tokens = sum(len(row["input_ids"]) for row in rows)
    supervised = sum(int((row["labels"][1:] != -100).sum()) for row in rows)
    head = network.get_output_embeddings().weight.numel()
    inside = sum(p.numel() for p in network.base_model.parameters()) - head
    return 6.0 * (inside * tokens + head * supervised)


def attention_operations(network: Any, rows: list[dict[str, Any]]) -> float:
    """Those of attention's own products, which no weight counts: of a row's square the lower half.

    Chowdhery et al. (2022, appendix B) count the whole square.
    """
    config = network.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    squares = sum(len(row["input_ids"]) ** 2 for row in rows)
    return 6.0 * config.num_hidden_layers * config.num_attention_heads * width * squares


def side(name: str, seed: int) -> dict[str, Any]:
    """One side's measurement, from a fresh process."""
    return report.in_a_fresh_process(*sys.argv[1:], "--side", name, "--seed", str(seed))


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds that the steps take once model and rows are loaded, and the losses."""
    import torch

    from forgetting import foundation
    from forgetting.engine import compute, training
    from forgetting.lineage import Settings
    from forgetting.models.rows import sft_rows
    from forgetting.tuning import Full, OnlyLast

    torch.set_num_threads(given.threads)
    epochs, moving, _ = CASES[given.case]
    network, tokenizer = compute.model(foundation(given.model))
    layers = network.config.num_hidden_layers
    tune = Full() if moving == 1 else OnlyLast(round(layers * moving))
    settings = Settings(
        style="sft",
        examples=given.examples,
        epochs=epochs,
        batch=given.batch,
        length=LENGTH,
        learning_rate=given.rate,
        precision=given.precision,
    )
    mix = mixture(given.examples + HELD_OUT, tokenizer)
    everything = settings.model_copy(update={"examples": len(mix), "epochs": 1})
    as_rows = sft_rows(dialogue(mix), tokenizer, everything, seed=0)
    rows, unseen = as_rows[: given.examples], as_rows[given.examples :]
    product = rate_of_products(network, given.precision) if moving == 1 else None
    tuned = tune.apply(network)
    if given.side == "ours":
        started = time.perf_counter()
        losses = training.train(
            tuned, tokenizer, dialogue(mix[: given.examples]), settings, given.seed
        )
        seconds = time.perf_counter() - started
    else:
        seconds, losses = train_with_trl(tuned, tokenizer, rows, settings, given)
    tokens = sum(len(row["input_ids"]) for row in rows)
    supervised = sum(int((row["labels"][1:] != -100).sum()) for row in rows)
    useful = epochs * useful_operations(network, rows)
    return {
        "seconds": seconds,
        "losses": losses,
        "memory": peak_memory(),
        "rows": len(rows) * epochs,
        "tokens": tokens * epochs,
        "supervised": supervised * epochs,
        "share": useful / seconds / product if product else None,
        "held_out": loss_of(network.eval(), unseen),
    }


def mixture(count: int, tokenizer: Any) -> list[Any]:
    """`count` questions and answers that fit a row, tasks mixed, the same ones in every run."""
    from forgetting import Task

    def fits(example: Any) -> bool:
        text = example.question + example.answer
        return len(tokenizer(text).input_ids) <= LENGTH - ROOM_FOR_TEMPLATE

    examples = []
    for name in MIX:
        fitting = filter(fits, Task(name).training_examples(seed=0))
        examples += itertools.islice(fitting, -(-count // len(MIX)))
    random.Random(0).shuffle(examples)
    return [replace(example, chat=True) for example in examples[:count]]


def dialogue(examples: list[Any]) -> Any:
    """The examples as what `training` asks of a task; its order is drawn from the seed."""

    def drawn(seed: int) -> list[Any]:
        return random.Random(seed).sample(examples, len(examples)) if seed else examples

    return SimpleNamespace(name="mixture", training_examples=drawn)


def train_with_trl(
    network: Any, tokenizer: Any, rows: list[dict[str, Any]], settings: Any, given: Any
) -> tuple[float, list[float]]:
    """Seconds and the loss of each step. But for `own`, the rows come in the library's order."""
    import tempfile

    import datasets
    from trl import SFTConfig, SFTTrainer

    from forgetting.engine import training

    own = given.case == "own"
    if not own:
        rows = [row for step in training.steps_of(rows, settings, seed=0) for row in step]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SFTConfig(
            output_dir=scratch,
            per_device_train_batch_size=settings.batch,
            num_train_epochs=settings.epochs if own else 1,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="constant",
            weight_decay=settings.weight_decay,
            adam_beta2=settings.beta2,
            adam_epsilon=settings.epsilon,
            max_grad_norm=settings.clip,
            train_sampling_strategy="random" if own else "sequential",
            seed=given.seed,
            bf16=settings.precision == "bfloat16",
            gradient_checkpointing=given.recompute,
            max_length=LENGTH,
            dataset_kwargs={"skip_prepare_dataset": True},
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=network.device.type == "cpu",
        )
        trainer = SFTTrainer(
            model=network,
            args=arguments,
            processing_class=tokenizer,
            train_dataset=datasets.Dataset.from_list(
                [{name: tensor.tolist() for name, tensor in row.items()} for row in rows]
            ),
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    return seconds, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def peak_memory() -> float:
    """The most memory that this process held on its GPU, or else in all, MiB."""
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rate_of_products(network: Any, precision: str) -> float:
    """Floating point operations a second that products of the model's own shapes reach."""
    import torch

    dtype = getattr(torch, precision)
    config = network.config
    states = torch.randn(1024, config.hidden_size, dtype=dtype, device=network.device)
    weight = torch.randn(
        config.hidden_size, config.intermediate_size, dtype=dtype, device=network.device
    )
    torch.mm(states, weight).sum().item()
    times, started = 0, time.perf_counter()
    while time.perf_counter() - started < 1:
        for _ in range(9):
            torch.mm(states, weight)
        torch.mm(states, weight)[0, 0].item()  # waits for a GPU
        times += 10
    return 2 * states.numel() * weight.shape[1] * times / (time.perf_counter() - started)


def loss_of(network: Any, rows: list[dict[str, Any]]) -> float:
    """Nats per supervised token of rows, each read alone."""
    import torch

    total, count = 0.0, 0
    with torch.no_grad():
        for row in rows:
            supervised = row["labels"][1:] != -100
            ids = row["input_ids"][None].to(network.device)
            hidden = network.base_model(ids).last_hidden_state[0, :-1]
            logits = network.get_output_embeddings()(hidden[supervised]).cpu()
            wanted = row["labels"][1:][supervised]
            total += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
            count += len(wanted)
    return total / count


if __name__ == "__main__":
    main()
