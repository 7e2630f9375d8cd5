"""Records: what a System scored, and which of them are an experiment's own.

`results/records/<key>.json` is one System: the recipe of how it came to be, and its scores, session
by session. One more question appends a session; a checkpoint that two experiments share is measured
once. `results/<experiment>.json` is an experiment's index: its runs, each with its labels, its tier
and what stands there for each role. The smoke tier's files stay in the user's cache, so that a
toy's number never reaches a page. Every file's last field is the sha256 of what stands above it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forgetting import store
from forgetting.home import data_dir, home, setting
from forgetting.probes.scores import Sample, Scores

SCHEMA = 2
Tier = Literal["smoke", "classroom", "laptop", "full", "paper"]
TIERS: tuple[Tier, ...] = ("smoke", "classroom", "laptop", "full", "paper")
LARGEST = 100 * 1024  # bytes of a session
SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n}\n\Z')


class BadRecord(ValueError):
    """A file of records that is not what the schema asks for."""


class Session(BaseModel):
    """What was asked of a System in one go: scores by probe key, answers, where and when.

    `timing` has `date`, `seconds` and `peak_memory_mib` of the measurement.
    """

    model_config = ConfigDict(extra="forbid")

    scores: dict[str, Scores]
    samples: list[Sample] = []
    environment: dict[str, str]
    timing: dict[str, Any]


class Record(BaseModel):
    """One System: its recipe down to the foundation, and every session of questions.

    `computing` has the `seconds` and `peak_memory_mib` of its last step. Everything but timings is
    the same, byte for byte, whenever it is repeated on the same machine and versions.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA
    key: str
    model: dict[str, Any]
    lineage: dict[str, dict[str, Any]]
    trainable: int
    losses: list[float]
    # What became of a recipe's examples; a task's own say nothing.
    shown: dict[str, Any] = Field(default={}, exclude_if=lambda shown: not shown)
    computing: dict[str, Any] = Field(default={}, exclude_if=lambda computing: not computing)
    sessions: list[Session]

    def places(self, probes: Iterable[str]) -> dict[str, int]:
        """The first session that has each of these probe keys; those without one are left out."""
        places = {
            key: number
            for number in reversed(range(len(self.sessions)))
            for key in self.sessions[number].scores
        }
        return {key: places[key] for key in probes if key in places}


class Entry(BaseModel):
    """A run of an experiment in its index: labels, and where its scores are.

    `panel` names the roles and probes of the index's `panels`, `sessions` those of the record that
    have them. `start` marks the model from which every arm starts, `design` what runs share that
    may be compared: model, texts and settings beside the axes.
    """

    model_config = ConfigDict(extra="forbid")

    system: str
    tier: Tier
    design: str
    panel: str
    sessions: list[int]
    start: bool = Field(default=False, exclude_if=lambda start: not start)
    labels: dict[str, Any]


class Index(BaseModel):
    """An experiment's runs, and for each panel the probe key that stands for a role."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA
    experiment: str
    panels: dict[str, dict[str, str]] = {}
    runs: list[Entry] = []


@dataclass(frozen=True)
class Run:
    """One run of an experiment: its record, read by the roles of what the experiment asks.

    Two runs of an experiment differ in their labels: arm, rate, seed, epochs, order, …
    """

    experiment: str
    tier: Tier
    labels: dict[str, Any] = field(hash=False)
    record: Record = field(hash=False, repr=False)
    asked: Mapping[str, str] = field(hash=False, repr=False)  # probe key by role
    places: Mapping[str, int] = field(hash=False, repr=False)  # session by probe key
    design: str = ""
    start: bool = False

    @property
    def key(self) -> str:
        return self.record.key

    @property
    def model(self) -> dict[str, Any]:
        return self.record.model

    @property
    def lineage(self) -> dict[str, dict[str, Any]]:
        return self.record.lineage

    @property
    def trainable(self) -> int:
        return self.record.trainable

    @property
    def losses(self) -> list[float]:
        return self.record.losses

    @property
    def shown(self) -> dict[str, Any]:
        return self.record.shown

    @cached_property
    def seed(self) -> int:
        return int(self.labels["seed"])

    @property
    def last_step(self) -> dict[str, Any]:
        """The recipe of the last step of its lineage."""
        return list(self.lineage.values())[-1]

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """By role."""
        sessions = self.record.sessions
        return {role: sessions[self.places[key]].scores[key] for role, key in self.asked.items()}

    @cached_property
    def samples(self) -> list[Sample]:
        """What was answered, each named by its role."""
        return [
            sample.model_copy(update={"task": role})
            for role, key in self.asked.items()
            for sample in self.record.sessions[self.places[key]].samples
            if sample.task == self.scores[role].task
        ]

    @property
    def _sessions(self) -> list[Session]:
        return [self.record.sessions[number] for number in sorted(set(self.places.values()))]

    @property
    def environment(self) -> dict[str, str]:
        """Of its first session."""
        return self._sessions[0].environment

    @cached_property
    def timing(self) -> dict[str, Any]:
        """`date` of the last session; `seconds` in all, `training_seconds`, `peak_memory_mib`."""
        computing, sessions = self.record.computing, self._sessions
        spent = [computing, *(session.timing for session in sessions)]
        return {
            "date": max(session.timing["date"] for session in sessions),
            "seconds": round(sum(part.get("seconds", 0.0) for part in spent), 1),
            "training_seconds": computing.get("seconds", 0.0),
            "peak_memory_mib": max(part.get("peak_memory_mib", 0) for part in spent),
        }

    def mean(self, measure: str) -> float:
        """The mean of "role.metric", for instance "chinese.nats"."""
        role, _, metric = measure.rpartition(".")
        return self.scores_of(role).mean(metric)

    def stderr(self, measure: str) -> float:
        """The standard error of "role.metric" over items."""
        role, _, metric = measure.rpartition(".")
        return self.scores_of(role).stderr(metric)

    def scores_of(self, role: str) -> Scores:
        """Raises `KeyError` with the roles that there are."""
        if role not in self.scores:
            raise KeyError(f"role={role!r}: {self.key} was asked {', '.join(self.scores)}")
        return self.scores[role]


# -- folders -----------------------------------------------------------------------------------


def project_root() -> Path:
    """The book's folder: `FORGETTING_ROOT`, or the one that holds `data/`."""
    return Path(setting("FORGETTING_ROOT") or data_dir().parent)


