"""A small study on `tiny`, for the tests of what runs and keeps studies."""

import json

from forgetting import Cell, Full, LoRA, Task, foundation, measure

CHINESE = Task("zh_everyday")
SMALL = [Task("zh_everyday", 2), Task("arc_easy_standin", 2), Task("prompts_en", 2)]


def cell(checkpoint, method, rate=1e-3, seed=0, **given):
    """A place of a grid, under this name."""
    return Cell(checkpoint, {"method": method, "learning_rate": rate, "seed": seed}, **given)


def cells(rank=4):
    """The untouched model, two seeds of full tuning, and a LoRA."""
    base = foundation("tiny")
    arms = [("full", Full(), 0), ("full", Full(), 1), ("LoRA", LoRA(rank=rank), 2)]
    quick = {"tokens": 128, "length": 32, "batch": 2, "learning_rate": 1e-3}
    return [
        cell(base, "untouched", 0.0, start=True),
        *(
            cell(base.train(CHINESE, tune=tune, seed=seed, **quick), name, seed=seed)
            for name, tune, seed in arms
        ),
    ]


def small_study(asks=SMALL, asked=None, keep=("prompts_en",), say=lambda line: None, where=None):
    return measure("trial", asked or cells(), asks, "smoke", keep=keep, say=say, where=where)


def files(home):
    """A home's records, and what its indexes say of each run, as text by name: all but timings.

    Timings and seals have to be there. An index that lacks runs is a part of one that has them.
    """
    texts = {}
    for path in sorted((home / "results").glob("**/*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert len(content.pop("sha256")) == 64
        for session in content.get("sessions", ()):
            assert session.pop("timing")["seconds"] >= 0
        assert content.pop("computing", {"seconds": 0})["seconds"] >= 0
        for run in content.pop("runs", ()):
            run["panel"] = content["panels"][run["panel"]]
            texts[f"{path.stem} {run['system']}"] = json.dumps(run, indent=1)
        if "key" in content:
            texts[path.stem] = json.dumps(content, indent=1, ensure_ascii=False)
    return texts
