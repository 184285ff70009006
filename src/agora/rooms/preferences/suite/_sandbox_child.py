"""The process in which a program written by a model runs. Started by ``sandbox.py`` as a script; standard library only.

It reads one job from standard input and writes JSON lines to what was its standard output: ``{"token": ..., "outcome":
"started" | "passed" | "failed" | "timeout", "detail": ..., "isolation": ...}``. Three processes share the work: the
supervisor (this one: keeps the time, kills what is left), the first process of a new process namespace where the
system offers one (all others in it die with it), and the worker that runs the program.

Layers, from outside in: own namespaces (no network, no view of other processes, file system read-only but for an empty
folder in memory), Landlock (no TCP, no writes elsewhere), no privileges, resource limits, no environment, and an audit
hook that refuses processes, sockets and writes elsewhere. Where a layer is not to be had the rest still holds, and
``isolation`` says which of the outer two did: ``namespaces``, ``landlock`` or ``limits`` (neither).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 1 << 14, 1 << 18, 1 << 1, 1 << 2
_AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY, _SYS_MOUNT_SETATTR = -100, 0x8000, 1, 442
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
_CAP_VERSION_3 = 0x20080522
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_WRITE, _LANDLOCK_REFER, _LANDLOCK_TRUNCATE = 0b1_1111_1111_0010, 1 << 13, 1 << 14
_FORBIDDEN = ("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn")
_FORBIDDEN_PREFIXES = ("subprocess.", "socket.", "ftplib.", "smtplib.", "urllib.", "webbrowser.")
_WRITES = {"os.remove": 1, "os.rename": 2, "os.rmdir": 1, "os.mkdir": 1, "os.chmod": 1, "os.chown": 1, "os.link": 2}
_WRITES |= {"os.symlink": 2, "os.truncate": 1, "os.utime": 1, "shutil.rmtree": 1}


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _try_namespaces(libc: Any) -> str:
    """Move into new namespaces; the next child is the first process of the new process namespace."""
    uid, gid = os.getuid(), os.getgid()
    try:
        if libc.unshare(_NEWUSER | _NEWNS | _NEWPID | _NEWNET | _NEWIPC):
            return "limits"
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as out:  # noqa: PTH123 - no pathlib: every import costs each program
                out.write(text)
    except (AttributeError, OSError):
        return "limits"
    return "namespaces"


def _close_file_system(libc: Any, folder: str) -> bool:
    """Make everything read-only but an empty folder in memory, and hide the list of processes."""
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        return False
    attributes = (ctypes.c_uint64 * 4)(_ATTR_RDONLY, 0, 0, 0)
    if libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, attributes, ctypes.sizeof(attributes)):
        return False
    options = _MS_NOSUID | _MS_NODEV
    if libc.mount(b"tmpfs", folder.encode(), b"tmpfs", options, b"size=64m,nr_inodes=4k,mode=700"):
        return False
    return not libc.mount(b"tmpfs", b"/proc", b"tmpfs", options, b"size=4k,nr_inodes=2,mode=500")


def _landlock(libc: Any, folder: str) -> bool:
    """Let this process and its children write in one folder only, and open no TCP connection."""
    version = libc.syscall(_SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    files = _LANDLOCK_WRITE | (_LANDLOCK_REFER if version >= 2 else 0) | (_LANDLOCK_TRUNCATE if version >= 3 else 0)
    handled = (ctypes.c_uint64 * 3)(files, 3, 3)  # files; TCP bind and connect; abstract sockets and signals
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.syscall(_SYS_LANDLOCK_CREATE, handled, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    for path, rights in ((folder, files), (os.devnull, files & (2 | _LANDLOCK_TRUNCATE))):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
        libc.syscall(_SYS_LANDLOCK_ADD, ruleset, 1, rule, 0)
        os.close(place)
    closed: bool = libc.syscall(_SYS_LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return closed


def _drop_privileges(libc: Any) -> None:
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())


def _limit(job: dict[str, Any]) -> None:
    megabyte = 1 << 20
    wanted = {
        "RLIMIT_AS": job["memory_mb"] * megabyte,
        "RLIMIT_CPU": int(job["timeout_s"]) + 1,
        "RLIMIT_FSIZE": 16 * megabyte,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_NPROC": 64,
    }
    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            _, hard = resource.getrlimit(kind)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(kind, (value, value))
            except (OSError, ValueError):  # some systems know a limit and do not take it
                continue


def _guard(folder: str) -> None:
    """Refuse processes, sockets and writes outside the folder, whatever the system would allow."""
    inside = os.path.realpath(folder)

    def allowed(path: object) -> bool:
        if isinstance(path, int):
            return True  # an open file
        text = os.fsdecode(path) if isinstance(path, (str, bytes)) else os.fspath(path)  # type: ignore[call-overload]
        full = os.path.realpath(text)
        return full == inside or full.startswith(inside + os.sep) or full == os.devnull

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and any(c in mode for c in "wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            )
            if writes and path is not None and not allowed(path):
                raise PermissionError("the sandbox allows writing in its own folder alone")
        elif event in _FORBIDDEN or event.startswith(_FORBIDDEN_PREFIXES):
            raise PermissionError(f"the sandbox does not allow {event}")
        elif event in _WRITES and not all(allowed(path) for path in arguments[: _WRITES[event]]):
            raise PermissionError(f"the sandbox allows {event} in its own folder alone")

    sys.addaudithook(hook)


def _work(job: dict[str, Any], out: int, isolation: str) -> None:
    """Run the program and report; whatever ends this process otherwise is no pass."""
    libc = _libc()
    closed = isolation == "namespaces" and _close_file_system(libc, job["folder"])
    if sys.platform == "linux":
        _drop_privileges(libc)
        locked = job["isolate"] != "nothing" and _landlock(libc, job["folder"])
        if not closed:
            isolation = ("namespaces+" if isolation == "namespaces" else "") + ("landlock" if locked else "limits")
    _report(out, job["token"], "started", "", isolation)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(HOME=job["folder"], TMPDIR=job["folder"], OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    program, token = job.pop("program"), job.pop("token")
    outcome, detail = "failed", ""
    _limit(job)
    _guard(job["folder"])
    try:
        exec(compile(program, "program.py", "exec"), {"__name__": "__main__"})
        outcome = "passed"
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they end a program before its checks
        detail = f"{type(error).__name__}: {error}"[:300]
    _report(out, token, outcome, detail)
    os._exit(0)  # threads and exit handlers of the program have no say


def _report(out: int, token: str, outcome: str, detail: str, isolation: str | None = None) -> None:
    text = {"token": token, "outcome": outcome, "detail": detail, "isolation": isolation}
    os.write(out, json.dumps(text, ensure_ascii=True).encode() + b"\n")


def _first_process(job: dict[str, Any], out: int, isolation: str) -> None:
    """Process 1 of its namespace: when it ends, the kernel kills everything the program has started."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    worker = os.fork()
    if worker == 0:
        _work(job, out, isolation)
    os.waitpid(worker, 0)
    os._exit(0)


