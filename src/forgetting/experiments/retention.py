"""What may be lost, all of it: the tasks that ask for it, with how many items of each."""

from __future__ import annotations

from forgetting.experiments.asks import Data, Source, resolve
from forgetting.tasks import Task

# Everything that may be lost: all the knowledge, commonsense, reading, form and manners that a book
# without a target of its own can ask for. No answer is longer than 64 tokens; IFEval's are.
ITEMS: dict[Data, dict[str, int]] = {
    "public": {
        "hellaswag_pinned": 100,
        "arc_easy_pinned": 160,
        "arc_challenge_pinned": 160,
        "openbookqa_pinned": 160,
        "piqa_pinned": 120,
        "winogrande_pinned": 160,
        "boolq_pinned": 40,
        "truthfulqa_mc1_pinned": 40,
        "knowledge_zh": 68,
        "lambada_pinned": 100,
        "wikitext2": 32,
        "dolly": 48,
        "formats": 48,
        "formats_zh": 40,
        "advbench": 30,
        "xstest_safe": 30,
        "harmful_zh": 30,
        "harmless_zh": 30,
        "refusal_margin_advbench": 48,
        "refusal_margin_xstest": 48,
        "refusal_margin_harmful_zh": 30,
        "prompts_en": 16,
        "prompts_zh": 16,
    },
    "bundled": {
        "hellaswag_standin": 80,
        "arc_easy_standin": 80,
        "winogrande_standin": 80,
        "facts_en": 432,
        "facts_zh": 432,
        "knowledge_zh": 68,
        "english": 44,
        "chat": 60,
        "formats": 48,
        "formats_zh": 40,
        "harmful_en": 30,
        "harmless_en": 30,
        "harmful_zh": 30,
        "harmless_zh": 30,
        "refusal_margin_harmful_en": 30,
        "refusal_margin_harmless_en": 30,
        "refusal_margin_harmful_zh": 30,
        "prompts_en": 16,
        "prompts_zh": 16,
    },
}


def retention(source: Source) -> list[Task]:
    """Everything that may be lost, at least 1,500 items: choices, likelihoods, short answers.

    It is read within six minutes by two cores, so what has long passages stands in it with fewer
    items (BoolQ, TruthfulQA) or not at all (DRCD, IFEval). `auto` is public data where all that is
    read here is at hand. Chinese text, which experiments teach, is not in it.
    """
    return [
        Task(name, items)
        for name, items in ITEMS[resolve(source, map(Task, ITEMS["public"]))].items()
    ]
