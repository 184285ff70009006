"""Read stored replies of judges again, with the parser of today and without a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.records import Verdict
from agora.core.replies import Parsed
from agora.core.runs import RunDir
from agora.core.tables import write_jsonl
from agora.rooms.judge.asking.llm import read_reply
from agora.rooms.judge.asking.prompting import OWN_PROMPTS
from agora.rooms.judge.asking.verdicts import latest, read_verdicts
from agora.rooms.judge.formats.judged_files import judged_paths
from agora.rooms.judge.types import Order, Outcome


@dataclass(frozen=True, slots=True)
class ReparseReport:
    """What reading again changed.

    Args:
        n: verdicts with a reply.
        same: read as before.
        gained: had no value and have one now; ``lost``: the other way round; ``moved``: have another value.
        no_reply: verdicts without a reply (settled without a call, failed calls), kept as they are.
        no_code: replies to our own prompts whose code was not stored: not to be told from quotes, kept as they are.
        out: the folder with the verdicts as read now; None where none was asked for.
    """

    n: int
    same: int
    gained: int
    lost: int
    moved: int
    no_reply: int
    no_code: int
    out: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {name: getattr(self, name) for name in self.__slots__} | {"out": str(self.out) if self.out else None}


def reparse(verdict: Verdict) -> Verdict | None:
    """The verdict as its replies read now; None where there is no reply to read, or no code to read it with.

    The first reply that says something counts, as it would have when it was asked.
    """
    if not has_reply(verdict) or (needs_code(verdict) and "token" not in verdict.meta):
        return None
    token = verdict.meta["token"] if needs_code(verdict) else None
    num_questions = int(verdict.meta.get("questions", 0))
    parsed = Parsed("no_value")
    for text in (*verdict.meta.get("earlier_replies", ()), verdict.raw_text):
        parsed = read_reply(verdict.kind, text, token, num_questions)  # type: ignore[arg-type]
        if parsed.status == "ok":
            return _read(verdict, parsed)
    if verdict.status == "unparsed":
        return verdict
    reason = {**parsed.fields, "reason": parsed.status}
    return replace(verdict, status="unparsed", value=None, parsed=reason, meta=_before(verdict))


def has_reply(verdict: Verdict) -> bool:
    """True where a judge's words are stored."""
    return bool(verdict.raw_text) and verdict.status in ("ok", "unparsed") and "skipped" not in verdict.meta


def needs_code(verdict: Verdict) -> bool:
    """True for verdicts by our own prompts, whose value must stand beside the code that the prompt gave."""
    return verdict.prompt_name in OWN_PROMPTS


def reparse_files(
    paths: Iterable[Path], out: Path | None = None, *, command: str = "agora judge reparse"
) -> ReparseReport:
    """Read all replies of verdict files or judging folders again.

    Args:
        out: folder for the verdicts as they read now, ``verdicts/NAME`` for each file; the sources stay as they are.

    Raises:
        DataError: no file of verdicts was given.
    """
    files = judged_paths(paths)
    if not files:
        raise DataError("no files of verdicts were given")
    counts: Counter[str] = Counter()
    if out is None:
        for file in files:
            for _ in _reread(file, counts):
                pass
        return _report(counts, None)
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        raise DataError("two files have the same name", hint="read them again into a folder each")
    inputs = {f"file_{i}": file for i, file in enumerate(files)}
    with RunDir.open(out, command=command, config={}, seed=0, inputs=inputs) as run:
        for file in files:
            write_jsonl(run.file(f"verdicts/{file.name}"), _reread(file, counts))
    return _report(counts, Path(out))


def _reread(file: Path, counts: Counter[str]) -> Iterator[Verdict]:
    for verdict in latest(read_verdicts(file)):
        again = reparse(verdict)
        if again is None:
            counts["no_code" if has_reply(verdict) else "no_reply"] += 1
        elif again.value == verdict.value:
            counts["same"] += 1
        elif verdict.value is None or again.value is None:
            counts["gained" if verdict.value is None else "lost"] += 1
        else:
            counts["moved"] += 1
        yield again or verdict


def _report(counts: Counter[str], out: Path | None) -> ReparseReport:
    read = {name: counts[name] for name in ("same", "gained", "lost", "moved")}
    return ReparseReport(n=sum(read.values()), **read, no_reply=counts["no_reply"], no_code=counts["no_code"], out=out)


def _read(verdict: Verdict, parsed: Parsed) -> Verdict:
    value, fields = parsed.value, parsed.fields
    if verdict.kind == "pair":
        order: Order = "candidate_first" if verdict.order == "candidate_first" else "candidate_second"
        value, fields = Outcome.from_choice(parsed.value, order).value, {**parsed.fields, "choice": parsed.value}
    if value == verdict.value:
        return verdict
    return replace(verdict, status="ok", value=value, parsed=fields, meta=_before(verdict))


def _before(verdict: Verdict) -> dict[str, Any]:
    return {**verdict.meta, "before_reparse": {"status": verdict.status, "value": verdict.value}}