def _descendants(root: int) -> list[int]:
    """Process ids below `root`, from /proc; empty where there is none."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:  # noqa: PTH112, PTH208 - see above
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat") as source:  # noqa: PTH123
                    parents[int(name)] = int(source.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    found, newest = [], [root]
    while newest:
        newest = [pid for pid, parent in parents.items() if parent in newest]
        found += newest
    return found


def _kill_rest() -> None:
    """Kill every descendant; orphans come back to this process as it is their reaper."""
    for _ in range(50):
        left = _descendants(os.getpid())
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        time.sleep(0.01)


def _ended(child: int, timeout_s: float) -> bool:
    """Whether the child ends in time."""
    deadline, pause = time.monotonic() + timeout_s, 0.001
    while True:
        if os.waitpid(child, os.WNOHANG)[0] == child:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def main() -> None:
    """Supervise one job."""
    job = json.loads(sys.stdin.buffer.read())
    out, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    libc = _libc()
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    isolation = _try_namespaces(libc) if job["isolate"] == "namespaces" else "limits"
    child = os.fork()
    if child == 0:
        _first_process(job, out, isolation) if isolation == "namespaces" else _work(job, out, isolation)
    if not _ended(child, job["timeout_s"]):
        os.kill(child, signal.SIGKILL)
        _report(out, job["token"], "timeout", f"not finished after {job['timeout_s']:g} s")
    if isolation != "namespaces":  # those end with their first process
        _kill_rest()


if __name__ == "__main__":
    main()
