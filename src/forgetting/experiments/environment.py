"""Where a record was measured: device, threads, versions, the book's commit, peak memory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from functools import lru_cache

import torch

from forgetting.evidence import records

PACKAGES = ("torch", "transformers", "peft", "lm_eval", "accelerate", "numpy")


@lru_cache
def environment() -> dict[str, str]:
    """Hardware, versions and the book's commit, as far as they can be told."""
    versions = {p: importlib.metadata.version(p).partition("+")[0] for p in PACKAGES}
    return {
        "device": device(),
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
        "commit": _commit(),
    }


def device() -> str:
    """The GPU's name, or the processor's and its number of cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.processor() or 'CPU'}, {os.cpu_count()} cores"


def peak_memory() -> int:
    """The most memory that this process has held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 if sys.platform != "darwin" else 1024**2)


def _commit() -> str:
    command = ["git", "-C", str(records.project_root()), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
