"""The script of the process that prepares and watches a program of `sandbox`.

It reads a request as JSON from its standard input and answers with the fields of an `Outcome`, or
with "unavailable" and a reason. It runs by itself, which is why it imports the standard library
only.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import secrets
import select
import signal
import sys
import time
from functools import cache
from typing import Any

SYSTEM_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
NOBODY = 65534
OPEN_FILES = 64
FILES = 512

# linux/sched.h, linux/mount.h, linux/prctl.h
NEW_MOUNTS, NEW_HOSTNAME, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
AT_RECURSIVE, MOUNT_READ_ONLY_NOSUID_NODEV = 0x8000, 0x1 | 0x2 | 0x4
MOUNT_SETATTR = 442
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

# What the fresh Python runs. The word that reports success is no text of the program: the tests'
# last line must have been reached for it to be written. `__name__` is not "__main__", as in the
# harnesses of HumanEval and MBPP, so that a model's own demonstration does not run.
_START = """
import os, sys, types
def main(write, leave):
    with open("program", encoding="utf-8", errors="surrogatepass") as file:
        word, _, text = file.read().partition("\\n")
    os.unlink("program")
    os.environ.clear()
    module = sys.modules["program"] = types.ModuleType("program")
    try:
        exec(compile(text, "program", "exec"), module.__dict__)
    except SystemExit:
        raise
    except BaseException:
        write(3, b"error")
        try:
            import traceback
            text = traceback.format_exc()
            sys.stdout.flush()
            sys.stderr.write(text)
            sys.stderr.flush()
        finally:
            leave(1)
    try:
        sys.stdout.flush()
    finally:
        write(3, word.encode())
        leave(0)
main(os.write, os._exit)
"""


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    word = secrets.token_hex(16)
    try:
        null = os.open("/dev/null", os.O_RDONLY)
        _leave_everything(request, f"{word}\n{request['program']}")
        pid, output, status = _start(request, null)
    except OSError as error:
        return {"unavailable": f"{error.strerror}: {error.filename or 'namespaces'}"}
    return _watch(pid, output, status, word, request["limits"])


def _leave_everything(request: dict[str, Any], program: str) -> None:
    """Put this process and its children into namespaces that hold nothing of the machine."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    root = os.geteuid() == 0
    if root:
        # Limits on the number of processes do not bind user 0, so the program gets another one.
        _call("unshare", NEW_MOUNTS)
    else:
        _own_users(proc, NEW_MOUNTS)
    _call("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    _own_files(request, program, NOBODY if root else os.geteuid())
    if root:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        _call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)  # or /proc/self would stay the other user's
        _own_users(proc, 0)
    # Namespaces inside this one would give the program back some privileges.
    _write(proc, "sys/user/max_user_namespaces", "0")
    _call("unshare", NEW_NETWORK | NEW_PROCESSES | NEW_IPC | NEW_HOSTNAME)
    os.close(proc)


def _own_users(proc: int, more: int) -> None:
    """A user namespace whose one user is this process's, under the number of nobody."""
    user, group = os.geteuid(), os.getegid()
    _call("unshare", NEW_USER | more)
    _write(proc, "self/setgroups", "deny")
    _write(proc, "self/uid_map", f"{NOBODY} {user} 1")
    _write(proc, "self/gid_map", f"{NOBODY} {group} 1")


def _own_files(request: dict[str, Any], program: str, owner: int) -> None:
    """A root folder in memory: what Python needs, read-only, and /work with the program."""
    new = request["folder"]
    size = int(request["limits"]["disk_mib"] * 2**20) + len(program.encode(errors="replace")) * 2
    options = f"size={size + 2**16},nr_inodes={FILES},mode=755".encode()
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    _call("mount", b"tmpfs", os.fsencode(new), b"tmpfs", flags, options)
    prefix = os.path.realpath(request["prefix"])
    shown: list[str] = []
    for path in sorted({prefix, os.path.dirname(request["python"]), *SYSTEM_FOLDERS}):
        if not any(f"{path}/".startswith(f"{folder}/") for folder in shown):
            shown += _show(path, new)
    work = f"{new}/work"
    os.mkdir(work)
    with open(f"{work}/program", "x", encoding="utf-8", errors="surrogatepass") as file:
        file.write(program)
    for path in (work, f"{work}/program"):
        os.chown(path, owner if os.geteuid() == 0 else -1, -1)
    os.chdir(new)
    number = ctypes.c_long(PIVOT_ROOT[os.uname().machine])
    _call("syscall", number, b".", b".")
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/work")


