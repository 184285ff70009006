"""How far a long job is: a bar with rate and time left on a terminal, plain lines elsewhere, silence on request.

Everything goes to stderr, so that results on stdout stay clean. ``AGORA_PROGRESS=0`` silences it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    import rich.progress

LINE_EVERY_S = 5.0


class Progress(Protocol):
    """What a job tells about itself."""

    def advance(self, n: int = 1) -> None:
        """``n`` more units are done."""

    def note(self, text: str) -> None:
        """Say one thing worth reading, above the bar or as a line."""


def quiet() -> bool:
    """True when ``AGORA_PROGRESS`` asks for silence (``0``, ``off``, ``no``, ``false``)."""
    return os.environ.get("AGORA_PROGRESS", "").lower() in ("0", "off", "no", "false")


@contextmanager
def progress(total: int | None, label: str, unit: str = "it") -> Iterator[Progress]:
    """Show a job's progress on stderr while the context lasts; contexts may be nested.

    Args:
        total: how many units there are; None when unknown.
        label: what is being done, a few words.
        unit: what is counted (``rows``, ``tokens``, ``it``).
    """
    if quiet():
        yield _Silent()
    elif sys.stderr.isatty():
        with _bar(total, label, unit) as bar:
            yield bar
    else:
        lines = Lines(total, label, unit, sys.stderr)
        try:
            yield lines
        finally:
            lines.close()


class _Silent:
    def advance(self, n: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Lines:
    """Plain lines: one at most every five seconds, and one at the end. ``clock`` is in seconds."""

    def __init__(self, total: int | None, label: str, unit: str, out: TextIO, clock: Any = time.monotonic) -> None:
        self.total, self.label, self.unit, self._out, self._clock = total, label, unit, out, clock
        self.done = 0
        self._start = self._last = clock()
        self._lock = threading.Lock()

    def advance(self, n: int = 1) -> None:
        """Count, and write a line when five seconds have passed since the last."""
        with self._lock:
            self.done += n
            now = self._clock()
            if now - self._last >= LINE_EVERY_S:
                self._last = now
                self._write(describe(self.label, self.done, self.total, self.unit, now - self._start))

    def note(self, text: str) -> None:
        """Write a line at once."""
        with self._lock:
            self._write(f"{self.label}: {text}")

    def close(self) -> None:
        """Write the last line."""
        seconds = self._clock() - self._start
        with self._lock:
            self._write(f"{describe(self.label, self.done, None, self.unit, seconds)}, {_span(seconds)} in all")

    def _write(self, line: str) -> None:
        with suppress(OSError, ValueError):  # a closed stderr must not stop the work
            self._out.write(line + "\n")
            self._out.flush()


def describe(label: str, done: int, total: int | None, unit: str, seconds: float) -> str:
    """One line: ``draw: 120/500 rows (24 %), 12.3 rows/s, 0:31 left``."""
    rate = done / seconds if seconds > 0 else 0.0
    count = f"{done:,}" if total is None else f"{done:,}/{total:,}"
    share = f" ({done / total:.0%})".replace("%", " %") if total else ""
    left = f", {_span((total - done) / rate)} left" if total and rate > 0 and done < total else ""
    return f"{label}: {count} {unit}{share}, {_rate(rate)} {unit}/s{left}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"


def _span(seconds: float) -> str:
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"


class _Screen:
    """The one live display of the process: rich allows one, nested jobs are rows in it."""

    lock = threading.Lock()
    live: rich.progress.Progress | None = None
    users = 0


@contextmanager
def _bar(total: int | None, label: str, unit: str) -> Iterator[Progress]:
    with _Screen.lock:
        if _Screen.live is None:
            _Screen.live = _new_live()
            _Screen.live.start()
        live = _Screen.live
        _Screen.users += 1
    task = live.add_task(label, total=total, unit=unit)
    try:
        yield _Bar(live, task)
    finally:
        with _Screen.lock:
            _Screen.users -= 1
            if _Screen.users:
                live.remove_task(task)  # a finished inner job leaves the screen, the outermost stays on it
            else:
                live.stop()
                _Screen.live = None


def _new_live() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _count_column(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("after"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _count_column() -> rich.progress.ProgressColumn:
    """``120/500 rows  12.3 rows/s``."""
    from rich.progress import ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Task) -> Text:
            unit = task.fields.get("unit", "")
            total = "" if task.total is None else f"/{task.total:,.0f}"
            speed = task.finished_speed or task.speed
            rate = f"  {_rate(speed)} {unit}/s" if speed else ""
            return Text(f"{task.completed:,.0f}{total} {unit}{rate}")

    return Count(table_column=Column(no_wrap=True))


class _Bar:
    def __init__(self, live: rich.progress.Progress, task: Any) -> None:
        self._live, self._task = live, task

    def advance(self, n: int = 1) -> None:
        self._live.advance(self._task, n)

    def note(self, text: str) -> None:
        from rich.text import Text

        self._live.print(Text(text))
