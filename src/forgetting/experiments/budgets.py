"""Budgets: how much a chapter may spend at a tier."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from forgetting.evidence.records import TIERS, Tier
from forgetting.registry import data_dir


class Budget(NamedTuple):
    """What a tier spends where nothing else is said: model, amount a run, rows (empty: all).

    `learning_rates` begin with the central one; `epochs` are those after which a run is measured.
    """

    model: str
    settings: dict[str, Any]
    rows: tuple[str, ...] = ()
    learning_rates: tuple[float, ...] = ()
    epochs: tuple[int, ...] = ()


RAW = {"tokens": 5120, "length": 256, "batch": 1}
PAIRS = {"style": "sft", "examples": 20, "length": 192, "batch": 2}
OWN_WORDS = ("gold", "gold (same questions)", "own", "paraphrase", "STM", "random mask")
# A random model answers nothing right and every word surprises it: "own" and "STM" have nothing.
OWN_WORDS_SMOKE = ("gold", "own or gold", "paraphrase", "random mask", "KL on free text")
OWN_WORDS_RATES = (3e-4, 1e-3)
OWN_ANSWERS = (
    "gold",
    "gold (same questions)",
    "gold (length of own)",
    "gold (length of paraphrase)",
    "own",
    "own or gold",
    "paraphrase",
)
OPERATION_RATES = (1e-4, 3e-5)
LORA_RATES = (1e-4, 3e-5, 3e-4)
LORA_EPOCHS = (1, 2, 4)
# LAMOL's optimiser is its code's. Theirs takes 1,500 steps and more a task; with 128 examples a
# step takes 2 and the rate is three times theirs. Before the runs, 64 examples did not teach
# WOZ, at 1e-4 in steps of 4 no dream was valid, and at 1e-3 LAMOL called every review the same. An
# example has 36 tokens (SST 33, QA-SRL 46, WOZ 28), twice that with its text; a step of
# two takes a second on 2 cores, as LAMOL two. Ten methods in one order were 60 minutes, GEM ten of
# them.
LAMOL = {"style": "sft", "length": 128, "batch": 2, "weight_decay": 0.01, "beta2": 0.999}
LAMOL |= {"epsilon": 1e-4, "warmup": 0.005, "decay": True}
LAMOL_RATES = (2e-4,)
LLAMA = "meta-llama/Llama-2-7b-hf"
# A review with its question and label has some 75 tokens, two of them the label's: 32 of them in
# three epochs are 7,000 tokens, 70 s on 2 cores; rewarded answers are at most four times as many.
LABELS = {"style": "sft", "length": 160, "batch": 4}
BUDGETS: dict[str, dict[Tier, Budget]] = {
    "operation": {
        "smoke": Budget(
            "tiny",
            LABELS | {"examples": 4, "length": 512},
            ("pre-train style", "SFT style"),
            OPERATION_RATES[:1],
            (2,),
        ),
        "classroom": Budget(
            "smollm2-135m",
            LABELS | {"examples": 24},
            ("pre-train style", "SFT style"),
            OPERATION_RATES[:1],
            (3,),
        ),
        "laptop": Budget("smollm2-135m", LABELS | {"examples": 32}, (), OPERATION_RATES, (3,)),
        "full": Budget(
            "smollm2-135m",
            LABELS | {"examples": 2048, "batch": 16},
            (),
            (*OPERATION_RATES, 1e-5, 3e-4),
            (3,),
        ),
        "paper": Budget(
            "meta-llama/Llama-3.1-8B-Instruct",
            LABELS | {"examples": 6920, "batch": 64},
            (),
            (1e-5, 1e-6, 5e-6),
            (2,),
        ),
    },
    "freezing": {
        "smoke": Budget("tiny", {"tokens": 256, "length": 64, "batch": 1}),
        "classroom": Budget("smollm2-135m", RAW, ("full", "freeze first third", "LoRA ×10")),
        "laptop": Budget("smollm2-135m", RAW),
        "full": Budget("smollm2-135m", {"tokens": 262_144, "length": 512, "batch": 8}),
        "paper": Budget(f"{LLAMA[:-2]}chat-hf", {"tokens": 10**9, "length": 4096, "batch": 64}),
    },
    # On 2 cores: 75 to 130 s to train a run, 55 s for a sweep's panel, 105 s for the whole one,
    # 149 s for the untouched model. Twelve runs, read twice, are 48 minutes; the stored ones were
    # read after two epochs as well.
    "lora": {
        "smoke": Budget(
            "tiny",
            PAIRS | {"examples": 4, "length": 1536},
            ("full", "LoRA r 4"),
            LORA_RATES,
            LORA_EPOCHS,
        ),
        "classroom": Budget(
            "smollm2-135m", PAIRS | {"examples": 10}, ("full", "LoRA r 4"), LORA_RATES[:1], (2, 4)
        ),
        "laptop": Budget(
            "smollm2-135m",
            PAIRS,
            ("full", "LoRA r 4", "LoRA r 64", "(IA)³"),
            LORA_RATES,
            (1, 4),
        ),
        "full": Budget(
            "smollm2-135m",
            PAIRS | {"examples": 2048, "length": 512, "batch": 16},
            (),
            (*LORA_RATES, 1e-5, 1e-3),
            (1, 2, 4, 8),
        ),
        "paper": Budget(
            LLAMA,
            PAIRS | {"examples": 395_000, "length": 1024, "batch": 768},
            (),
            LORA_RATES,
            (1, 2, 4, 8, 16),
        ),
    },
    # Six rows of 32 examples in three epochs are some 85,000 tokens a rate: 13 minutes at 110
    # tokens/s; eight answers to a question with three examples before it take two.
    "own_words": {
        "smoke": Budget(
            "tiny", PAIRS | {"examples": 4, "length": 1536}, OWN_WORDS_SMOKE, OWN_WORDS_RATES, (3,)
        ),
        "classroom": Budget(
            "smollm2-135m",
            PAIRS | {"examples": 12},
            ("gold", "STM", "random mask"),
            OWN_WORDS_RATES[:1],
            (3,),
        ),
        "laptop": Budget(
            "smollm2-135m", PAIRS | {"examples": 32}, OWN_WORDS, OWN_WORDS_RATES, (3,)
        ),
        "full": Budget(
            "smollm2-135m",
            PAIRS | {"examples": 1024, "length": 512, "batch": 16},
            (),
            (3e-4, 3e-5, 1e-4, 1e-3),
            (3,),
        ),
        "paper": Budget(
            "google/gemma-2-2b-it",
            PAIRS | {"examples": 374, "length": 4096},
            (),
            (2e-5, 2e-4),
            (3,),
        ),
    },
    # Some forty minutes on 2 cores, nearly half of them the labels repeated to the length of own.
    "own_answers": {
        "smoke": Budget(
            "tiny",
            LABELS | {"examples": 4, "length": 512},
            ("gold", "own or gold", "paraphrase"),
            (3e-4,),
            (3,),
        ),
        "classroom": Budget(
            "smollm2-135m",
            LABELS | {"examples": 16},
            ("gold (same questions)", "own"),
            (3e-4,),
            (3,),
        ),
        "laptop": Budget("smollm2-135m", LABELS | {"examples": 32}, OWN_ANSWERS, (3e-4,), (3,)),
        "full": Budget(
            "smollm2-135m",
            LABELS | {"examples": 1024, "batch": 16},
            (),
            (3e-4, 1e-4, 1e-3),
            (3,),
        ),
        "paper": Budget("google/gemma-2-2b-it", LABELS | {"examples": 374}, (), (2e-5, 2e-4), (3,)),
    },
    "lamol": {
        "smoke": Budget(
            "tiny", LAMOL | {"examples": 6, "length": 256}, ("fine-tune", "LAMOL"), LAMOL_RATES
        ),
        "classroom": Budget(
            "smollm2-135m",
            LAMOL | {"examples": 96},
            ("fine-tune", "LAMOL", "multitask"),
            LAMOL_RATES,
        ),
        "laptop": Budget(
            "smollm2-135m",
            LAMOL | {"examples": 128},
            (
                "fine-tune",
                "LAMOL",
                "multitask",
                "LAMOL task tokens",
                "real",
                "replay 5 %",
                "EWC",
                "SSR",
                "empty turn KL",
            ),
            LAMOL_RATES,
        ),
        "full": Budget(
            "smollm2-135m",
            LAMOL | {"batch": 4, "examples": 1900, "epochs": 3, "length": 512},
            (),
            (6.25e-5,),
        ),
        "paper": Budget(
            "gpt2",
            LAMOL | {"batch": 4, "examples": 1900, "epochs": 9, "length": 1024},
            (),
            (6.25e-5,),
        ),
    },
}


class BadChapter(ValueError):
    """A file of `data/chapters/` that does not say what a panel or a budget is."""


def of(chapter: str, tier: Tier) -> Budget:
    """What a chapter may spend at a tier."""
    return BUDGETS[chapter][tier]


def files() -> list[Path]:
    """The files of chapters that are written there and not here."""
    return sorted((data_dir() / "chapters").glob("*.toml"))


def read(path: Path) -> dict[str, Any]:
    """What such a file says. Raises `BadChapter` where it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadChapter(f"{path.name}: {type(error).__name__}: {error}") from error


def from_file(path: Path) -> dict[Tier, Budget]:
    """A chapter's budgets from its TOML file: `[budgets.<tier>]` has the fields of `Budget`.

    Raises `BadChapter`.
    """
    told = read(path)
    try:
        found = {
            tier: Budget(b["model"], b.get("settings", {}), tuple(b.get("rows", ())))
            for tier, b in told["budgets"].items()
        }
    except (TypeError, KeyError, AttributeError) as error:
        raise BadChapter(f"{path.name}: {type(error).__name__}: {error}") from error
    if unknown := found.keys() - set(TIERS):
        raise BadChapter(f"{path.name}: budgets.{min(unknown)}: tiers are {', '.join(TIERS)}")
    return found


BUDGETS |= {path.stem: from_file(path) for path in files()}
