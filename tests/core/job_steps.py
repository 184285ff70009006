"""Steps that the tests of jobs send to worker processes; what they wait for is named in the environment."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Rows = Iterator[dict[str, Any]]


def scale(rows: Rows, factor: int = 2) -> Rows:
    for row in rows:
        yield row | {"x": row["x"] * factor, "text": "é" * (row["x"] % 7)}


def drop_odd(rows: Rows) -> Rows:
    for row in rows:
        if row["x"] % 2 == 0:
            yield row


def exit_at(rows: Rows, x: int) -> Rows:
    for row in rows:
        if row["x"] == x:
            os._exit(1)
        yield row


def divide(rows: Rows, by: int) -> Rows:
    for row in rows:
        yield {"x": 1 // (row["x"] - by)}


def give_numbers(rows: Rows) -> Iterator[Any]:
    for row in rows:
        yield row["x"]


def wait_at(rows: Rows, x: int, gate: str) -> Rows:
    """Stops at one row until the gate's file is there."""
    for row in rows:
        while row["x"] == x and not Path(gate).exists():
            time.sleep(0.02)
        yield row


def imported(rows: Rows) -> Rows:
    for row in rows:
        yield row | {"torch": "torch" in sys.modules}


def die_once(rows: Rows, x: int, note: str) -> Rows:
    """Kills its own process at one row, the first time."""
    for row in rows:
        if row["x"] == x and not Path(note).exists():
            Path(note).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield row


def square(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number * number


def process(_: int) -> int:
    """The process that does the work."""
    return os.getpid()
