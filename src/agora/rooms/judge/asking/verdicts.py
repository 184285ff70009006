"""Make verdicts, and keep them in a file that grows by whole lines and is never rewritten."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from agora.core.errors import AgoraError, ConfigError, DataError
from agora.core.files import make_folder, write_failed
from agora.core.json_text import loads
from agora.core.records import Verdict, VerdictStatus, stable_id
from agora.core.schemas import from_row
from agora.rooms.judge.types import Item, Kind, PairItem, PromptRef, text_hash, text_of


def call_key(item: Item, judge: str, prompt: PromptRef) -> str:
    """What a judge's call depends on: two items with the same key need one call."""
    return stable_id(item.content, judge, prompt.hash)


def verdict_id(item: Item, judge: str, prompt: PromptRef) -> str:
    """Id of the item's verdict: task, answers, order, judge, prompt, and whose answer it is."""
    return stable_id(item.identity, call_key(item, judge, prompt))


def make_verdict(
    item: Item,
    judge: str,
    prompt: PromptRef,
    status: VerdictStatus,
    value: float | None = None,
    *,
    raw_text: str = "",
    parsed: dict[str, Any] | None = None,
    usage: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
) -> Verdict:
    """The verdict on an item. Only status ``ok`` has a value.

    Raises:
        AgoraError: the value is outside the kind's range, or there is one without ``ok``.
    """
    pair = item if isinstance(item, PairItem) else None
    if (value is not None) != (status == "ok") or (value is not None and not _in_range(item.kind, value)):
        raise AgoraError(f"judge {judge} gave {value!r} with status {status} on task {item.task.id}")
    answer, baseline = text_of(item.answer), text_of(pair.baseline) if pair else None
    ties = {"call": call_key(item, judge, prompt), "answer": text_hash(answer)}
    if baseline is not None:
        ties["baseline_answer"] = text_hash(baseline)
    return Verdict(
        id=verdict_id(item, judge, prompt),
        kind=item.kind,
        task_id=item.task.id,
        model=item.answer.model,
        judge=judge,
        status=status,
        value=value,
        raw_text=raw_text,
        prompt_name=prompt.name,
        prompt_hash=prompt.hash,
        baseline=pair.baseline.model if pair else None,
        order=pair.order if pair else None,
        parsed=parsed or {},
        n_chars=len(answer),
        baseline_n_chars=None if baseline is None else len(baseline),
        usage=usage or {},
        meta={**(meta or {}), **ties},
    )


def _in_range(kind: Kind, value: float) -> bool:
    if kind == "pair":
        return value in (-1.0, -0.5, 0.0, 0.5, 1.0)
    return 1 <= value <= 10 if kind == "score" else 0 <= value <= 1


def without_call(item: Item, judge: str, prompt: PromptRef) -> Verdict | None:
    """The verdict on an item that needs no judge: an empty answer, or two equal ones; None for all others."""
    answer = text_of(item.answer).strip()
    if not isinstance(item, PairItem):
        lowest = 1.0 if item.kind == "score" else 0.0
        return None if answer else make_verdict(item, judge, prompt, "ok", lowest, meta={"skipped": "empty"})
    baseline = text_of(item.baseline).strip()
    if answer == baseline:
        why = "identical" if answer else "both_empty"
        return make_verdict(item, judge, prompt, "ok", 0.0, meta={"skipped": why})
    if answer and baseline:
        return None
    value, why = (1.0, "baseline_empty") if answer else (-1.0, "empty")
    return make_verdict(item, judge, prompt, "ok", value, meta={"skipped": why})


def fate(verdict: Verdict) -> str:
    """What became of an item, finer than the verdict's status.

    Returns:
        ``ok``, ``skipped_empty`` and ``skipped_identical`` (settled without a call, with a value), ``unparsed``,
        ``out_of_range``, ``refused`` (would fail again), ``judge_error`` (may pass next time) or ``missing``.
    """
    if verdict.status == "ok" and "skipped" in verdict.meta:
        return "skipped_identical" if verdict.meta["skipped"] == "identical" else "skipped_empty"
    if verdict.status == "unparsed" and verdict.parsed.get("reason") == "out_of_range":
        return "out_of_range"
    if verdict.status == "missing" and "error" in verdict.parsed:
        return "judge_error"
    return verdict.status


def verdict_for(item: Item, other: Verdict, judge: str, prompt: PromptRef) -> Verdict:
    """The verdict of another item with the same call key, as this item's own; it cost nothing."""
    own = make_verdict(item, judge, prompt, other.status, other.value)
    meta = {**other.meta, "same_call_as": other.meta.get("same_call_as", other.id)}
    return replace(own, raw_text=other.raw_text, parsed=other.parsed, meta=meta)


