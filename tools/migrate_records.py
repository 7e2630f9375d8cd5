"""Records of schema 1 (one file a run and chapter) as records of schema 2 (one a System), run once.

    python tools/migrate_records.py OLD_RESULTS NEW_RESULTS

Every score of the old files is found again, digit for digit; the script ends with that check. A
System that several chapters measured has a session for each file, and an index for each chapter
names its own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from forgetting import chapters
from forgetting.chapters.own_words.targets import surprise_probes
from forgetting.evidence import records
from forgetting.evidence.records import Entry, Record, Session
from forgetting.experiments.study import probe_key
from forgetting.probes.scores import Scores
from forgetting.tasks import Task

CARDS = "tasks"  # base scores of every task: no chapter, each in the role of its name


def read(path: Path) -> dict[str, Any]:
    """An old file, without its seal."""
    return json.loads(path.read_text(encoding="utf-8"))


def probes_of(chapter: str, tier: Any, scores: dict[str, Any]) -> dict[str, Any]:
    """Probes by role, of those that an old record has scores of."""
    if chapter == CARDS:
        return {name: Task(name, of["n"]) for name, of in scores.items()}
    design = chapters.experiment(chapter)
    probes = dict(design.probes(tier, "public"))
    if any(name.startswith("surprise:") for name in scores):
        long = [n for n in design.budget(tier).arms if "length" in n]
        without = long if chapter == "own_answers" else ()
        probes = surprise_probes(design, tier, data="public", without=without)
    chosen = {role: probe for role, probe in probes.items() if probe.name in scores}
    assert {probe.name for probe in chosen.values()} == scores.keys(), (chapter, scores.keys())
    return chosen


def main(old: Path, new: Path) -> None:
    os.environ["FORGETTING_RESULTS"] = str(new)
    entries: dict[tuple[str, Any], list[tuple[dict[str, str], Entry]]] = {}
    sessions: dict[str, int] = {}
    for path in sorted(old.glob("*/*.json"), key=lambda p: read(p)["timing"]["date"]):
        told = read(path)
        chapter, tier = told["chapter"], told["tier"]
        system = list(told["lineage"])[-1]
        probes = probes_of(chapter, tier, told["scores"])
        panel = {role: probe_key(probe) for role, probe in probes.items()}
        by_name = {probe.name: probe_key(probe) for probe in probes.values()}
        timing, trained = told["timing"], told["timing"]["training_seconds"]
        computing = {"seconds": trained, "peak_memory_mib": timing["peak_memory_mib"]}
        measured = round(timing["seconds"] - trained, 1)
        record = Record(
            key=system,
            model=told["model"],
            lineage=told["lineage"],
            trainable=told["trainable"],
            losses=told["losses"],
            shown=told.get("shown", {}),
            computing=computing if told["losses"] else {},
            sessions=[
                Session(
                    scores={by_name[n]: Scores(**of) for n, of in told["scores"].items()},
                    samples=told["samples"],
                    environment=told["environment"],
                    timing={
                        "date": timing["date"],
                        "seconds": measured,
                        "peak_memory_mib": timing["peak_memory_mib"],
                    },
                )
            ],
        )
        whole = records.path_of(system, tier)
        if whole.exists():
            there = records.load(whole)
            record = there.model_copy(update={"sessions": [*there.sessions, *record.sessions]})
        sessions[path.name] = len(record.sessions) - 1
        records.store.write_atomically(whole, records.seal(record.model_dump(mode="json")))
        design = "" if chapter == CARDS else chapters.experiment(chapter).design(tier)
        if any(name.startswith("surprise:") for name in told["scores"]):
            design = "surprise"
        entry = Entry(
            system=system,
            tier=tier,
            design=design,
            panel="",
            sessions=[sessions[path.name]],
            start=len(told["lineage"]) == 1,
            labels=told["labels"],
        )
        entries.setdefault((chapter, tier), []).append((panel, entry))
    for (chapter, tier), of_chapter in entries.items():
        for panel, entry in of_chapter:
            records.enter(chapter, tier, panel, [entry])
    check(old, sessions)


def check(old: Path, sessions: dict[str, int]) -> None:
    """Every score, answer and label of the old files is in the new ones, digit for digit."""
    count = 0
    for path in sorted(old.glob("*/*.json")):
        told = read(path)
        record = records.load(records.path_of(list(told["lineage"])[-1], told["tier"]))
        session = record.sessions[sessions[path.name]]
        by_name = {scores.task: scores for scores in session.scores.values()}
        assert by_name == {name: Scores(**of) for name, of in told["scores"].items()}, path
        assert [s.model_dump() for s in session.samples] == told["samples"], path
        runs = records.stored(told["chapter"], told["tier"])
        assert any(run.labels == told["labels"] and run.key == record.key for run in runs), path
        count += len(by_name)
    print(f"{count} scores of {len(sessions)} files found again")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
