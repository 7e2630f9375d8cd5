"""Steps for the scheduler's tests, in a module that loads nothing heavy."""

import os
import signal
import time
from pathlib import Path

from forgetting.engine.scheduler import BadScheduler


def total(*numbers):
    return sum(numbers)


def of_worker(name=None):
    return os.environ.get(name) if name else os.getpid()


def born_with(name):
    """A variable as it was when this process started, before anything could be imported."""
    lines = Path("/proc/self/environ").read_bytes().decode().split("\0")
    return dict(line.partition("=")[::2] for line in lines)[name]


def fail():
    raise BadScheduler("seeds=[0]: not there")


def nap():
    time.sleep(0.3)
    return os.getpid()


def die(folder, times):
    """End this worker by `kill -9`, the first few times."""
    lives = len(list(Path(folder).iterdir()))
    if lives < times:
        (Path(folder) / str(lives)).touch()
        time.sleep(0.3)  # what it said has left the worker
        os.kill(os.getpid(), signal.SIGKILL)
    return lives


def key_of(checkpoint):
    return checkpoint.key
