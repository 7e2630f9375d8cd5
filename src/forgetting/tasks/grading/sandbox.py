"""Running programs that a model wrote, away from everything that matters. Linux alone.

`run(program)` starts a fresh Python in namespaces of its own (user, mount, network, process, IPC,
host name) and reports how the program ended. No administrator rights are needed where the kernel
lets users make namespaces; elsewhere `run` refuses with `SandboxUnavailable` and runs nothing.

What is guaranteed. Network: none, not even this machine's own addresses. Files: the program sees
the Python installation and the system's libraries, read-only, and an empty working folder in
memory that disappears with it; no home, no data, no /proc, no /sys, and of /dev nothing. Processes:
it is process 1 of its own world and an ordinary user without privileges who can gain none; it can
neither see nor signal others, and all it started die with it. Limits: CPU time, wall time, address
space of a process, number of processes, open files, files and bytes written, bytes printed. The
environment is empty, the standard input is at its end, and hashes of strings are not random, so
the same program ends the same way twice.

What is not. A bug of the kernel is a way out, as from any container. System V shared memory (only
reachable through ctypes) is bounded by the wall time alone. And a verdict is no proof against a
program written to deceive: it shares its process with the tests, so it may return objects that
equal everything, or search its own memory for the word that reports success.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from forgetting.tasks.grading.confinement import PIVOT_ROOT

STARTING_SECONDS = 20  # what the watching process may take beside the program, on a busy machine
_WATCHER = str(Path(__file__).with_name("confinement.py").resolve())


class SandboxUnavailable(RuntimeError):
    """This platform cannot confine a program, so none was run."""


class Outcome(NamedTuple):
    """How a program ended.

    `ended` is "finished" (its last line was reached), "error" (an exception nobody caught, a
    failed assertion or a lack of memory among them), "exit" (it left before its last line, with
    whatever status), "signal" (it crashed or was killed), "time" (CPU or wall time) or "output"
    (it printed more than allowed). `output` is what it printed to both streams, `seconds` its wall
    time.
    """

    ended: str
    output: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the program ran to its last line: a test at its end was not skipped."""
        return self.ended == "finished"


def run(
    program: str,
    *,
    seconds: float = 3.0,
    memory_mib: int = 512,
    wall: float | None = None,
    disk_mib: int = 16,
    output_kib: int = 64,
    processes: int = 1,
) -> Outcome:
    """Run Python source in a process that can reach nothing, within limits.

    `seconds` is CPU time (a whole number of them: rounded up), so that a busy machine changes no
    verdict; `wall` seconds, by default four times as many, end a program that waits. `memory_mib`
    is the address space of each process, `processes` how many it may have at once, itself and
    threads counted. `disk_mib` bounds all files of its working folder together.

    Raises `SandboxUnavailable`; `ValueError` for a limit that is not positive. The program's own
    failures are outcomes, never exceptions.
    """
    limits = {
        "seconds": seconds,
        "wall": 4 * seconds if wall is None else wall,
        "memory_mib": memory_mib,
        "disk_mib": disk_mib,
        "output_kib": output_kib,
        "processes": processes,
    }
    for name, value in limits.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value}: a program needs a limit above zero")
    if reason := unavailable():
        raise SandboxUnavailable(reason)
    answer = _confined(program, limits)
    if "unavailable" in answer:
        raise SandboxUnavailable(_refusal(answer["unavailable"]))
    return Outcome(**answer)


@cache
def unavailable() -> str | None:
    """Why no program can be confined here, in one line; None where it can. Tried once."""
    if sys.platform != "linux":
        return _refusal(f"{sys.platform} has no namespaces")
    if os.uname().machine not in PIVOT_ROOT:
        return _refusal(f"unknown processor {os.uname().machine}")
    limits = {"seconds": 5, "wall": 20, "memory_mib": 512, "disk_mib": 1, "output_kib": 4}
    answer = _confined("assert 1 + 1 == 2", limits | {"processes": 1})
    if answer.get("ended") == "finished":
        return None
    return _refusal(answer.get("unavailable") or f"a trial ended so: {_line(str(answer))}")


def _refusal(reason: str) -> str:
    remedy = (
        "use Linux 5.12 or later with user namespaces allowed, or leave out tasks that run code"
    )
    return f"sandbox: generated programs are not run here ({reason}); {remedy}"


def _confined(program: str, limits: Mapping[str, float]) -> dict[str, Any]:
    """The answer of the watching process: an outcome's fields, or "unavailable" with a reason."""
    base = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    request = {"program": program, "limits": limits, "python": base, "prefix": sys.base_prefix}
    with tempfile.TemporaryDirectory(prefix="forgetting-sandbox-") as folder:
        request["folder"] = folder
        try:
            done = subprocess.run(
                [base, "-I", "-S", "-B", _WATCHER],
                input=json.dumps(request).encode(),  # ASCII: lone surrogates arrive as they are
                capture_output=True,
                timeout=limits["wall"] + STARTING_SECONDS,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return {"unavailable": _line(str(error))}
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"unavailable": _line(done.stderr.decode(errors="replace") or "no answer")}


def _line(text: str) -> str:
    """The last line, shortened: where a traceback says what happened."""
    return (text.strip().splitlines() or [""])[-1][:300]
