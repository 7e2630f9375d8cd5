"""Records: what a System scored, and which of them are an experiment's own.

`results/records/<key>.json` is one System: the recipe of how it came to be, and its scores, session
by session. One more question appends a session; a checkpoint that two experiments share is measured
once. `results/<experiment>.json` is an experiment's index: its runs, each with its labels, its tier
and what stands there for each role. The smoke tier's files stay in the user's cache, so that a
toy's number never reaches a page. Every file is sealed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from forgetting import store
from forgetting.evidence.schema import TIERS, Entry, Index, Record, Session, Tier
from forgetting.evidence.sealed import BadRecord, seal, unseal
from forgetting.home import data_dir, home, setting
from forgetting.probes.scores import Sample, Scores

__all__ = ["TIERS", "BadRecord", "Entry", "Index", "Record", "Run", "Session", "Tier"]
LARGEST = 100  # KiB of a session


@dataclass(frozen=True)
class Run:
    """One run of an experiment: its record, read by the roles of what the experiment asks.

    Two runs of an experiment differ in their labels: arm, rate, seed, epochs, order, …
    """

    experiment: str
    tier: Tier
    labels: dict[str, Any] = field(hash=False)
    record: Record = field(hash=False, repr=False)
    sessions: Mapping[str, Session] = field(hash=False, repr=False)  # where a role's scores are
    scores: Mapping[str, Scores] = field(hash=False, repr=False)  # by role
    samples: Sequence[Sample] = field(hash=False, repr=False)  # what was answered, by role too
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
    def diverged(self) -> bool:
        return self.record.diverged

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

    @property
    def environment(self) -> dict[str, str]:
        """Of its first session."""
        return self._sessions[0].environment

    @property
    def _sessions(self) -> list[Session]:
        own = {id(session) for session in self.sessions.values()}
        sessions = self.record.sessions
        return [s for s in sessions if id(s) in own or self.diverged]

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

    @property
    def first_date(self) -> str:
        """When it was first measured."""
        return str(min(session.timing["date"] for session in self._sessions))

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


def append(record: Record, tier: Tier) -> Path:
    """Write a record, sealed, whole or not at all; of one that is there, add the new sessions.

    A session whose scores and answers are all there already is not added. Raises `BadRecord` above
    100 KiB a session, `NotStored` where the folder cannot be written to.
    """
    path = path_of(record.key, tier)
    for session in record.sessions:
        size = len(session.model_dump_json().encode()) // 1024
        if size > LARGEST:
            raise BadRecord(f"record {record.key}: {size} KiB, at most 100; store fewer samples")
    with _locked(path):
        if path.exists():
            before = load(path)
            known = {part for session in before.sessions for part in _parts(session)}
            new = [session for session in record.sessions if not _parts(session) <= known]
            record = before.model_copy(update={"sessions": before.sessions + new})
        store.write_atomically(path, seal(record.model_dump(mode="json")))
    return path


def _parts(session: Session) -> set[tuple[str, bool]]:
    """The probes that a session has scores of, and those that it has answers to."""
    return {(p, said) for p in session.scores for said in (False, bool(session.answers(p)))}


def enter(experiment: str, tier: Tier, panel: Mapping[str, str], entries: Sequence[Entry]) -> None:
    """Note runs in an experiment's index; `panel` has the probe key of each role.

    A run that is there (System, tier and design) keeps its labels, and has the roles of both.
    """
    path = index_path(experiment, tier)
    with _locked(path):
        index = load_index(experiment, tier)
        by_place = {entry.place: entry for entry in index.runs}
        for entry in entries:
            before = by_place.get(entry.place, entry)
            roles = {**index.panels.get(before.panel, {}), **panel}
            name = store.hash_key(roles)[:8]
            index.panels[name] = roles
            sessions = sorted({*before.sessions, *entry.sessions})
            update = {"panel": name, "sessions": sessions}
            by_place[entry.place] = before.model_copy(update=update)
        runs = sorted(by_place.values(), key=_order)
        names = sorted({entry.panel for entry in runs})
        panels = {name: index.panels[name] for name in names}
        index = index.model_copy(update={"panels": panels, "runs": runs})
        text = seal(index.model_dump(mode="json"))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            store.write_atomically(path, text)


def _order(entry: Entry) -> tuple[str, ...]:
    """Entries stand in one order, whoever came first."""
    return (entry.tier, json.dumps(entry.labels, sort_keys=True), entry.design, entry.system)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process changes the file at a time."""
    with store.explained(path.name, path.parent):
        locks = home() / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{path.name}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def load(path: Path) -> Record:
    """Read one record. Raises `BadRecord` naming the file and the first wrong field."""
    record = unseal(Record, path.read_bytes(), path.name)
    if record.key != path.stem:
        raise BadRecord(f"{path.name}: key: {record.key}; give the file that name")
    return record


