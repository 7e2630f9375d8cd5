"""Write into stored records which items belong together, where a task says so.

    FORGETTING_DATA_MIRROR=… python tools/add_blocks.py

Scores that were measured before a task named its blocks (the turns of a dialogue) get them; nothing
else changes. It needs the tasks' data.
"""

from __future__ import annotations

from functools import cache

from forgetting import store, tasks
from forgetting.evidence import records
from forgetting.evidence.sealed import seal
from forgetting.probes.scores import Scores
from forgetting.tasks import Task


@cache
def blocks(name: str) -> list[int]:
    """The block of each of a task's test items; empty where they stand for themselves."""
    if name not in tasks.names() or Task(name).missing():
        return []
    task = Task(name)
    return task.blocks(task.documents("test")) or [] if "block" in task.metadata else []


def with_blocks(scores: Scores) -> Scores:
    """Probes that ask a task in another way ("woz:told apart") ask the same items."""
    groups = blocks(scores.task.partition(":")[0])[: scores.n]
    return scores.model_copy(update={"blocks": scores.blocks or groups or None})


if __name__ == "__main__":
    changed = 0
    for path in sorted((records.results_dir("laptop") / "records").glob("*.json")):
        record = records.load(path)
        for session in record.sessions:
            for probe, scores in session.scores.items():
                session.scores[probe] = with_blocks(scores)
        text = seal(record.model_dump(mode="json"))
        if text != path.read_text(encoding="utf-8"):
            store.write_atomically(path, text)
            changed += 1
    print(f"{changed} records")