def results_dir(tier: Tier) -> Path:
    """Where files of `tier` live: `results/` of the book, the cache for the smoke tier.

    `FORGETTING_RESULTS` names another folder for the readers' own runs.
    """
    if tier == "smoke":
        return home() / "results"
    return Path(setting("FORGETTING_RESULTS") or project_root() / "results")


def path_of(key: str, tier: Tier) -> Path:
    """The file of a System's record."""
    return results_dir(tier) / "records" / f"{key}.json"


def index_path(experiment: str, tier: Tier) -> Path:
    """The file of an experiment's index."""
    return results_dir(tier) / f"{experiment}.json"


def experiments(folder: Path | None = None) -> list[str]:
    """Experiments with published runs."""
    return sorted(path.stem for path in (folder or results_dir("laptop")).glob("*.json"))


# -- writing -----------------------------------------------------------------------------------


def append(record: Record, tier: Tier) -> Path:
    """Write a record, sealed, whole or not at all; of one that is there, add the new sessions.

    A session whose probes are all there already is not added. Raises `BadRecord` above 100 KiB a
    session, `NotStored` where the folder cannot be written to.
    """
    path = path_of(record.key, tier)
    for session in record.sessions:
        size = len(session.model_dump_json().encode()) // 1024
        if size > LARGEST // 1024:
            raise BadRecord(f"record {record.key}: {size} KiB, at most 100; store fewer samples")
    with _locked(path):
        if path.exists():
            there = load(path)
            asked = {(s.task, key) for old in there.sessions for key, s in _answers(old)}
            new = [
                session
                for session in record.sessions
                if not {(s.task, key) for key, s in _answers(session)} <= asked
            ]
            record = there.model_copy(update={"sessions": [*there.sessions, *new]})
        store.write_atomically(path, seal(record.model_dump(mode="json")))
    return path


def _answers(session: Session) -> Iterator[tuple[str, Scores | Sample]]:
    """What a session has, by probe key; samples as "said" by it."""
    yield from session.scores.items()
    yield from (("said", sample) for sample in session.samples)


def enter(experiment: str, tier: Tier, panel: Mapping[str, str], entries: Sequence[Entry]) -> None:
    """Note runs in an experiment's index; `panel` has the probe key of each role.

    A run that is there (System, tier and design) keeps its labels, and has the roles of both.
    """
    path = index_path(experiment, tier)
    with _locked(path):
        index = load_index(experiment, tier)
        by_run = {(entry.system, entry.tier, entry.design): entry for entry in index.runs}
        for entry in entries:
            place = entry.system, entry.tier, entry.design
            before = by_run.get(place, entry)
            roles = {**index.panels.get(before.panel, {}), **panel}
            name = store.hash_key(roles)[:8]
            index.panels[name] = roles
            sessions = sorted({*before.sessions, *entry.sessions})
            by_run[place] = before.model_copy(update={"panel": name, "sessions": sessions})
        runs = sorted(by_run.values(), key=lambda e: (e.tier, json.dumps(e.labels, sort_keys=True)))
        used = {entry.panel for entry in runs}
        panels = {name: roles for name, roles in sorted(index.panels.items()) if name in used}
        index = index.model_copy(update={"panels": panels, "runs": runs})
        text = seal(index.model_dump(mode="json"))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            store.write_atomically(path, text)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process changes the file at a time."""
    with store.explained(path.name, path.parent):
        locks = home() / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:20]
        lock = FileLock(locks / f"{name}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def seal(fields: dict[str, Any]) -> str:
    """Diff-friendly JSON, a line a field, with its own sha256 as the last field."""
    text = _pack(fields) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.removesuffix("\n}\n") + f',\n "sha256": "{digest}"\n}}\n'


# -- reading -----------------------------------------------------------------------------------


def load(path: Path) -> Record:
    """Read one record. Raises `BadRecord` naming the file and the first wrong field."""
    return read(path.read_bytes(), path.name)


def read(content: bytes, name: str) -> Record:
    """The record in a file's bytes; `name` is what errors call it."""
    return _validated(Record, content, name, "delete the file and run the chapter again")


