"""A small study on `tiny`, for the tests of what runs and keeps studies."""

import json

from forgetting import Full, LoRA, Run, Task, foundation, measure

CHINESE = Task("zh_everyday")
SMALL = [Task("zh_everyday", 2), Task("arc_easy_standin", 2), Task("prompts_en", 2)]


def runs(rank=4):
    """The untouched model, two seeds of full tuning, and a LoRA."""
    base = foundation("tiny")
    methods = [("full", Full(), 0), ("full", Full(), 1), ("LoRA", LoRA(rank=rank), 2)]
    quick = {"tokens": 128, "length": 32, "batch": 2, "learning_rate": 1e-3}
    taught = [
        Run(
            base.train(CHINESE, tune=tune, seed=seed, **quick),
            {"method": name, "learning_rate": 1e-3, "seed": seed},
        )
        for name, tune, seed in methods
    ]
    return [Run(base, {"method": "untouched", "learning_rate": 0.0, "seed": 0}), *taught]


def small_study(panel=SMALL, asked=None, show=("prompts_en",), say=lambda line: None, where=None):
    return measure("trial", asked or runs(), panel, "smoke", show=show, say=say, where=where)


def files(home):
    """The records of a home as text, by name, without their timing and the seal over it."""
    found = {}
    for path in sorted((home / "results" / "trial").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content.pop("timing")["seconds"] >= 0 and content.pop("sha256")
        found[path.name] = json.dumps(content, indent=1, ensure_ascii=False)
    return found