def _locked(path: Path) -> int:
    """An open descriptor that holds the file's lock until it is closed."""
    import fcntl

    make_folder(path.parent)
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as err:
        raise write_failed(path, err) from err
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        hint = "wait for it to end, or choose another file"
        raise AgoraError("another process is judging into this file", where=str(path), hint=hint) from None
    return lock


class VerdictFile:
    """An append-only file of verdicts by one judge; the last line on an id counts.

    It is locked while open. A line that a killed process left half-written is cut off on opening. Only ids, statuses
    and places are held in memory: a verdict is read back from its place.

    Raises:
        AgoraError: another process writes to the file.
        ConfigError: the file holds verdicts by another judge or prompt.
        DataError: a line is no verdict; names file and line.
    """

    def __init__(self, path: Path, judge: str, prompt: PromptRef, kind: Kind) -> None:
        from agora.core.tables import JsonlWriter

        self.path = Path(path)
        self._lock = _locked(self.path)
        self._writer = JsonlWriter(self.path)
        self._places: dict[str, _Place] = {}
        self._by_call: dict[str, str] = {}
        self.cost_usd = 0.0
        self._end = 0
        self._reader = self.path.open("rb")
        try:
            self._read(judge, prompt, kind)
        except BaseException:
            self.close()
            raise

    def _read(self, judge: str, prompt: PromptRef, kind: Kind) -> None:
        for number, line in enumerate(self._reader, 1):
            try:
                row = loads(line)
                self._keep(row["id"], row["status"], row["meta"], row["usage"], len(line))
                found = (row["judge"], row["kind"], row["prompt_name"], row["prompt_hash"])
            except (ValueError, KeyError, TypeError, AttributeError):
                where = f"{self.path}:{number}"
                raise DataError("the line is no verdict", where=where, hint="choose another file") from None
            self._refuse_others(found, judge, prompt, kind)

    def _refuse_others(self, row: tuple[str, str, str, str], judge: str, prompt: PromptRef, kind: Kind) -> None:
        by, row_kind, name, sha = row
        if by != judge:
            found, asked = f"judge {by}", judge
        elif row_kind == kind and sha != prompt.hash:
            found, asked = f"prompt {name} {sha}", f"{prompt.name} {prompt.hash}"
        else:
            return
        raise ConfigError(
            f"the file holds verdicts by {found}, this run uses {asked}",
            where=str(self.path),
            hint="write the verdicts of another judge or prompt to another file",
        )

    def _keep(self, id_: str, status: str, meta: dict[str, Any], usage: dict[str, Any], size: int) -> None:
        asked = int(meta.get("attempts", 1)) if status == "unparsed" else 0
        self._places[id_] = _Place(self._end, size, sys.intern(status), asked, bool(meta.get("open")))
        self._end += size
        self.cost_usd += usage.get("cost_usd") or 0.0
        if "call" in meta:
            self._by_call[meta["call"]] = id_

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._places

    def settled(self, id_: str, retry: frozenset[str]) -> bool:
        """True when an id has a verdict that no further call could better."""
        place = self._places.get(id_)
        return place is not None and place.status not in retry and not place.open

    def asked(self, id_: str) -> int:
        """How many replies about an item came that could not be read."""
        return self._places[id_].asked if id_ in self._places else 0

    def by_call(self, key: str, retry: frozenset[str]) -> Verdict | None:
        """A settled verdict on an item with this call key."""
        id_ = self._by_call.get(key)
        return self.get(id_) if id_ is not None and self.settled(id_, retry) else None

    def get(self, id_: str) -> Verdict:
        """The verdict on an id, read back from the file."""
        place = self._places[id_]
        return from_row(Verdict, loads(os.pread(self._reader.fileno(), place.size, place.start)))

    def add(self, verdict: Verdict) -> None:
        """Append a verdict; it is on disk when this returns."""
        size = self._writer.write(verdict)
        self._keep(verdict.id, verdict.status, verdict.meta, verdict.usage, size)

    def close(self) -> None:
        """Close the file and free the lock."""
        self._reader.close()
        self._writer.close()
        os.close(self._lock)

    def __enter__(self) -> VerdictFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class _Place(NamedTuple):
    """Where a verdict lies in its file (bytes), its status, how many replies were unreadable, if a round is open."""

    start: int
    size: int
    status: str
    asked: int
    open: bool


def read_verdicts(path: Path) -> Iterator[Verdict]:
    """The verdicts of a file as they were written, superseded ones included."""
    from agora.core.tables import read_records

    yield from read_records(path, Verdict)


def latest(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The last verdict on each id, in order of first appearance."""
    return list({verdict.id: verdict for verdict in verdicts}.values())
