"""Make verdicts, and keep them in a file that grows by whole lines and is never rewritten."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from agora.core.errors import AgoraError, ConfigError
from agora.core.files import make_folder, write_failed
from agora.core.records import Verdict, VerdictStatus, stable_id
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
    return 1 <= value <= 10 if kind == "score" else value in (-1.0, -0.5, 0.0, 0.5, 1.0)


def without_call(item: Item, judge: str, prompt: PromptRef) -> Verdict | None:
    """The verdict on an item that needs no judge: an empty answer, or two equal ones; None for all others."""
    answer = text_of(item.answer).strip()
    if not isinstance(item, PairItem):
        return None if answer else make_verdict(item, judge, prompt, "ok", 1.0, meta={"skipped": "empty"})
    baseline = text_of(item.baseline).strip()
    if answer == baseline:
        why = "identical" if answer else "both_empty"
        return make_verdict(item, judge, prompt, "ok", 0.0, meta={"skipped": why})
    if answer and baseline:
        return None
    value, why = (1.0, "baseline_empty") if answer else (-1.0, "empty")
    return make_verdict(item, judge, prompt, "ok", value, meta={"skipped": why})


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

    It is locked while open. A line that a killed process left half-written is cut off on opening.

    Raises:
        AgoraError: another process writes to the file.
        ConfigError: the file holds verdicts by another judge or prompt.
    """

    def __init__(self, path: Path, judge: str, prompt: PromptRef, kind: Kind) -> None:
        from agora.core.tables import JsonlWriter

        self.path = Path(path)
        self._lock = _locked(self.path)
        self._writer = JsonlWriter(self.path)
        try:
            self.by_id = {verdict.id: verdict for verdict in read_verdicts(path)} if path.stat().st_size else {}
            self._refuse_others(judge, prompt, kind)
        except BaseException:
            self.close()
            raise
        self.by_call = {v.meta["call"]: v for v in self.by_id.values() if "call" in v.meta}

    def _refuse_others(self, judge: str, prompt: PromptRef, kind: Kind) -> None:
        for verdict in self.by_id.values():
            if verdict.judge != judge:
                found, asked = f"judge {verdict.judge}", judge
            elif verdict.kind == kind and verdict.prompt_hash != prompt.hash:
                found, asked = f"prompt {verdict.prompt_name} {verdict.prompt_hash}", f"{prompt.name} {prompt.hash}"
            else:
                continue
            raise ConfigError(
                f"the file holds verdicts by {found}, this run uses {asked}",
                where=str(self.path),
                hint="write the verdicts of another judge or prompt to another file",
            )

    def add(self, verdict: Verdict) -> None:
        """Append a verdict; it is on disk when this returns."""
        self._writer.write(verdict)
        self.by_id[verdict.id] = verdict
        if "call" in verdict.meta:
            self.by_call[verdict.meta["call"]] = verdict

    def close(self) -> None:
        """Close the file and free the lock."""
        self._writer.close()
        os.close(self._lock)

    def __enter__(self) -> VerdictFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def read_verdicts(path: Path) -> Iterator[Verdict]:
    """The verdicts of a file as they were written, superseded ones included."""
    from agora.core.tables import read_records

    yield from read_records(path, Verdict)


def latest(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The last verdict on each id, in order of first appearance."""
    return list({verdict.id: verdict for verdict in verdicts}.values())