def _show(path: str, new: str) -> list[str]:
    """Make `path` readable below `new`; the folders that this made visible."""
    if not os.path.exists(path):
        return []
    os.makedirs(os.path.dirname(new + path), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), new + path)
        return []
    if os.path.isdir(path):
        os.makedirs(new + path, exist_ok=True)
    else:
        open(new + path, "x").close()
    source, target = os.fsencode(path), os.fsencode(new + path)
    _call("mount", source, target, None, ctypes.c_ulong(MS_BIND | MS_REC), None)
    attributes = (ctypes.c_uint64 * 4)(MOUNT_READ_ONLY_NOSUID_NODEV, 0, 0, 0)
    number, here = ctypes.c_long(MOUNT_SETATTR), ctypes.c_int(-100)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    _call("syscall", number, here, target, ctypes.c_uint(AT_RECURSIVE), attributes, size)
    return [path]


def _start(request: dict[str, Any], null: int) -> tuple[int, int, int]:
    """Start the program; its number, and the ends to read of its output and of its status."""
    output, printed = os.pipe()
    status, reported = os.pipe()
    pid = os.fork()
    if pid:
        os.close(printed)
        os.close(reported)
        return pid, output, status
    try:
        os.setsid()  # a signal to its own group must not reach the watching process
        _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _limit(request["limits"])
        high = [os.dup2(end, 10 + i) for i, end in enumerate((null, printed, printed, reported))]
        for target, end in enumerate(high):
            os.dup2(end, target)
        os.closerange(4, 256)
        python = [request["python"], "-P", "-s", "-S", "-B", "-X", "utf8", "-c", _START]
        os.execve(python[0], python, {"PYTHONHASHSEED": "0"})
    finally:
        os._exit(127)


def _limit(limits: dict[str, float]) -> None:
    import resource

    bytes_ = {
        resource.RLIMIT_AS: limits["memory_mib"] * 2**20,
        resource.RLIMIT_FSIZE: limits["disk_mib"] * 2**20,
    }
    numbers = {
        resource.RLIMIT_CPU: math.ceil(limits["seconds"]),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        # The watching process is the same user's in the same namespace, so it counts too.
        resource.RLIMIT_NPROC: limits["processes"] + 1,
    }
    for kind, value in (bytes_ | numbers).items():
        resource.setrlimit(kind, (int(value), int(value)))


def _watch(
    pid: int, output: int, status: int, word: str, limits: dict[str, float]
) -> dict[str, Any]:
    """Wait for the program's end, or bring it about."""
    began, most = time.monotonic(), int(limits["output_kib"] * 1024)
    read = {output: b"", status: b""}
    stopped = ""
    with os.fdopen(os.pidfd_open(pid), "rb") as end:
        ready = select.poll()
        for source in (output, status, end):
            ready.register(source, select.POLLIN)
        done = False
        while not done and not stopped:
            left = began + limits["wall"] - time.monotonic()
            events = dict(ready.poll(max(0, math.ceil(left * 1000))))
            done = end.fileno() in events
            _read_ready(events, read, most, ready)
            if len(read[output]) > most:
                stopped = "output"
            elif left <= 0:
                stopped = "time"
    if not done:
        os.kill(pid, signal.SIGKILL)
    _, code, used = os.wait4(pid, 0)
    seconds = time.monotonic() - began
    while not stopped and _read_ready({output: select.POLLIN, status: select.POLLIN}, read, most):
        pass
    if not stopped and len(read[output]) > most:
        stopped = "output"
    cpu = used.ru_utime + used.ru_stime
    if stopped:
        ended = stopped
    elif os.WIFSIGNALED(code):
        # Process 1 ignores its own SIGKILL: this one is the limit's, or memory ran out outside.
        # The limit counts clock ticks, which on a busy virtual machine run ahead of the CPU time.
        late = os.WTERMSIG(code) == signal.SIGKILL and cpu > limits["seconds"] / 2
        ended = "time" if late else "signal"
    elif read[status] == word.encode():
        ended = "finished"
    else:
        ended = "error" if read[status] == b"error" else "exit"
    text = read[output][:most].decode(errors="replace")
    return {"ended": ended, "output": text, "seconds": round(seconds, 3)}


def _read_ready(
    events: dict[int, int], read: dict[int, bytes], most: int, ready: Any = None
) -> bool:
    """Append what lies in the pipes, up to `most` bytes and one more; whether there was any."""
    found = False
    for source in events.keys() & read.keys():
        part = os.read(source, 65536) if len(read[source]) <= most else b""
        read[source] += part[: most + 1 - len(read[source])]
        found = found or bool(part)
        if not part and ready is not None:
            ready.unregister(source)
    return found


def _write(folder: int, path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(file, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"/proc/{path}") from error
    finally:
        os.close(file)


def _call(function: str, *arguments: Any) -> None:
    """A function of the C library. Raises `OSError` with its name where it fails."""
    if getattr(_library(), function)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), function)


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    print(json.dumps(_answer(json.load(sys.stdin))))
