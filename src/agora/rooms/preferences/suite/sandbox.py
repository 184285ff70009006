"""Run programs that a model has written, each in a process of its own with nothing to reach and little to spend.

This keeps mistakes and mischief in bounds (see ``_sandbox_child.py`` for the layers); it is not proof against code
written to break out. That is why nothing runs unless a user says so, and why every result says how it was isolated.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agora.core.errors import ConfigError, MissingError

Outcome = Literal["passed", "failed", "timeout", "crashed"]
_CHILD = Path(__file__).with_name("_sandbox_child.py")
_GRACE_S = 10.0  # for the supervisor to start and to clean up
_MAX_REPLY = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may spend and reach.

    Args:
        timeout_s: wall-clock seconds, above 0.
        memory_mb: address space, at least 64 MiB.
        isolate: the most that is tried: ``namespaces``, ``landlock``, or ``nothing`` beyond limits and the audit hook.
    """

    timeout_s: float = 10.0
    memory_mb: int = 1024
    isolate: Literal["namespaces", "landlock", "nothing"] = "namespaces"

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout_s must be above 0, got {self.timeout_s}")
        if self.memory_mb < 64:
            raise ConfigError(f"memory_mb must be at least 64, got {self.memory_mb}")


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of one program. `isolation` is what held it: ``namespaces``, ``landlock`` or only ``limits``."""

    outcome: Outcome
    detail: str
    isolation: str
    seconds: float

    @property
    def passed(self) -> bool:
        """It ran to its end and nothing was raised."""
        return self.outcome == "passed"


def run_program(program: str, limits: Limits | None = None) -> Execution:
    """Run one Python program to its end, its time limit or its death; nothing of it is left afterwards.

    Args:
        program: source text; it passes if it raises nothing.
        limits: what it may spend.

    Raises:
        MissingError: this system has no process groups or resource limits (Windows).
    """
    if os.name != "posix":
        raise MissingError("programs are run on POSIX systems only", hint="use Linux, macOS or a container")
    limits, token, start = limits or Limits(), secrets.token_hex(16), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="agora-program-", ignore_cleanup_errors=True) as folder:
        job = {
            "program": program,
            "token": token,
            "folder": folder,
            "timeout_s": limits.timeout_s,
            "memory_mb": limits.memory_mb,
            "isolate": limits.isolate,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
        try:
            reply = _converse(process, json.dumps(job).encode(), start + limits.timeout_s + _GRACE_S)
        finally:
            _end(process)
    return _read(reply, token, time.monotonic() - start)


def run_programs(
    programs: Iterable[str], limits: Limits | None = None, *, workers: int | None = None
) -> list[Execution]:
    """Run several programs, a few at a time; equal ones are run once.

    Args:
        workers: at most so many at once; None: one a processor.

    Returns:
        One result a program, in their order.
    """
    from concurrent.futures import ThreadPoolExecutor

    wanted = list(programs)
    distinct = list(dict.fromkeys(wanted))
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = dict(zip(distinct, pool.map(lambda program: run_program(program, limits), distinct), strict=True))
    return [found[program] for program in wanted]


def _converse(process: subprocess.Popen[bytes], job: bytes, deadline: float) -> bytes:
    """Hand over the job and read the reply, up to its end or the deadline."""
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(job)
        process.stdin.close()
    reply = b""
    with selectors.DefaultSelector() as selector:  # select() itself refuses descriptors above 1,023
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(reply) < _MAX_REPLY:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            piece = os.read(process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                break
            reply += piece
    return reply


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group, whether or not its leader is alive; with the leader dies its namespace."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _read(reply: bytes, token: str, seconds: float) -> Execution:
    rows = [row for row in _rows(reply.splitlines()) if row.get("token") == token]
    isolation = next((row["isolation"] for row in rows if row["isolation"]), "unknown")
    for row in rows:
        if row["outcome"] != "started":
            return Execution(row["outcome"], row["detail"], isolation, seconds)
    detail = "the process ended before the program did" if rows else "the sandbox did not start"
    return Execution("crashed", detail, isolation, seconds)


def _rows(lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                yield row