def load_index(experiment: str, tier: Tier) -> Index:
    """An experiment's index; an empty one where it has no runs yet. Raises `BadRecord`."""
    path = index_path(experiment, tier)
    if not path.exists():
        return Index(experiment=experiment)
    remedy = "delete the file and run the chapter again: what is measured is kept"
    return _validated(Index, path.read_bytes(), path.name, remedy)


Model = TypeVar("Model", bound=BaseModel)


def _validated(kind: type[Model], content: bytes, name: str, remedy: str) -> Model:
    sealed = SEAL.search(content)
    if sealed is None:
        raise BadRecord(f"{name}: sha256: the file is cut or was changed; {remedy}")
    content = content[: sealed.start()] + b"\n}\n"
    if hashlib.sha256(content).hexdigest() != sealed[1].decode():
        raise BadRecord(f"{name}: sha256: the record was changed; {remedy}")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in first["loc"]) or "file"
        raise BadRecord(f"{name}: {location}: {first['msg']}; {remedy}") from error


def run_of(experiment: str, tier: Tier, roles: Mapping[str, str], entry: Entry) -> Run:
    """The run of an index entry. Raises `BadRecord` where its record is not there, or lacks a role.

    A role is looked for in the entry's own sessions first.
    """
    path = path_of(entry.system, tier)
    if not path.exists():
        raise BadRecord(
            f"{index_path(experiment, tier).name}: {entry.system}: {path.name} is missing; "
            "run the chapter again"
        )
    record = load(path)
    own = {
        key: number
        for number in reversed(entry.sessions)
        if number < len(record.sessions)
        for key in record.sessions[number].scores
    }
    places = {**record.places(roles.values()), **{k: own[k] for k in roles.values() if k in own}}
    if lacking := [role for role, key in roles.items() if key not in places]:
        raise BadRecord(f"{path.name}: {lacking[0]}: has no scores; run the chapter again")
    return Run(
        experiment=experiment,
        tier=tier,
        labels=entry.labels,
        record=record,
        asked=roles,
        places=places,
        design=entry.design,
        start=entry.start,
    )


def stored(experiment: str, tier: Tier = "laptop") -> list[Run]:
    """All runs of an experiment and tier, ordered by their labels."""
    index = load_index(experiment, tier)
    return [
        run_of(experiment, tier, index.panels[entry.panel], entry)
        for entry in index.runs
        if entry.tier == tier
    ]


def comparable(runs: Sequence[Run], design: str | None = None) -> list[Run]:
    """Runs of one design, the model that they start from first.

    Without a `design`, that of the run that was measured last.
    """
    if design is None:
        arms = [run for run in runs if not run.start] or list(runs)
        design = max(arms, key=lambda run: run.timing["date"]).design if arms else ""
    same = [run for run in runs if run.design == design]
    return sorted(same, key=lambda run: not run.start)


def start_of(runs: Iterable[Run]) -> Run:
    """The model from which the arms of these runs start. Raises `LookupError`."""
    for run in runs:
        if run.start:
            return run
    raise LookupError("these runs have no model that they start from")


def select(runs: Iterable[Run], **labels: Any) -> list[Run]:
    """Those runs whose labels equal `labels`."""
    return [run for run in runs if all(run.labels.get(k) == v for k, v in labels.items())]


def _pack(value: Any, indent: str = "") -> str:
    """JSON with one line a field; lists of plain values, and their objects, stay on one line."""
    if isinstance(value, dict) and value and (not indent or _nested(value)):
        inner = indent + " "
        lines = [f"{inner}{_plain(k)}: {_pack(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        inner = indent + " "
        return "[\n" + ",\n".join(inner + _pack(v, inner) for v in value) + f"\n{indent}]"
    return _plain(value)


def _nested(value: dict[str, Any]) -> bool:
    return any(isinstance(v, dict | list) for v in value.values())


def _plain(value: Any) -> str:
    if isinstance(value, float) and abs(value) < 1e15 and value == int(value):
        value = int(value)
    if isinstance(value, list):
        return "[" + ",".join(_plain(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)
