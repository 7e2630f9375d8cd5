"""What several tests need: runs of plain values, and a small study on `tiny`."""

import hashlib
import json

from forgetting import Cell, Full, LoRA, Task, foundation, measure, store
from forgetting.evidence import records
from forgetting.evidence.claims import Verdict
from forgetting.evidence.records import Entry, Record, Run, Session
from forgetting.probes.scores import Sample, Scores

CHINESE = Task("zh_everyday")
BASE = "ba5e" * 5  # the key of the model that arms start from
SMALL = [Task("zh_everyday", 2), Task("arc_easy_standin", 2), Task("prompts_en", 2)]


def scores(task="quiz", *, version=1.0, templates="abcd", n=None, tokens=None, **items):
    """Scores of a task: a list of values, one an item, for each metric."""
    items = {metric: [float(value) for value in values] for metric, values in items.items()}
    n = len(next(iter(items.values()))) if n is None else n
    about = {"task": task, "version": version, "templates": templates, "batch": 8}
    return Scores(**about, n=n, items=items, tokens=tokens)


def run(
    method="full",
    learning_rate=1e-4,
    seed=0,
    asked=None,
    *,
    labels=None,
    answers=None,
    experiment="trial",
    tier="laptop",
    design="",
    environment=None,
    timing=None,
    **recorded,
):
    """A run of plain values; the method "untouched" is the model that every arm starts from.

    `asked` has `scores`, or their arguments, by role; `answers` (prompt, answer)s by role. `labels`
    are further ones, `timing` is the session's, and `recorded` are fields of the record. The run's
    System is named by `key`: by default after its labels, or `BASE`, which arms are trained from.
    """
    labels = {"method": method, "learning_rate": learning_rate, "seed": seed} | (labels or {})
    asked = {"quiz": {"acc": [1, 0, 1]}} if asked is None else asked
    by_role = {r: s if isinstance(s, Scores) else scores(r, **s) for r, s in asked.items()}
    answers = [(role, *pair) for role, pairs in (answers or {}).items() for pair in pairs]
    session = Session(
        scores={f"probe of {role}": of_role for role, of_role in by_role.items()},
        samples=[Sample(task=by_role[role].task, prompt=p, answer=a) for role, p, a in answers],
        environment={"device": "none"} | (environment or {}),
        timing={"date": "2026-01-02T00:00:00Z", "seconds": 1.0, "peak_memory_mib": 1}
        | (timing or {}),
    )
    start = method == "untouched"
    key = recorded.get("key", BASE if start else store.hash_key(labels))
    settings = {"learning_rate": learning_rate}
    lineage = {BASE: {"step": "foundation", "digest": "d"}}
    lineage |= {key: {"step": "train", "parent": BASE, "settings": settings, "seed": seed}}
    record = {
        "key": key,
        "model": {"name": "tiny", "digest": "d", "layers": 2, "parameters": 1000},
        "lineage": {key: lineage[BASE]} if start else lineage,
        "trainable": 0,
        "losses": [],
        "sessions": [session],
    }
    return Run(
        experiment=experiment,
        tier=tier,
        labels=labels,
        record=Record(**record | recorded),
        sessions=dict.fromkeys(by_role, session),
        scores=by_role,
        samples=[
            Sample(task=role, prompt=prompt, answer=answer) for role, prompt, answer in answers
        ],
        design=design,
        start=start,
    )


def put(*runs):
    """Write runs of `run` as files: each one's record, and its entry in its experiment's index."""
    for each in runs:
        records.append(each.record, each.tier)
        entry = Entry(
            system=each.key,
            tier=each.tier,
            design=each.design,
            sessions=[0],
            start=each.start,
            labels=each.labels,
        )
        panel = {role: f"probe of {role}" for role in each.scores}
        records.enter(each.experiment, each.tier, panel, [entry])


def cell(checkpoint, method, rate=1e-3, seed=0, **given):
    """A place of a grid, under this name."""
    return Cell(checkpoint, {"method": method, "learning_rate": rate, "seed": seed}, **given)


def verdict(**changes):
    """A claim on the chapter on freezing, reversed at the laptop tier."""
    about = {
        "id": "toy",
        "statement": "Freezing | keeps\nall",
        "paper": "Li & Lee (2024)",
        "citation": "li2024examining",
        "source": "C1",
        "chapter": "freezing",
        "verdict": "reversed",
        "effect": -0.12345,
        "low": -0.2,
        "high": -0.05,
        "direction": "greater",
        "tolerance": 0.02,
        "unit": "nats",
        "tier": "laptop",
        "seeds": 3,
        "date": "2026-11-21",
        "why": "It was small.",
    }
    return Verdict(**about | changes)


NOT_RUN = {"verdict": "not tested", "seeds": 0}
NOT_RUN |= dict.fromkeys(("effect", "low", "high", "tier", "date"))


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def register(data, files, licence="CC0"):
    """Write the registry of a folder of data: the set `tiny`, with the bytes of `files` by path."""
    lines = [
        f'["{path}", {len(content)}, "{hashlib.sha256(content).hexdigest()}"],'
        for path, content in files.items()
    ]
    (data / "registry.toml").write_text(
        f'[tiny]\nabout = "two files"\nrepo = "someone/some-data"\ncommit = "{COMMIT}"\n'
        f'licence = "{licence}"\nfiles = [{"".join(lines)}]\n',
        encoding="utf-8",
    )


def mirror_of(folder, files):
    """Lay the set `tiny` out as a mirror does, and return its own folder."""
    for path, content in files.items():
        file = folder / "someone__some-data" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder / "someone__some-data"


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


def drifting(arm, rate, epochs, nats, drift, **recorded):
    """Three seeds of the chapter on LoRA: four items of new answers, old text and old answers."""
    kl = {"old text": drift, "old answers": 2 * drift}
    asked = {role: {"forward_kl": [value] * 4, "tokens": [1] * 4} for role, value in kl.items()}
    asked["new answers"] = {"log_likelihood": [-nats] * 4, "tokens": [1] * 4}
    labels = {"epochs": epochs} if epochs else {}
    about = {"labels": labels, "experiment": "lora"} | recorded
    return [run(arm, rate, seed, asked, **about) for seed in range(3)]
