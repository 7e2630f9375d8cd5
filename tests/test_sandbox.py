"""The sandbox: what a program cannot do, and verdicts that cannot be had without passing."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from forgetting.tasks.grading import sandbox
from forgetting.tasks.grading.sandbox import Outcome, SandboxUnavailable


@pytest.fixture
def run():
    """`sandbox.run`, where programs can be confined."""
    if reason := sandbox.unavailable():
        pytest.skip(reason)
    return sandbox.run


def survivors():
    """Processes of this machine that still run a program."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if b"module = sys.modules" in path.read_bytes() else []
        except OSError:  # it ended meanwhile
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No process and no folder outlives its run."""
    before = set(Path(tempfile.gettempdir()).glob("forgetting-sandbox-*"))
    yield
    assert survivors() == []
    assert set(Path(tempfile.gettempdir()).glob("forgetting-sandbox-*")) <= before


TEST = "\nassert double(2) == 4\nassert double('a') == 'aa'\n"


@pytest.mark.parametrize(
    ("program", "ended"),
    [
        ("def double(x):\n    return 2 * x", "finished"),
        ("def double(x):\n    return x + x  # 加倍 🎈", "finished"),
        ("def double(x):\n    print(x)\n    return x * 2", "finished"),
        ("double = lambda x: x * 2\nif __name__ == '__main__':\n    raise ValueError", "finished"),
        ("def double(x):\n    return 4", "error"),  # the second assertion fails
        ("def double(x):\n    return x +", "error"),
        ("", "error"),
        ("raise MemoryError", "error"),
        ("import numpy\ndouble = lambda x: 2 * x", "error"),  # the standard library only
        ("x = " + "(" * 10_000, "error"),
        ("x = " + "-" * 100_000 + "1", "error"),
        ("x = '\0'", "error"),
        ("x = '\udc80'", "error"),
        ("def double(x):\n    return double(x)", "error"),
        ("import ctypes; ctypes.string_at(0)", "signal"),
        # The assertions are never reached: no pass, whatever the status or the text.
        ("import sys; sys.exit(0)", "exit"),
        ("import os; os._exit(0)", "exit"),
        ("def double(x):\n    raise SystemExit", "exit"),
        ("def double(x):\n    exit()", "error"),  # a name of the site module, which is not loaded
        ("print('finished'); print('passed'); raise SystemExit(0)", "exit"),
        ("import os; os.write(3, b'finished'); os._exit(0)", "exit"),
        ("import os\nfor n in range(9):\n  os.write(3, b'0' * 32)\nos._exit(0)", "exit"),
        ("import os\nos.close(3)\ndouble = lambda x: 2 * x", "exit"),
        ("import os, sys\nos.execv(sys.executable, ['p', '-c', 'print(1)'])", "exit"),
        ("import sys\nsys.excepthook = lambda *_: __import__('os')._exit(0)\n1 / 0", "error"),
        ("import atexit, os\natexit.register(os._exit, 0)\n1 / 0", "error"),
        ("import sys\nsys.stdout = None\ndouble = lambda x: 1", "error"),
    ],
)
def test_how_programs_end(run, program, ended):
    outcome = run(program + TEST)
    assert outcome.passed == (ended == "finished")
    assert outcome.ended == ended


def test_output_and_traceback_are_kept(run):
    outcome = run("print('é')\nassert 1 == 2, 'one is not two'")
    assert outcome.output.startswith("é\nTraceback")
    assert outcome.output.endswith("AssertionError: one is not two\n")


def test_the_same_program_prints_the_same(run):
    """Hashes of strings are not random: sets keep their order from run to run."""
    program = "print({c for c in 'abcdefghijklmnop'}, hash('x'))"
    assert len({run(program).output for _ in range(3)}) == 1


def test_input_is_at_its_end_and_the_environment_is_empty(run, monkeypatch):
    monkeypatch.setenv("FORGETTING_SECRET", "42")
    assert run("import os\nassert not os.environ\nassert os.getenv('PATH') is None").passed
    assert run("input()").output.endswith("EOFError: EOF when reading a line\n")
    assert run("import sys; assert sys.stdin.read() == ''").passed


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "def double(x):\n    while True: pass" + TEST,
        "import signal\nfor n in range(1, 32):\n"
        "  if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        "10 ** 10 ** 10",  # one long step of the interpreter's own
    ],
)
def test_endless_loops_end_by_cpu_time(run, program):
    outcome = run(program, seconds=1, wall=30)
    assert outcome.ended == "time" and outcome.seconds < 25


@pytest.mark.parametrize(
    "program",
    [
        "import time; time.sleep(60)",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); signal.pause()",
    ],
)
def test_waiting_ends_by_wall_time(run, program):
    outcome = run(program, wall=0.5)
    assert outcome.ended == "time" and 0.5 <= outcome.seconds < 5


BOUNDS = [  # a limit, a program that exceeds it, and what it is told
    ({"memory_mib": 128}, "x = bytearray(2 ** 40)", "MemoryError"),
    ({"memory_mib": 128}, "x = []\nwhile True: x.append(bytes(2 ** 20) + b'1')", "MemoryError"),
    ({"memory_mib": 128}, "x = b'1' * (200 * 2 ** 20)", "MemoryError"),
    ({"memory_mib": 128}, "import mmap\nx = mmap.mmap(-1, 2 ** 30)", "Cannot allocate memory"),
    ({"disk_mib": 2}, "open('a', 'wb').write(bytes(3 * 2 ** 20))", "File too large"),
    (
        {"disk_mib": 2},
        "for n in range(9): open(str(n), 'wb').write(bytes(2 ** 20))",
        "No space left",
    ),
    ({}, "for n in range(10 ** 5): open(str(n), 'w').close()", "No space left"),
    ({}, "x = [open('a', 'w') for _ in range(1000)]", "Too many open files"),
    ({}, "import os; os.fork()", "BlockingIOError"),
    ({}, "import threading; threading.Thread(target=print).start()", "can't start new thread"),
]


@pytest.mark.parametrize(("limits", "program", "message"), BOUNDS)
def test_memory_files_and_processes_are_bounded(run, limits, program, message):
    outcome = run(program, **limits)
    assert outcome.ended == "error" and message in outcome.output


def test_a_program_within_its_memory_runs(run):
    assert run("x = b'1' * (200 * 2 ** 20)", memory_mib=512).passed


# Bounded by itself too, in case the limit fails: at most 30 children that sleep.
FORKS = """
import os, time
started = 0
for _ in range(30):
    try:
        child = os.fork()
    except BlockingIOError:
        break
    if not child:
        os.setsid()
        time.sleep(20)
        os._exit(0)
    started += 1
