"""Run records: what a run measured and from which recipe, as small JSON files.

`results/<chapter>/<key>.json` is the ground truth of the published book. The smoke tier's records
stay in the user's cache, so that a toy's number never reaches a page. A file's last field is the
sha256 of the record above it; those of the first chapter were written without one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forgetting import store
from forgetting.probes.scores import Sample, Scores
from forgetting.registry import data_dir, home

SCHEMA = 1
Tier = Literal["smoke", "classroom", "laptop", "full", "paper"]
TIERS: tuple[Tier, ...] = ("smoke", "classroom", "laptop", "full", "paper")
LARGEST = 100 * 1024
SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n}\n\Z')


class BadRecord(ValueError):
    """A record file that is not what the schema asks for."""


class Record(BaseModel):
    """One run: a checkpoint's recipe, what it scored, and where and when that was measured.

    Everything but `timing` is the same, byte for byte, whenever the run is repeated on the same
    machine and versions.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA
    key: str
    chapter: str
    tier: Tier
    labels: dict[str, Any]
    model: dict[str, Any]
    lineage: dict[str, dict[str, Any]]
    trainable: int
    losses: list[float]
    # What became of a recipe's examples; a task's own say nothing.
    shown: dict[str, Any] = Field(default={}, exclude_if=lambda shown: not shown)
    scores: dict[str, Scores]
    samples: list[Sample]
    environment: dict[str, str]
    timing: dict[str, Any]

    @cached_property
    def seed(self) -> int:
        return int(self.labels["seed"])

    @property
    def training(self) -> dict[str, Any]:
        """The recipe of the last training step; empty for the untouched model."""
        last = list(self.lineage.values())[-1]
        return last if last["step"] == "train" else {}

    def mean(self, measure: str) -> float:
        """The mean of "task.metric", for instance "zh_articles.nats"."""
        task, _, metric = measure.rpartition(".")
        return self.scores[task].mean(metric)

    def stderr(self, measure: str) -> float:
        """The standard error of "task.metric" over items."""
        task, _, metric = measure.rpartition(".")
        return self.scores[task].stderr(metric)

    def to_json(self) -> str:
        """Diff-friendly JSON: a line a field, per-item lists packed on one line."""
        return _pack(self.model_dump(mode="json")) + "\n"


def project_root() -> Path:
    """The book's folder: `FORGETTING_ROOT`, or the one that holds `data/`."""
    return Path(os.environ.get("FORGETTING_ROOT") or data_dir().parent)


def results_dir(tier: Tier) -> Path:
    """Where records of `tier` live: `results/` of the book, the cache for the smoke tier.

    `FORGETTING_RESULTS` names another folder for the readers' own runs.
    """
    if tier == "smoke":
        return home() / "results"
    return Path(os.environ.get("FORGETTING_RESULTS") or project_root() / "results")


def path_of(chapter: str, key: str, tier: Tier) -> Path:
    return results_dir(tier) / chapter / f"{key}.json"


def save(record: Record) -> Path:
    """Write a record, sealed, whole or not at all.

    Raises `BadRecord` above 100 KiB, `NotStored` where the folder cannot be written to.
    """
    text = seal(record.to_json())
    if len(text.encode()) > LARGEST:
        size = len(text.encode()) // 1024
        raise BadRecord(f"record {record.key}: {size} KiB, at most 100; store fewer samples")
    path = path_of(record.chapter, record.key, record.tier)
    store.write_atomically(path, text)
    return path


def seal(text: str) -> str:
    """A record's text with its own sha256 as the last field."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.removesuffix("\n}\n") + f',\n "sha256": "{digest}"\n}}\n'


def load(path: Path) -> Record:
    """Read one record. Raises `BadRecord` naming the file and the first wrong field."""
    return read(path.read_bytes(), path.name)


def read(content: bytes, name: str) -> Record:
    """The record in a file's bytes; `name` is what errors call it."""
    remedy = "delete the file and run the chapter again"
    if found := SEAL.search(content):
        content = content[: found.start()] + b"\n}\n"
        if hashlib.sha256(content).hexdigest() != found[1].decode():
            raise BadRecord(f"{name}: sha256: the record was changed; {remedy}")
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise BadRecord(f"{name}: {field}: {first['msg']}; {remedy}") from error


def stored(chapter: str, tier: Tier = "laptop") -> list[Record]:
    """All records of a chapter and tier, ordered by their labels."""
    folder = results_dir(tier) / chapter
    found = (load(path) for path in sorted(folder.glob("*.json")))
    of_tier = [record for record in found if record.tier == tier]
    return sorted(of_tier, key=lambda r: json.dumps(r.labels, sort_keys=True))


def comparable(stored: Sequence[Record], like: Record | None = None) -> list[Record]:
    """Records of one kind: those like `like`, or the most numerous.

    They differ in method, rate, epochs, seed and the answers shown alone. One folder can hold runs
    of several models, texts and lengths; a table must not mix them. The untouched model belongs to
    every such set that it was measured for.
    """
    sets: dict[tuple[str, str], list[Record]] = {}
    for record in stored:
        if record.training:
            sets.setdefault(_kind(record), []).append(record)
    if like and like.training:
        chosen = sets.get(_kind(like), [])
    else:
        chosen = max(sets.values(), key=len, default=[])
    if not chosen:
        return []
    asked, digest = chosen[0].scores.keys(), chosen[0].model["digest"]
    untouched = [
        r
        for r in stored
        if not r.training and r.model["digest"] == digest and asked <= r.scores.keys()
    ]
    return untouched + chosen


VARIED = ("learning_rate", "epochs", "weight_decay")


def _kind(record: Record) -> tuple[str, str]:
    """The model's digest, and the training recipe without what a chapter's rows vary."""
    settings = {k: v for k, v in record.training["settings"].items() if k not in VARIED}
    taught = {k: v for k, v in record.training["task"].items() if k != "shown"}
    same = {"task": taught, "settings": settings}
    return record.model["digest"], json.dumps(same, sort_keys=True)


def chapters() -> list[str]:
    """Chapters with published records."""
    return sorted(p.name for p in results_dir("laptop").glob("*") if p.is_dir())


def select(records: Iterable[Record], **labels: Any) -> list[Record]:
    """Those records whose labels equal `labels`."""
    return [r for r in records if all(r.labels.get(k) == v for k, v in labels.items())]


def _pack(value: Any, indent: str = "") -> str:
    """JSON with one line a field; lists of plain values stay on one line."""
    if isinstance(value, dict) and value:
        inner = indent + " "
        lines = [f"{inner}{_plain(k)}: {_pack(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        inner = indent + " "
        return "[\n" + ",\n".join(inner + _pack(v, inner) for v in value) + f"\n{indent}]"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, float) and abs(value) < 1e15 and value == int(value):
        value = int(value)
    if isinstance(value, list):
        return "[" + ",".join(_plain(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)
