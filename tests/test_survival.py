"""What a study survives: kills at any moment, a full or read-only disk, damage, a jumping clock.

Whatever happens, the records in the end are those of an undisturbed run, and so are the weights.
"""

import asyncio
import datetime as real_datetime
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from studies import SMALL, cell, cells, files, small_study

from forgetting import store
from forgetting.engine import compute, scheduler
from forgetting.engine.scheduler import ClusterLost, WorkersLost
from forgetting.evidence import records
from forgetting.experiments import study
from forgetting.probes import evaluation
from forgetting.store import NotStored

# Kills of each kind: in the default suite, and in the one that `-m slow` runs.
FEW = {"run": 3, "worker": 1, "scheduler": 1}
MANY = {"run": 60, "worker": 25, "scheduler": 15}


def weights(home):
    """Every file of every stored checkpoint, by its path."""
    folder = home / "store" / "weights"
    whole = [p for p in folder.glob("*/*") if not p.parent.name.startswith(".")]
    return {path.relative_to(folder): path.read_bytes() for path in whole}


def study_in(home, where):
    """What the killed processes do; they are forks of a server that has the libraries loaded."""
    os.environ["FORGETTING_HOME"] = str(home)
    scheduler.CONNECT = "1s"
    try:
        small_study(where=where)
    except (ClusterLost, WorkersLost):
        sys.exit(3)


def live(server, *arguments, **options):
    """A Dask server, for as long as it lives."""

    async def finish():
        async with server(*arguments, host="127.0.0.1", **options) as here:
            await here.finished()

    logging.disable()
    asyncio.run(finish())


def serve(port):
    from distributed import Scheduler

    live(Scheduler, port=port, dashboard=False, dashboard_address="127.0.0.1:0")


def work(port):
    """It ends with its scheduler."""
    from distributed import Worker

    live(Worker, f"tcp://127.0.0.1:{port}", nthreads=1, memory_limit=0)