print(started)
"""


@pytest.mark.parametrize("processes", [1, 4])
def test_forks_are_bounded_and_die_with_the_program(run, processes):
    outcome = run(FORKS, processes=processes)
    assert outcome.passed
    assert int(outcome.output) == processes - 1
    assert outcome.seconds < 15
    assert survivors() == []


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_bounded(run, stream):
    endless = f"import sys\nwhile True: sys.{stream}.write('x' * 4096)"
    outcome = run(endless, output_kib=16, seconds=20)
    assert outcome.ended == "output"
    assert outcome.output == "x" * 16 * 1024
    assert run("print('x' * (16 * 1024 - 1))", output_kib=16).passed
    assert run("print('x' * (16 * 1024))", output_kib=16).ended == "output"


@pytest.mark.parametrize("limit", ["seconds", "wall", "memory_mib", "disk_mib", "processes"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_limits_are_positive(limit, value):
    with pytest.raises(ValueError, match=f"{limit}={value}: a program needs a limit above zero"):
        sandbox.run("", **{limit: value})


def test_files_of_the_machine_are_neither_read_nor_written(run, tmp_path):
    secret, wanted = tmp_path / "secret.txt", tmp_path / "written.txt"
    secret.write_text("42")
    os.chmod(tmp_path, 0o777)
    read = f"print(open({str(secret)!r}).read())"
    write = (
        f"import os\nos.makedirs({str(tmp_path)!r}, exist_ok=True)\n"
        f"open({str(wanted)!r}, 'w').write('x')"
    )
    for program in (read, write):  # the programs work where nothing stops them
        assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    wanted.unlink()
    assert "FileNotFoundError" in run(read).output
    assert not run(read).passed
    run(write)  # in the tests' namespace such a folder may be made, and dies there
    assert not wanted.exists() and secret.read_text() == "42"
    links = f"import os\nos.symlink({str(secret)!r}, 'link')\nprint(open('link').read())"
    assert "FileNotFoundError" in run(links).output


def test_what_there_is_to_see(run):
    home = Path.home().parts[1]
    program = f"""
import os
assert os.getcwd() == "/work" and os.listdir(".") == []
assert not set(os.listdir("/")) & {{"proc", "sys", "dev", "tmp", "var", "mnt", "boot", "srv"}}
for name in ("/etc/passwd", "/proc/self/environ", "/dev/shm", {str(Path(__file__))!r}):
    assert not os.path.exists(name), name
print(os.path.isdir("/{home}") and sorted(os.listdir("/{home}")))
"""
    outcome = run(program)
    assert outcome.passed, outcome.output
    assert outcome.output.count(",") == 0  # of a home, the way to the Python installation at most


def test_pythons_own_files_cannot_be_changed(run):
    program = """
import os
path = os.__file__
for change in (lambda: open(path, "a"), lambda: os.unlink(path), lambda: os.chmod(path, 0),
               lambda: open(os.path.dirname(path) + "/new.py", "w")):
    try:
        change()
    except OSError:
        continue
    raise AssertionError("changed")