def load_index(experiment: str, tier: Tier) -> Index:
    """An experiment's index; an empty one where it has no runs yet. Raises `BadRecord`."""
    path = index_path(experiment, tier)
    if not path.exists():
        return Index(experiment=experiment)
    index = unseal(Index, path.read_bytes(), path.name)
    if index.experiment != experiment:
        raise BadRecord(f"{path.name}: experiment: {index.experiment!r}; give the file that name")
    return index


def run_of(experiment: str, roles: Mapping[str, str], entry: Entry, record: Record) -> Run:
    """The run of an index entry. Raises `BadRecord` where its record lacks a role.

    A role is looked for in the entry's own sessions first.
    """
    own = entry.sessions
    sessions, samples = {}, []
    for role, probe in roles.items():
        if record.diverged:
            break
        if (number := record.place(probe, own)) is None:
            raise BadRecord(f"{record.key}.json: {role}: has no scores; run the chapter again")
        sessions[role] = record.sessions[number]
        if (answered := record.place(probe, own, answers=True)) in own:
            answers = record.sessions[answered].answers(probe)
            samples += [answer.model_copy(update={"task": role}) for answer in answers]
    return Run(
        experiment=experiment,
        tier=entry.tier,
        labels=entry.labels,
        record=record,
        sessions=sessions,
        scores={role: session.scores[roles[role]] for role, session in sessions.items()},
        samples=samples,
        design=entry.design,
        start=entry.start,
    )


def stored(experiment: str, tier: Tier = "laptop", bad: list[BadRecord] | None = None) -> list[Run]:
    """All runs of an experiment and tier, ordered by their labels.

    Raises `BadRecord` for a damaged file, or where a record that the index names is not there;
    with a list `bad` such files are left out, and their errors added to it.
    """
    known, runs = dict[str, Record](), []
    with noted(bad):
        index = load_index(experiment, tier)
        for entry in index.runs:
            if entry.tier == tier:
                with noted(bad):
                    if entry.system not in known:
                        known[entry.system] = _named_record(experiment, entry)
                    panel = index.panels[entry.panel]
                    runs.append(run_of(experiment, panel, entry, known[entry.system]))
    return runs


def _named_record(experiment: str, entry: Entry) -> Record:
    path = path_of(entry.system, entry.tier)
    if not path.exists():
        raise BadRecord(f"{experiment}.json: {path.name} is missing; run the chapter again")
    return load(path)


@contextmanager
def noted(bad: list[BadRecord] | None) -> Iterator[None]:
    """Within it a `BadRecord` goes onto the list, where there is one."""
    try:
        yield
    except BadRecord as error:
        if bad is None:
            raise
        bad.append(error)


def comparable(runs: Sequence[Run], design: str | None = None) -> list[Run]:
    """Runs of one design, the model that they start from first, without those that diverged.

    Without a `design`, that of the run that was measured last.
    """
    runs = [run for run in runs if not run.diverged]
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
