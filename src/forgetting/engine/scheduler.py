"""Runs a graph of keyed steps: in this process, in processes beside it, or on a cluster.

Where is said by one line of text, `FORGETTING_SCHEDULER` or the argument `where`:

    (empty)                 in this process, one step after the other; Dask is not loaded
    local:2                 two worker processes on this machine, which share its cores
    tcp://10.0.0.1:8786     a running Dask cluster whose machines share the store's folder

A step's result is what it returns, a few numbers; weights and scores go through the store. So a
lost worker costs the step that it was at, and a lost cluster the steps under way.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import queue
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import fmean
from typing import Any

VARIABLE = "FORGETTING_SCHEDULER"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
QUIET = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}
PATIENCE = 60  # seconds between two lines about a cluster without workers
CONNECT = "10s"  # until a cluster that does not answer counts as lost
Say = Callable[[str], None]


class BadScheduler(ValueError):
    """The text names no place where steps can run."""


class ClusterLost(RuntimeError):
    """The cluster cannot be reached, or ended while steps were under way."""


class WorkersLost(RuntimeError):
    """One step ended several workers."""


@dataclass(frozen=True)
class Step:
    """One thing to compute: `work(*arguments, *results of the steps in needs)`.

    Steps of one key are one step. `label` tells people what is done, and is empty where it takes
    no time; steps of one `kind` take about as long. For Dask, `work` stands in a module.
    """

    key: str
    kind: str
    label: str
    work: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()


Graph = Mapping[str, Step]


def workers(where: str) -> int | None:
    """How many steps run at a time; None where the cluster decides. Raises `BadScheduler`."""
    if not where:
        return 1
    if local := re.fullmatch(r"local:([1-9]\d?)", where):
        return int(local[1])
    if re.fullmatch(r"(tcp|tls)://\S+:\d+", where):
        return None
    raise BadScheduler(
        f"scheduler={where!r}: expected local:N with N worker processes, tcp://host:port of a "
        "running Dask cluster, or nothing for this process"
    )


def run(
    graph: Graph, *, where: str | None = None, settings: Mapping[str, str] | None = None, say: Say
) -> dict[str, Any]:
    """Every step's result by key; each step runs once, after those that it needs.

    `graph` lists a step after its needs, by key. `where` defaults to `FORGETTING_SCHEDULER`.
    `settings` are environment variables that steps see on a worker, empty where they are not set.
    `say` gets a line whenever a step with a label starts. A step's exception ends the run. Raises
    `BadScheduler`, `ClusterLost` and `WorkersLost`; each is one line.
    """
    where = os.environ.get(VARIABLE, "") if where is None else where
    count = workers(where)
    progress = Progress(graph, say, apart=bool(where))
    if where and not find_spec("distributed"):
        raise BadScheduler(f"scheduler={where!r}: needs Dask; pip install 'forgetting[dask]'")
    if where:
        return _run_there(graph, where, count, dict(settings or {}), progress)
    results: dict[str, Any] = {}
    for key, step in graph.items():
        progress.start(key)
        results[key] = step.work(*step.arguments, *(results[need] for need in step.needs))
        progress.end(key)
    return results


@dataclass
class Progress:
    """A line when a step starts: what runs, what waits, and how long it will take.

    `apart`: steps run in other processes, several at a time.
    """

    graph: Graph
    say: Say
    apart: bool = False
    workers: int = 1
    running: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = Counter(step.kind for step in self.graph.values() if step.label)
        self.total = self.left.total()

    def start(self, key: str) -> None:
        step = self.graph[key]
        if key in self.ended or not step.label:
            return
        again = " again, its worker was lost" if key in self.begun else ""
        self.begun.add(key)
        self.running[key] = time.monotonic()
        parts = [f"[{len(self.begun)}/{self.total}] {step.label}{again}"]
        if self.apart:
            waiting = self.left.total() - len(self.running)
            parts.append(f"{min(self.workers, len(self.running))} running, {waiting} waiting")
        if (seconds := self.seconds_left()) is not None:
            parts.append(f"about {minutes(seconds)} left")
        self.say(" · ".join(parts))

    def end(self, key: str) -> None:
        step = self.graph[key]
        self.ended.add(key)
        self.left[step.kind] -= bool(step.label)
        if key in self.running:
            seconds = time.monotonic() - self.running.pop(key)
            self.seconds.setdefault(step.kind, []).append(seconds)

    def seconds_left(self) -> float | None:
        """Mean seconds of a kind times what is left of it; None until each kind was seen."""
        left = +self.left  # without kinds that are done
        if not left.keys() <= self.seconds.keys():
            return None
        total = sum(count * fmean(self.seconds[kind]) for kind, count in left.items())
        return total / min(self.workers, left.total())


def minutes(seconds: float) -> str:
    """A duration for people: `40 s` or `12 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _run_there(
    graph: Graph, where: str, count: int | None, settings: dict[str, str], progress: Progress
) -> dict[str, Any]:
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    # On a cluster that several people use, a key means the same only with the same folders.
    mark = _mark(settings)
    names = {key: f"{key}-{mark}" for key in graph}
    pickled = _pickled(graph)
    there = {
        names[key]: (_work, pickled[key], settings, *(names[need] for need in step.needs))
        for key, step in graph.items()
    }
    events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    results: dict[str, Any] = {}
    addresses: set[str] = set()
    with _client(where, count, {step.work.__module__ for step in graph.values()}) as client:
        client.subscribe_topic(mark, lambda event: events.put(event[1]))
        futures = client.get(there, list(there), sync=False)
        keys = {future.key: key for future, key in zip(futures, graph, strict=True)}
        for future in futures:
            future.add_done_callback(lambda done: events.put(("end", done)))
        while len(results) < len(graph):
            batch = _next(events, client, where, progress)
            for key, address in (event for what, event in batch if what == "start"):
                if key in graph:
                    addresses.add(address)
                    progress.workers = count or len(addresses)
                    progress.start(key)
            ended = [future for what, future in batch if what == "end"]
            if any(future.status not in ("finished", "error") for future in ended):
                raise _lost(where)
            try:
                values = client.gather(ended)
            except KilledWorker as error:
                label = graph[keys[error.task]].label or error.task
                raise WorkersLost(
                    f"{label}: {error.allowed_failures + 1} workers were lost at it, most often "
                    "for want of memory; finished steps are kept: go on with fewer workers, or "
                    "with a smaller model or batch"
                ) from None
            except (CancelledError, TimeoutError, CommClosedError):
                raise _lost(where) from None
            for future, value in zip(ended, values, strict=True):
                results[keys[future.key]] = value
                progress.end(keys[future.key])
        client.unsubscribe_topic(mark)
    return results


def _next(
    events: queue.SimpleQueue[tuple[str, Any]], client: Any, where: str, progress: Progress
) -> list[tuple[str, Any]]:
    """What has happened since: ("start", (key, worker)) and ("end", future), at least one."""
    alone = 0
    while True:
        try:
            batch = [events.get(timeout=1.0)]
            while not events.empty():
                batch.append(events.get())
            return batch
        except queue.Empty:
            if client.status not in ("running", "connecting"):
                raise _lost(where) from None
            if client.status == "running" and not progress.running:
                alone += 1
                if alone % PATIENCE == 5 and not client.nthreads():
                    progress.say(f"no workers at {where} yet; steps start when one comes")


def _lost(where: str) -> ClusterLost:
    return ClusterLost(
        f"scheduler={where!r}: the cluster ended; finished steps are kept: go on by giving the "
        "same command again when it is back"
    )


@contextmanager
def _client(where: str, count: int | None, modules: set[str]) -> Iterator[Any]:
    """A Dask client, of workers started for it where none are named; all is closed after.

    Such workers load the `modules` of their steps as they start.
    """
    import dask
    from distributed import Client, LocalCluster

    settings: dict[str, Any] = {"distributed.comm.timeouts.connect": CONNECT}
    if count is not None:
        # Lost workers are told in a step's line; what else Dask says at the end is noise.
        settings["logging.distributed"] = "critical"
        # A worker's first import may load torch, so its process is born with our variables. Dask
        # has a setting for that, which gives way to this process's variables and changes them.
        settings["distributed.nanny.pre-spawn-environ"] = {}
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        address: Any = where
        if count is not None:
            stack.enter_context(_variables(dict.fromkeys(THREADS, str(max(1, _cores() // count)))))
            address = stack.enter_context(
                LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,  # what fits was asked before, and a worker is not to be ended
                    dashboard_address="127.0.0.1:0",  # any free port
                    silence_logs=logging.CRITICAL,
                    preload=sorted(modules),
                    env=QUIET,
                )
            )
        try:
            client = stack.enter_context(Client(address, set_as_default=False))
        except OSError as error:
            if count is not None:
                raise
            raise ClusterLost(
                f"scheduler={where!r}: no Dask scheduler answers ({type(error).__name__}); start "
                "one with `dask scheduler`, or run without a scheduler"
            ) from error
        yield client


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Within it environment variables are set."""
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]
        os.environ.update(before)


def _cores() -> int:
    """Threads that a run may use: `OMP_NUM_THREADS`, or this process's cores."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        return int(threads)
    affinity = getattr(os, "sched_getaffinity", None)  # on Linux alone
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _pickled(graph: Graph) -> dict[str, bytes]:
    """Every step's pickle, by a thread with room to recurse down thousands of checkpoints."""
    from cloudpickle import dumps

    before = sys.getrecursionlimit(), threading.stack_size(2**28)  # address space, used as needed
    sys.setrecursionlimit(1_000_000)
    try:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: {key: dumps(step) for key, step in graph.items()}).result()
    finally:
        sys.setrecursionlimit(before[0])
        threading.stack_size(before[1])


def _mark(settings: Mapping[str, str]) -> str:
    """A name for the folders that steps read and write."""
    text = json.dumps(settings, sort_keys=True)
    return f"forgetting-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


_ALONE = threading.Lock()  # training seeds the process's random numbers: one step at a time


def _work(pickled: bytes, settings: Mapping[str, str], *results: Any) -> Any:
    """A step on a worker. Its pickle is opened here alone, not by Dask's scheduler on the way."""
    from distributed import get_worker

    with _ALONE:
        os.environ.update(settings)
        step: Step = pickle.loads(pickled)
        worker = get_worker()
        worker.log_event(_mark(settings), ("start", (step.key, worker.address)))
        return step.work(*step.arguments, *results)