class Cluster:
    """A scheduler and some workers, any of which can be killed and started again."""

    def __init__(self, start):
        self.start = start
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler, self.workers = start(serve, self.port), []
        self.fill()

    def fill(self):
        """Start what is not running."""
        if not self.scheduler.is_alive():
            self.stop()
            self.scheduler = self.start(serve, self.port)
        self.workers = [worker for worker in self.workers if worker.is_alive()]
        while len(self.workers) < 2:
            self.workers.append(self.start(work, self.port))

    def stop(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.join()


@pytest.fixture(scope="module")
def start():
    """Starts a function in a process of its own, with the libraries loaded."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["forgetting.experiments.study", "distributed"])

    def start(target, *arguments):
        process = processes.Process(target=target, args=arguments)
        process.start()
        return process

    start(time.sleep, 0).join()  # the server loads the libraries
    return start


def kill_at_random(victim, kills, start, home, undisturbed):
    """Run the small study, killing `victim` at random moments, until it was killed `kills` times.

    After each kill everything that can be read is whole and as in the undisturbed run.
    """
    expected, dice = files(undisturbed.home), random.Random(f"20241 {victim}")
    cluster = None if victim == "run" else Cluster(start)
    duration, killed, rounds = undisturbed.seconds, 0, 0
    try:
        while killed < kills:
            rounds += 1
            assert rounds < 20 + 6 * kills
            began = time.monotonic()
            running = start(study_in, home, cluster.address if cluster else "")
            running.join(duration * dice.random())
            ended = not running.is_alive()
            if victim == "run":
                running.kill()
            elif not ended:
                dying = dice.choice(cluster.workers) if victim == "worker" else cluster.scheduler
                dying.kill()
                dying.join()
                killed += 1
                if victim == "worker":
                    cluster.fill()
            running.join(60)
            assert not running.is_alive(), "the study neither went on nor ended"
            killed += victim == "run" and running.exitcode == -signal.SIGKILL
            assert (
                running.exitcode in {"run": (0, -9), "worker": (0, 3), "scheduler": (0, 3)}[victim]
            )
            if cluster:
                cluster.fill()
            assert files(home).items() <= expected.items()
            assert weights(home).items() <= weights(undisturbed.home).items()
            if running.exitcode == 0:  # it came to its end: begin again
                assert files(home) == expected
                if victim == "run":
                    duration = min(duration, time.monotonic() - began)
                shutil.rmtree(home / "store")
                shutil.rmtree(home / "results")
    finally:
        if cluster:
            cluster.stop()


def assert_as_undisturbed(home, undisturbed, damaged=False):
    """Once the study has run: records and weights, and the index, which has no timings."""
    small_study(where="")
    assert files(home) == files(undisturbed.home)
    index = Path("results", "trial.json")
    assert (home / index).read_bytes() == (undisturbed.home / index).read_bytes()
    assert weights(home) == weights(undisturbed.home)
    assert (home / "store" / "damaged").exists() == damaged


@pytest.mark.parametrize(
    ("victim", "kills"),
    [*FEW.items(), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in MANY.items())],
)
def test_kill_9_at_any_moment_changes_no_record(victim, kills, start, own_home, undisturbed):
    kill_at_random(victim, kills, start, own_home, undisturbed)
    assert_as_undisturbed(own_home, undisturbed)


def test_two_processes_on_one_store(start, own_home, undisturbed):
    both = [start(study_in, own_home, "") for _ in range(2)]
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert_as_undisturbed(own_home, undisturbed)
    assert not list(own_home.rglob(".writing-*"))


def test_workers_give_the_records_of_one_process(start, own_home, undisturbed, tiny):
    """Bit for bit: weights, losses, scores, answers and environment; only the times differ."""
    asked = cells()
    merged = asked[1].checkpoint + 0.5 * (asked[3].checkpoint - tiny)
    last = cell(merged, "merged", 0.0)
    cluster = Cluster(start)
    try:
        *_, there = small_study(asked=[*asked, last], where=cluster.address)
    finally:
        cluster.stop()
    with_merge = files(own_home)
    assert with_merge.items() > files(undisturbed.home).items() and len(with_merge) == 10
    assert weights(own_home) == weights(undisturbed.home)
    records.path_of(there.key, "smoke").unlink()
    shutil.rmtree(own_home / "store" / "scores")
    (here,) = small_study(asked=[last])
    assert files(own_home) == with_merge
    assert (here.key, here.scores, here.samples) == (there.key, there.scores, there.samples)


def full(*_, **__):
    raise OSError(28, "No space left on device")


def full_for(name):
    """`os.replace`, on a disk that is full by the time it has to take that file."""
    replace = os.replace
    return lambda src, dst: full() if Path(dst).name == name else replace(src, dst)


def full_of(name):
    """`Path.write_text`, on a disk that is full by the time it has to take that file."""
    write = Path.write_text
    return lambda path, *a, **k: full() if path.name == name else write(path, *a, **k)


@pytest.mark.parametrize("at", ["weights", "losses", "scores", "record", "index", "manifest"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    at, own_home, undisturbed, monkeypatch
):
    small_study(asked=cells()[:1])  # stored before the disk was full
    before = {p: p.read_bytes() for p in own_home.rglob("*.json") if "models" not in p.parts}
    whole = {
        "weights": (compute, "save_file", full),
        "losses": (compute, "_pretty", full),
        "scores": (Path, "write_text", full_of("scores.json")),
        "manifest": (store, "_manifest", full),
        "record": (os, "replace", full_for(f"{cells()[1].checkpoint.key}.json")),
        "index": (os, "replace", full_for("trial.json")),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*whole[at])
        with pytest.raises(NotStored) as caught:
            small_study(asked=cells()[:2])
        text = str(caught.value)
        assert "could not be written to" in text and "\n" not in text
        assert "(No space left on device)" in text
        assert not list(own_home.rglob(".writing-*"))
        assert all(path.read_bytes() == content for path, content in before.items())
    small_study(asked=cells()[:2])
    assert files(own_home).items() <= files(undisturbed.home).items()
    assert len(files(own_home)) == 2 * 2


def study_with_small_files(home, path):
    """A process that may write no file above 20 kB; the weights, which Rust writes, are 108 kB."""
    os.environ["FORGETTING_HOME"] = str(home)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        small_study(asked=cells()[1:2])
    except NotStored as error:
        path.write_text(str(error))


def test_a_file_that_the_system_refuses_is_one_line(start, own_home, tiny, tmp_path):
    start(study_with_small_files, own_home, tmp_path / "told").join()
    told = (tmp_path / "told").read_text()
    assert told.startswith("weights ") and "\n" not in told and "File too large" in told
    assert not list(own_home.rglob(".writing-*"))
    assert list((own_home / "store" / "weights").iterdir()) == []


@contextmanager
def read_only(monkeypatch, home):
    """`home` as on a read-only mount (root may write wherever the mode says no)."""

    def refuse(module, name, folder_of):
        function = getattr(module, name)

        def refusing(*arguments, **options):
            path = Path(folder_of(*arguments, **options) or tempfile.gettempdir())
            if home in (path, *path.parents):
                raise OSError(30, "Read-only file system", str(path))
            return function(*arguments, **options)

        patch.setattr(module, name, refusing)

    with monkeypatch.context() as patch:
        for module, name in ((os, "mkdir"), (os, "rename"), (shutil, "move")):
            refuse(module, name, lambda path, *_, **__: path)
        for name in ("mkdtemp", "mkstemp"):
            refuse(tempfile, name, lambda suffix=None, prefix=None, dir=None, *_: dir)
        yield


def test_a_read_only_store_can_be_read(done, own_home, monkeypatch):
    with read_only(monkeypatch, own_home):
        assert small_study() == done
        assert compute.state(cells()[1].checkpoint)
        with pytest.raises(NotStored, match=r"\(Read-only file system\); what is stored can"):
            small_study(asked=cells(rank=2))
        assert small_study() == done


def test_damage_in_a_read_only_store_is_told(done, own_home, monkeypatch, caplog):
    checkpoint = cells()[1].checkpoint
    flip(store.get("weights", checkpoint.key) / "changed.safetensors", 1000)
    with read_only(monkeypatch, own_home), caplog.at_level(logging.WARNING):
        assert store.get("weights", checkpoint.key) is None
        with pytest.raises(NotStored):
            compute.state(checkpoint)
    assert "cannot be set aside (Read-only file system)" in caplog.text


def flip(path, at, bit=1):
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= bit
    path.write_bytes(content)


def test_every_flipped_byte_of_an_entry_is_found(done, own_home):
    """Of weights and scores, in every file, the manifest included: some hundred places."""
    dice, flips = random.Random(7), 0
    for folder in (*own_home.glob("store/weights/*"), *own_home.glob("store/scores/*")):
        for path in folder.iterdir():
            content = path.read_bytes()
            for at in {0, len(content) - 1, *(dice.randrange(len(content)) for _ in range(8))}:
                flip(path, at, 1 << dice.randrange(8))
                assert store.problem(folder), f"{path.name}, byte {at}"
                path.write_bytes(content)
                flips += 1
        assert store.problem(folder) is None
    assert flips > 300


def test_whatever_is_damaged_is_made_again(done, own_home, undisturbed, caplog, trainings):
    full = cells()[1].checkpoint
    score = store.get("scores", evaluation._key(full, SMALL[0]))
    damage = {
        f"weights {full.key}": store.get("weights", full.key) / "changed.safetensors",
        f"scores {score.name}": score / "scores.json",
        f"record {full.key}": records.path_of(full.key, "smoke"),
        "index of trial": records.index_path("trial", "smoke"),
    }
    for path in damage.values():
        flip(path, path.stat().st_size // 2)
    with caplog.at_level(logging.WARNING):
        assert_as_undisturbed(own_home, undisturbed, damaged=True)
    for name in damage:
        assert f"{name} is damaged" in caplog.text
    aside = {path.name for path in (own_home / "store" / "damaged").glob("*/*")}
    assert aside >= {path.name for path in damage.values()}
    assert store.clean({"damaged"}) > 0 and trainings == [0]


@pytest.fixture(params=["record", "index"])
def path(request, done):
    """The file of a record, or of the study's index."""
    if request.param == "index":
        return records.index_path("trial", "smoke")
    return records.path_of(done[1].key, "smoke")


def test_a_damaged_file_alone_trains_nothing(path, own_home, undisturbed, trainings):
    flip(path, 700)
    assert_as_undisturbed(own_home, undisturbed, damaged=True)
    assert trainings == []


def test_while_a_book_is_rendered_what_is_damaged_stays(path, monkeypatch):
    flip(path, 700)
    content = path.read_bytes()
    monkeypatch.setenv("FORGETTING_RENDER", "1")
    with pytest.raises(records.BadRecord, match=path.name):
        small_study()
    assert path.read_bytes() == content


def test_a_clock_that_jumps_changes_the_date_alone(own_home, undisturbed, monkeypatch):
    """Years back and forth at every look; durations come from clocks that only run forward."""
    dice, now = random.Random(3), time.time
    monkeypatch.setattr(time, "time", lambda: now() + dice.uniform(-3e8, 3e8))
    monkeypatch.setattr(time, "time_ns", lambda: 1)

    class Jumping(real_datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + real_datetime.timedelta(days=dice.uniform(-4000, 4000))

    monkeypatch.setattr(study, "datetime", Jumping)
    small_study()
    assert files(own_home) == files(undisturbed.home)
    for run in records.stored("trial", "smoke"):
        timing = run.timing
        assert 0 <= timing["training_seconds"] <= timing["seconds"] <= undisturbed.seconds + 10
