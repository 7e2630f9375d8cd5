"""The store: an entry is there whole or not at all, and damage is found."""

import json
import logging
import multiprocessing
import os
import signal
import sys
import time

import pytest

from forgetting import store

pytestmark = pytest.mark.usefixtures("own_home")


def write_two(folder):
    (folder / "a.bin").write_bytes(b"alpha" * 100)
    (folder / "b.txt").write_text("beta")


def process(function, *arguments):
    """A process of its own, started: it has the test's home."""
    child = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    child.start()
    return child


def test_what_was_put_is_got():
    assert store.get("weights", "k") is None
    folder = store.put("weights", "k", write_two)
    assert store.get("weights", "k") == folder
    assert (folder / "a.bin").read_bytes() == b"alpha" * 100
    assert set(json.loads((folder / store.MANIFEST).read_text())) == {"a.bin", "b.txt"}


def test_kinds_and_keys_are_apart():
    store.put("weights", "k", write_two)
    assert store.get("scores", "k") is None
    assert store.get("weights", "other") is None


def test_the_first_entry_under_a_key_stays():
    store.put("scores", "k", lambda folder: (folder / "s").write_text("first"))
    folder = store.put("scores", "k", lambda folder: (folder / "s").write_text("second"))
    assert (folder / "s").read_text() == "first"


def test_an_exception_while_writing_leaves_nothing(own_home):
    def fail(folder):
        write_two(folder)
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        store.put("weights", "k", fail)
    assert store.get("weights", "k") is None
    assert list((own_home / "store" / "weights").iterdir()) == []
    assert store.put("weights", "k", write_two) == store.get("weights", "k")


def put_and_die(lines_left):
    """Put an entry and end by `kill -9` at the n-th line that runs in store.py or here."""

    def watch(frame, event, argument):
        nonlocal lines_left
        if frame.f_code.co_filename not in (store.__file__, __file__):
            return None
        lines_left -= event == "line"
        if lines_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return watch

    sys.settrace(watch)
    store.put("weights", "k", write_slowly)


def write_slowly(folder):
    for name in ("a.bin", "b.bin"):
        with open(folder / name, "wb", buffering=0) as file:
            for _ in range(4):
                file.write(b"x" * 1000)


def test_kill_9_while_writing_leaves_all_or_nothing():
    whole = []
    for line in range(1, 100, 8):
        child = process(put_and_die, line)
        child.join(60)
        folder = store.get("weights", "k")
        whole.append(folder is not None)
        if folder:
            assert [(folder / n).stat().st_size for n in ("a.bin", "b.bin")] == [4000, 4000]
        assert folder or child.exitcode == -signal.SIGKILL, "a put to its end left nothing"
        folder = store.put("weights", "k", write_slowly)
        assert store.get("weights", "k") == folder
        store.clean()
    assert whole == sorted(whole) and {*whole} == {False, True}, "the whole of put() was spanned"
    assert list(store.entries()) == []


def flip_a_byte(folder):
    content = bytearray((folder / "a.bin").read_bytes())
    content[7] ^= 1
    (folder / "a.bin").write_bytes(content)


def truncate(folder):
    os.truncate(folder / "a.bin", 10)


def lose_a_file(folder):
    (folder / "b.txt").unlink()


def lose_the_manifest(folder):
    (folder / store.MANIFEST).unlink()


def garble_the_manifest(folder):
    (folder / store.MANIFEST).write_bytes(b'{"a.bin": "\xff')


@pytest.mark.parametrize(
    "damage", [flip_a_byte, truncate, lose_a_file, lose_the_manifest, garble_the_manifest]
)
def test_a_damaged_entry_is_set_aside_and_computed_again(damage, own_home, caplog):
    damage(store.put("weights", "k", write_two))
    with caplog.at_level(logging.WARNING):
        assert store.get("weights", "k") is None
    assert "weights k is damaged" in caplog.text
    (aside,) = (own_home / "store" / "damaged").iterdir()
    assert (aside / "a.bin").exists()
    folder = store.put("weights", "k", write_two)
    assert store.get("weights", "k") == folder
    assert (folder / "a.bin").read_bytes() == b"alpha" * 100


def test_put_replaces_a_damaged_entry():
    flip_a_byte(store.put("weights", "k", write_two))
    store.put("weights", "k", write_two)
    assert store.get("weights", "k") is not None


def put_together(here, there):
    """Waits inside `write` for the other process, so that both end at the same time."""

    def write(folder):
        (folder / "a.bin").write_bytes(b"x" * 3_000_000)
        here.touch()
        while not there.exists():
            time.sleep(0.001)

    folder = store.put("weights", "k", write)
    assert store.get("weights", "k") == folder


def test_two_processes_may_put_one_key(tmp_path, own_home):
    first, second = tmp_path / "first", tmp_path / "second"
    children = [process(put_together, first, second), process(put_together, second, first)]
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    assert (store.get("weights", "k") / "a.bin").read_bytes() == b"x" * 3_000_000
    assert [folder.name for folder in (own_home / "store" / "weights").iterdir()] == ["k"]


def test_clean_frees_the_kinds_asked_for():
    store.put("weights", "k", write_two)
    scores = store.put("scores", "k", lambda folder: (folder / "s").write_text("1234"))
    sizes = {entry.kind: entry.size for entry in store.entries()}
    manifest = (scores / store.MANIFEST).stat().st_size
    assert sizes["scores"] == 4 + manifest
    assert store.clean({"scores"}) == sizes["scores"]
    assert store.get("scores", "k") is None and store.get("weights", "k") is not None
    assert store.clean() == sizes["weights"]
    assert list(store.entries()) == []


def test_clean_of_any_kind_frees_what_a_killed_process_left(own_home):
    store.put("weights", "k", write_two)
    left = own_home / "store" / "weights" / ".writing-abc"
    left.mkdir()
    (left / "half").write_bytes(b"12345")
    assert store.clean({"scores"}) == 5
    assert not left.exists() and store.get("weights", "k") is not None


def test_a_small_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "record.json"
    store.write_atomically(path, "one\n")
    store.write_atomically(path, "二\n")
    assert path.read_text(encoding="utf-8") == "二\n"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644