"""
    before = os.stat(os.__file__).st_mtime_ns
    outcome = run(program)
    assert outcome.passed, outcome.output
    assert os.stat(os.__file__).st_mtime_ns == before


def test_every_run_starts_with_an_empty_folder(run):
    program = "import os\nassert os.listdir() == []\nopen('left', 'w').write('x')"
    assert run(program).passed and run(program).passed


@pytest.mark.parametrize("kind", ["tcp", "tcp6", "udp", "abstract"])
def test_the_network_is_out_of_reach(run, kind):
    """A socket listens on this machine; a plain process reaches it, a sandboxed one does not."""
    families = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6, "udp": socket.AF_INET}
    family = families.get(kind, socket.AF_UNIX)
    flow = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    with socket.socket(family, flow) as server:
        host = {"tcp6": "::1"}.get(kind, "127.0.0.1")
        server.bind(f"\0forgetting-{os.getpid()}" if kind == "abstract" else (host, 0))
        server.settimeout(0.3)
        if flow == socket.SOCK_STREAM:
            server.listen()
        program = (
            f"import socket\ns = socket.socket({int(family)}, {int(flow)})\ns.settimeout(5)\n"
            f"s.connect({server.getsockname()!r})\ns.send(b'out')"
        )

        def arrived():
            try:
                return bool(server.recv(9) if kind == "udp" else server.accept())
            except TimeoutError:
                return False

        subprocess.run([sys.executable, "-c", program], check=True)
        assert arrived()
        outcome = run(program)
        assert outcome.ended == "error" and not arrived()
        assert "Error" in outcome.output
    assert "gaierror" in run("import socket; socket.getaddrinfo('example.org', 80)").output


@pytest.mark.parametrize(
    "kill",
    [
        "os.kill(os.getppid(), 9)",
        "os.kill(0, 9)",  # its own process group
        "os.kill(-1, 9)",  # everybody it may signal
        "os.kill(TESTS, 9)",  # the process of these tests
        "[os.kill(n, 9) for n in range(2, 300)]",
    ],
)
def test_nobody_else_is_killed(run, kill):
    """We are alive to see it, and the watching process still tells that an assertion failed."""
    kill = kill.replace("TESTS", str(os.getpid()))
    program = f"import os\ntry:\n    {kill}\nexcept OSError:\n    pass\nassert 1 == 2"
    outcome = run(program)
    assert outcome.ended in {"error", "signal"} and not outcome.passed


def test_no_privileges_are_left_or_to_be_had(run):
    program = """
import ctypes, os
libc = ctypes.CDLL(None)
NEW_USER, NEW_NETWORK, NEW_MOUNTS = 0x10000000, 0x40000000, 0x20000
assert os.getuid() != 0
assert libc.unshare(NEW_USER) == libc.unshare(NEW_NETWORK) == libc.unshare(NEW_MOUNTS) == -1
assert libc.mount(b"none", b"/work", b"tmpfs", 0, None) == -1
assert libc.mount(None, os.__file__.encode(), None, 32 | 4096, None) == -1  # make it writable
assert libc.chroot(b"/work") == -1 and libc.umount2(b"/usr/lib", 2) == -1
for act in (lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.nice(-5)):
    try:
        act()
    except OSError:
        continue
    raise AssertionError("allowed")
import resource
for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC):
    try:
        resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        continue
    raise AssertionError("raised")
"""
    outcome = run(program)
    assert outcome.passed, outcome.output


def test_our_own_process_is_untouched(run):
    import math

    run("import math, builtins, sys\nmath.pi = 3\nbuiltins.len = None\nsys.modules.clear()")
    assert math.pi > 3.14 and len("ab") == 2


@pytest.fixture
def fresh_probe():
    sandbox.unavailable.cache_clear()
    yield
    sandbox.unavailable.cache_clear()


def test_other_platforms_run_nothing(monkeypatch, fresh_probe):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(SandboxUnavailable, match="darwin has no namespaces") as raised:
        sandbox.run("print(1)")
    assert "\n" not in str(raised.value) and "Linux" in str(raised.value)


def test_a_kernel_that_denies_namespaces_is_asked_once(monkeypatch, fresh_probe):
    asked = []

    def denied(program, limits):
        asked.append(program)
        return {"unavailable": "Operation not permitted: unshare"}

    monkeypatch.setattr(sandbox, "_confined", denied)
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match=r"not permitted: unshare\); use Linux 5.12"):
            sandbox.run("print('out')")
    assert asked == ["assert 1 + 1 == 2"]


def test_outcomes_other_than_finished_are_no_pass():
    for ended in ("error", "exit", "signal", "time", "output", ""):
        assert not Outcome(ended, "", 0.1).passed
    assert Outcome("finished", "", 0.1).passed
