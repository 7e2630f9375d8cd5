"""Measure how long the classroom tier of chapters takes, and note it for their pages.

    FORGETTING_DATA_MIRROR=… python tools/time_classroom.py freezing lora

Each chapter is run as a student runs it after installing: with an empty cache, so that the model is
unpacked, and nothing is stored. What it measured is thrown away; its time goes to
`results/times.toml`. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from forgetting import chapters
from forgetting.experiments import environment
from forgetting.site import times


def seconds(chapter: str) -> float:
    """What the command took. Raises `CalledProcessError` where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        empty = {
            name: str(Path(folder, name)) for name in ("FORGETTING_HOME", "FORGETTING_RESULTS")
        }
        command = [sys.executable, "-m", "forgetting.cli", "run", chapter, "--tier", "classroom"]
        begun = time.perf_counter()
        subprocess.run(command, env=os.environ | empty, check=True)
        return time.perf_counter() - begun


if __name__ == "__main__":
    for name in sys.argv[1:]:
        if "classroom" not in chapters.experiment(name).budgets:
            raise SystemExit(f"{name}: has no classroom tier")
    for name in sys.argv[1:]:
        took = round(seconds(name))
        day = datetime.now(UTC).date()
        measured = times.InClass(seconds=took, device=environment.device(), day=day)
        print(f"{name}: {took} s, noted in {times.note(name, measured)}")
