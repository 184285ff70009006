"""Answer a file of prompts into a file of answers, so that a rerun pays only for what is missing."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agora.core.errors import AgoraError, CapabilityError, ConfigError, DataError, UsageError
from agora.core.files import make_folder, write_failed
from agora.core.progress import progress
from agora.core.records import stable_id
from agora.core.tables import JsonlWriter, Rejects, read_rows, write_jsonl
from agora.engines.types import ChatRequest, CompleteRequest, Engine, Generation, Sampling, Usage


@dataclass(frozen=True, slots=True)
class GenerateReport:
    """What :func:`generate_file` did. ``skipped`` rows were finished before; ``failed`` ones are in the reject file."""

    out: Path
    total: int
    written: int
    skipped: int
    failed: int
    malformed: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    seconds: float
    rejects: Path | None


def generate_file(
    engine: Engine,
    in_file: Path,
    out_file: Path,
    *,
    sampling: Sampling | None = None,
    raw: bool = False,
    limit: int | None = None,
) -> GenerateReport:
    """Answer each row of a file.

    A row needs ``messages``, ``prompt`` or ``instruction``, and may have an ``id`` (else its line number is taken). The
    output row is the input row with ``id``, ``output`` and ``generation`` (model, sampling, finish reason, usage). Each
    answer is on disk before the next is asked for; finished ids are skipped on a rerun, and when all is done the file
    is put into the order of the input. The row's seed comes from ``sampling.seed`` and its id.

    Args:
        engine: who answers.
        in_file: JSON Lines, JSON or Parquet, plain or compressed.
        out_file: JSON Lines.
        sampling: how to decode; default greedy, 256 tokens.
        raw: continue ``prompt`` as it stands instead of asking it as a user's turn.
        limit: only the first so many rows.

    Raises:
        UsageError: ``out_file`` is a folder.
        ConfigError: the output was made by another model or with other settings.
        DataError: the output belongs to another input, or two rows have the same id.
        BudgetError, EngineError: the work stopped; what was finished is in the file.
    """
    start = time.perf_counter()
    sampling = sampling or Sampling()
    in_file, out_file = Path(in_file), Path(out_file)
    if out_file.is_dir():
        raise UsageError("this is a folder", where=str(out_file), hint="--out names a file, such as answers.jsonl")
    _check_verb(engine, raw)
    rejects_path = out_file.with_name(out_file.name + ".rejects.jsonl")
    with Rejects(rejects_path) as rejects:
        rows = _read_rows(in_file, rejects, limit)
        malformed = rejects.count
        with _only_one(out_file), JsonlWriter(out_file) as writer:
            done = _finished(out_file, rows, _settings(engine, sampling, raw))
            todo = [_request(i, row, sampling, raw) for i, row in rows.items() if i not in done]
            answers = engine.complete(todo) if raw else engine.chat(todo)  # type: ignore[arg-type]
            spent = _write(answers, rows, writer, rejects, _settings(engine, sampling, raw), len(todo))
            _sort(out_file, list(rows))
    failed = rejects.count - malformed
    return GenerateReport(
        out=out_file,
        total=len(rows),
        written=len(todo) - failed,
        skipped=len(done),
        failed=failed,
        malformed=malformed,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        cost_usd=spent.cost_usd,
        seconds=time.perf_counter() - start,
        rejects=rejects_path if rejects.count else None,
    )


def _check_verb(engine: Engine, raw: bool) -> None:
    """Before any file is touched: the engine itself knows what it lacks."""
    try:
        (engine.complete if raw else engine.chat)(())
    except CapabilityError as error:
        hint = error.hint if raw else "use --raw to continue prompts as they stand, or a model with a chat template"
        raise CapabilityError(error.what, where=error.where, hint=hint) from error


def _read_rows(in_file: Path, rejects: Rejects, limit: int | None) -> dict[str, dict[str, Any]]:
    """Usable rows by id, in file order, each with its ``messages``."""
    rows: dict[str, dict[str, Any]] = {}
    for line, data in read_rows(in_file, rejects=rejects, limit=limit):
        where = f"{in_file}:{line}"
        row_id = str(data.get("id", line))
        if row_id in rows:
            raise DataError(f"two rows have the id {row_id!r}", where=where, hint="give each row its own id")
        problem = _problem(data)
        if problem:
            rejects.add(where, problem, data)
        else:
            rows[row_id] = data
    if not rows:
        why = ", ".join(f"{reason} ({n})" for reason, n in rejects.by_reason.most_common(3))
        hint = "a row needs messages that end with the user's, a prompt or an instruction"
        raise DataError(f"no row can be answered: {why}", where=str(in_file), hint=hint)
    return rows


def _problem(row: dict[str, Any]) -> str | None:
    """Why a row cannot be asked; None when it can."""
    messages = row.get("messages")
    if messages is None:
        text = row.get("prompt", row.get("instruction"))
        return None if isinstance(text, str) and text else "no messages, prompt or instruction"
    if not isinstance(messages, list) or not messages:
        return "messages is not a list of turns"
    if not all(isinstance(m, dict) and isinstance(m.get("content"), str) and m.get("role") for m in messages):
        return "a message lacks role or content"
    return "the last turn is the assistant's" if messages[-1]["role"] == "assistant" else None


def _request(row_id: str, row: dict[str, Any], sampling: Sampling, raw: bool) -> ChatRequest | CompleteRequest:
    sampling = replace(sampling, seed=int(stable_id(sampling.seed, row_id, size=4), 16) >> 1)
    text = str(row.get("prompt", row.get("instruction", "")))
    if raw:
        return CompleteRequest(row_id, prompt=text, sampling=sampling)
    if row.get("messages") is None:
        if isinstance(row.get("input"), str) and row["input"]:
            text = f"{text}\n\n{row['input']}"  # Alpaca rows carry what the instruction is about apart
        return ChatRequest(row_id, ({"role": "user", "content": text},), sampling)
    messages = tuple({"role": str(m["role"]), "content": m["content"]} for m in row["messages"])
    return ChatRequest(row_id, messages, sampling)


def _settings(engine: Engine, sampling: Sampling, raw: bool) -> dict[str, Any]:
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(sampling).items()}
    return {"model": engine.uri, "raw": raw, **plain}


def _finished(out_file: Path, rows: dict[str, dict[str, Any]], settings: dict[str, Any]) -> set[str]:
    """Ids that are in the output already, which must be of the same making."""
    if not out_file.stat().st_size:
        return set()
    done: set[str] = set()
    for line, row in read_rows(out_file):
        where = f"{out_file}:{line}"
        made = row.get("generation")
        if not isinstance(made, dict) or row.get("id") not in rows:
            hint = "choose another --out, or move this file away"
            raise DataError("this row is not an answer to the input", where=where, hint=hint)
        changed = [f"{k}: {made.get(k)!r} -> {v!r}" for k, v in settings.items() if made.get(k) != v]
        if changed:
            hint = "choose another --out, or go back to the old settings"
            raise ConfigError(f"the file was made with other settings ({'; '.join(changed)})", where=where, hint=hint)
        done.add(row["id"])
    return done


def _write(
    answers: Iterator[Generation],
    rows: dict[str, dict[str, Any]],
    writer: JsonlWriter,
    rejects: Rejects,
    settings: dict[str, Any],
    total: int,
) -> Usage:
    prompt = completion = 0
    cost = 0.0
    with progress(total, "generate", "rows") as bar:
        for answer in answers:
            bar.advance()
            usage = answer.usage
            if answer.finish_reason == "error":
                rejects.add(answer.id, "no answer", rows[answer.id], detail=answer.error)
                continue
            if not answer.cached:
                prompt, completion = prompt + usage.prompt_tokens, completion + usage.completion_tokens
                cost += usage.cost_usd
            how = {"finish_reason": answer.finish_reason, "stopped_by": answer.stopped_by, "usage": asdict(usage)}
            row = {**rows[answer.id], "id": answer.id, "output": answer.text, "generation": {**settings, **how}}
            writer.write(row)
    return Usage(prompt, completion, cost)


def _sort(out_file: Path, order: list[str]) -> None:
    """Put the answers into input order; the file is replaced in one step."""
    if not out_file.stat().st_size:
        return
    by_id = {row["id"]: row for _, row in read_rows(out_file)}
    ordered = [by_id[i] for i in order if i in by_id]
    if ordered != list(by_id.values()):
        write_jsonl(out_file, ordered)


@contextmanager
def _only_one(out_file: Path) -> Iterator[None]:
    """Two processes on one output would ask everything twice."""
    make_folder(out_file.parent)
    try:
        fd = os.open(out_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise write_failed(out_file, error) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for it to end, or choose another --out"
            raise AgoraError("another process is writing this file", where=str(out_file), hint=hint) from None
        yield
    finally:
        os.close(fd)
