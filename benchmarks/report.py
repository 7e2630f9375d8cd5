"""What the benchmarks measured last, as files in `benchmarks/results/` and as the README's table.

python benchmarks/evaluation.py --keep   # a benchmark stores what it printed
python benchmarks/report.py              # the README's table, from what is stored
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = ("torch", "transformers", "lm_eval", "peft", "trl", "distributed")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def keep(name: str, title: str, numbers: dict[str, Any]) -> None:
    """Store a benchmark's numbers with the command that gave them, the machine and the versions.

    `numbers` maps words to values, in the order in which a reader wants them.
    """
    content = {
        "title": title,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "versions": {package: found for package in PACKAGES if (found := _version(package))},
        "numbers": numbers,
    }
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    refresh()


def in_a_fresh_process(*arguments: str, **environment: str) -> dict[str, Any]:
    """What this script prints last, as JSON, when it is called with `arguments`: one side's share.

    Exits with the command and the end of its messages where it fails.
    """
    command = [sys.executable, sys.argv[0], *arguments]
    told = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    told |= environment
    done = subprocess.run(
        command, env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> str:
    """The processor or GPU, as the system names it."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or "CPU"
    return f"{name}, {os.cpu_count()} cores"


def table() -> str:
    """The stored measurements as Markdown: a heading, a command and a table each."""
    parts = []
    for path in sorted((HERE / "results").glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
        lines = [f"### {found['title']}", "", f"`{found['command']}`", "", "| | |", "|:---|---:|"]
        lines += [f"| {words} | {_shown(value)} |" for words, value in found["numbers"].items()]
        lines += ["", f"{found['machine']}; {found['date']}; {versions}."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def refreshed(readme: str) -> str:
    """The README's text with the table of what is stored now."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def refresh() -> None:
    path = HERE / "README.md"
    path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except ModuleNotFoundError:
        return ""


if __name__ == "__main__":
    refresh()
