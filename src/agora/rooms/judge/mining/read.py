"""Read a log shard by shard: a short row for every conversation that may become a task, one with a reason for the rest.

The rows hold what the later steps compare; the conversations themselves stay in the log until the tasks are chosen, so
a log may be larger than memory.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agora.core.errors import DataError
from agora.core.files import atomic_file
from agora.core.jsonl import Rejects, read_json, write_json
from agora.core.progress import progress
from agora.core.records import Conversation, Message, stable_id
from agora.core.shards import Shard
from agora.core.tables import column_names, find_slices, read_rows, read_slice
from agora.core.workers import LocalRunner, SerialRunner
from agora.curate.importers import FORMATS, detect_format
from agora.curate.importers.base import Origin, RowError, clean_json
from agora.curate.importers.detect import format_named
from agora.curate.text import normalize
from agora.rooms.judge.mining.facts import (
    created_of,
    is_toxic,
    language_name,
    last_request,
    token_counter,
    user_of,
)
from agora.rooms.judge.mining.personal import lacks_common_words, personal_data
from agora.rooms.judge.mining.settings import MineSettings

if TYPE_CHECKING:
    from agora.curate.minhash import Signatures

ROWS_PER_SHARD = 20_000
_MODERATION = ("openai_moderation", "detoxify_moderation")
_SHOWN_CHARS = 300

#: The rules in the order in which they are asked, named by what holds for those who pass.
RULES = (
    "ends with a user's request",
    "turns that any model can be given",
    "not flagged as toxic",
    "in the language asked for",
    "at most the allowed number of user turns",
    "request of a workable length",
    "no personal data",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A conversation that passed the rules. ``text`` is its request in normal form, ``leaf`` its path's number.

    The task is the first ``length`` turns of the path; ``task`` is the id that it will have.
    """

    SCHEMA = "mining_candidate/1"
    line: int
    leaf: int
    length: int
    task: str
    text: str
    user: str | None
    created: str
    tokens: int
    turns: int
    flags: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """The rule that a conversation failed, and how."""

    rule: int
    reason: str


@dataclass(frozen=True, slots=True)
class ShardWork:
    """What a worker needs to know of the job."""

    path: Path
    format: str
    settings: MineSettings
    folder: Path
    without: tuple[str, ...]


class ReadOutcome(NamedTuple):
    """What the whole log came to; ``refused`` counts by rule and reason, ``unknown`` conversations without a fact."""

    num_rows: int
    num_rejected: int
    rejected: Counter[str]
    num_paths: int
    refused: tuple[Counter[str], ...]
    unknown: Counter[str]
    num_shards: int


def read_log(
    path: Path, folder: Path, settings: MineSettings, *, format: str = "auto", workers: int | None = None
) -> ReadOutcome:
    """Apply the rules to every conversation of a log, in several processes; shards that are done are not read again.

    Args:
        path: a file in any format of :mod:`agora.curate.importers`.
        folder: gets ``NNNNNN.*`` files for each shard.
        settings: the rules.
        format: its name, or ``auto``.
        workers: processes; None for one a CPU.

    Raises:
        MissingError: no such file, or no such tokenizer.
        DataError: unknown format, or hardly a row can be read in it.
    """
    path = Path(path)
    name = format_named(detect_format(path).format if format == "auto" else format).name
    token_counter(settings.tokenizer)  # before any work
    columns = column_names(path)
    # the moderation columns are half of a row and add nothing to the flag that sums them up
    without = tuple(c for c in _MODERATION if c in columns) if "toxic" in columns else ()
    work = ShardWork(path, name, settings, folder, without)
    shards = _shards(path)
    todo = [shard for shard in shards if not _note(folder, shard.index).exists()]
    total = sum(shard.stop - shard.start for shard in shards)
    before = total - sum(shard.stop - shard.start for shard in todo)
    count = min(workers or _num_cpus(), len(todo))
    runner = LocalRunner(count) if count > 1 else SerialRunner()
    with progress(total, f"reading {path.name}", "rows") as bar:
        bar.advance(before)
        for num_rows in runner.map(partial(read_shard, work), todo):
            bar.advance(num_rows)
    outcome = _outcome(folder, shards)
    if outcome.num_rejected >= outcome.num_rows - outcome.num_rejected:
        _stop_unreadable(path, name, outcome)
    return outcome


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shards(path: Path) -> list[Shard]:
    """Ranges of rows; one range where a file can only be read from its beginning."""
    slices = find_slices(path, ROWS_PER_SHARD)
    seekable = all(offset is not None for _, _, offset in slices) or bool(column_names(path))
    if not seekable:
        slices = [(0, slices[-1][1], None)]
    return [Shard(n, path, start, stop, offset) for n, (start, stop, offset) in enumerate(slices)]


def _stop_unreadable(path: Path, format: str, outcome: ReadOutcome) -> None:
    """At least half of the rows cannot be read: the format is the wrong one."""
    reasons = ", ".join(f"{reason} ({n})" for reason, n in outcome.rejected.most_common(3))
    what = f"{outcome.num_rejected} of {outcome.num_rows} rows cannot be read as {FORMATS[format].title}: {reasons}"
    hint = f"expected rows like {FORMATS[format].shape}; name another format with --format"
    raise DataError(what, where=str(path), hint=hint)


def _file(folder: Path, index: int, kind: str) -> Path:
    return folder / f"{index:06d}.{kind}"


def _note(folder: Path, index: int) -> Path:
    return _file(folder, index, "done.json")


def read_shard(work: ShardWork, shard: Shard) -> int:
    """Read one shard and write its files, the note that it is done last. Runs in a worker process."""
    reader = _Reader(work)
    rejects_path = _file(work.folder, shard.index, "rejects.jsonl")
    with (
        Rejects(rejects_path) as rejects,
        atomic_file(_file(work.folder, shard.index, "candidates.jsonl")) as kept,
        atomic_file(_file(work.folder, shard.index, "dropped.jsonl")) as dropped,
    ):
        from agora.core.json_text import dumps

        texts: list[str] = []
        for conversation, line in reader.conversations(shard, rejects):
            for leaf, path in enumerate(conversation.paths()):
                found = reader.judge(conversation, path, line, leaf)
                if isinstance(found, Candidate):
                    texts.append(found.text)
                    kept.write(dumps(asdict(found)) + b"\n")
                else:
                    dropped.write(dumps(found) + b"\n")
        rejected = dict(rejects.by_reason)
    _write_signatures(_file(work.folder, shard.index, "signatures.npz"), texts)
    note = {
        "rows": reader.num_rows + sum(rejected.values()),
        "rejected": rejected,
        "paths": reader.num_paths,
        "refused": [dict(reasons) for reasons in reader.refused],
        "unknown": dict(reader.unknown),
    }
    write_json(_note(work.folder, shard.index), note)
    return shard.stop - shard.start


def _write_signatures(path: Path, texts: Sequence[str]) -> None:
    import numpy as np

    from agora.curate.minhash import signatures

    keys, low = signatures(texts)
    with atomic_file(path) as out:
        np.savez(out, keys=keys, low=low)


class _Reader:
    """The rules applied to one shard, and what was counted."""

    def __init__(self, work: ShardWork) -> None:
        self._work = work
        self._settings = work.settings
        self._convert = FORMATS[work.format].convert
        self._count = token_counter(work.settings.tokenizer)
        self._language = language_name(work.settings.language) if work.settings.language else None
        least = work.settings.min_tokens
        self._workable = (lambda text: self._count(text) >= least) if work.settings.request != "last" else None
        self.num_rows = self.num_paths = 0
        self.refused: tuple[Counter[str], ...] = tuple(Counter() for _ in RULES)
        self.unknown: Counter[str] = Counter()

    def conversations(self, shard: Shard, rejects: Rejects) -> Iterator[tuple[Conversation, int]]:
        """The shard's conversations with their lines; what cannot be read is rejected."""
        path, without = self._work.path, self._work.without
        rows = read_slice(path, shard.start, shard.stop, offset=shard.offset, rejects=rejects, without=without)
        for row in rows:
            origin = Origin(str(path), row.line)
            try:
                conversation = self._convert(row.data, origin)
            except RowError as error:
                raw = None
                with suppress(RowError):
                    raw = clean_json(row.data)
                rejects.add(str(origin), error.reason, raw, detail=error.detail or None)
                continue
            self.num_rows += 1
            yield conversation, row.line

    def judge(
        self, conversation: Conversation, path: tuple[Message, ...], line: int, leaf: int
    ) -> Candidate | dict[str, Any]:
        """A candidate, or the row of a dropped one."""
        self.num_paths += 1
        turns = last_request(path, self._workable)
        request = turns[-1].content if turns else ""
        tokens = self._count(request) if turns else 0
        refusal = self._refusal(conversation, turns, tokens)
        if refusal is not None:
            self.refused[refusal.rule][refusal.reason] += 1
            where = {"id": conversation.id, "line": line, "leaf": leaf}
            # personal data is not copied
            shown = "" if RULES[refusal.rule] == "no personal data" else request[:_SHOWN_CHARS]
            return where | {"step": RULES[refusal.rule], "reason": refusal.reason, "request": shown}
        said = [m.content for m in turns if m.role == "user"]
        flags = []
        if self._settings.personal_data == "flag" and (kind := _first_personal(said)):
            flags.append(f"personal data: {kind}")
        if any(lacks_common_words(text) for text in said):
            flags.append("a user turn without a common word")
        return Candidate(
            line=line,
            leaf=leaf,
            length=len(turns),
            task=task_id(turns),
            text=normalize(request),
            user=user_of(conversation),
            created=created_of(conversation),
            tokens=tokens,
            turns=len(said),
            flags=tuple(flags),
        )

    def _refusal(self, conversation: Conversation, turns: tuple[Message, ...], tokens: int) -> Refusal | None:
        """The first rule that a conversation fails."""
        settings = self._settings
        if not turns or not turns[-1].content.strip():
            return Refusal(0, "no request")
        if reason := _unusable(turns):
            return Refusal(1, reason)
        toxic = is_toxic(conversation)
        if toxic is None:
            self.unknown["toxicity"] += 1
        if toxic and settings.toxic == "drop":
            return Refusal(2, "flagged as toxic")
        language = conversation.provenance.language
        if not language:
            self.unknown["language"] += 1
        elif self._language and language_name(language) != self._language:
            return Refusal(3, f"language is {language[:30]}")
        num_turns = sum(message.role == "user" for message in turns)
        if num_turns > settings.max_turns:
            return Refusal(4, "too many turns")
        if not settings.min_tokens <= tokens <= settings.max_tokens:
            return Refusal(5, "too short" if tokens < settings.min_tokens else "too long")
        if settings.personal_data == "drop":
            kind = _first_personal([m.content for m in turns if m.role == "user"])
            if kind:
                return Refusal(6, kind)
        return None


def _first_personal(texts: Sequence[str]) -> str | None:
    return next((kind for text in texts if (kind := personal_data(text))), None)


def _unusable(turns: tuple[Message, ...]) -> str | None:
    """Why a chat template or server would refuse the turns; None when none would."""
    roles = [m.role for m in turns if m.role != "system"]
    if any(m.role == "system" for m in turns[1:]):
        return "a system turn in the middle"
    if "tool" in roles:
        return "a tool's turn"
    if any(role != ("user", "assistant")[i % 2] for i, role in enumerate(roles)):
        return "roles repeat"
    return "an empty turn" if any(not m.content.strip() for m in turns) else None


def task_id(turns: Sequence[Message]) -> str:
    """The id of the task that these turns make: equal turns, equal id."""
    return stable_id("task", [(m.role, m.content) for m in turns])


def _outcome(folder: Path, shards: Sequence[Shard]) -> ReadOutcome:
    rejected: Counter[str] = Counter()
    refused: tuple[Counter[str], ...] = tuple(Counter() for _ in RULES)
    unknown: Counter[str] = Counter()
    num_rows = num_paths = 0
    for shard in shards:
        note = read_json(_note(folder, shard.index))
        num_rows, num_paths = num_rows + note["rows"], num_paths + note["paths"]
        rejected.update(note["rejected"])
        unknown.update(note["unknown"])
        for total, part in zip(refused, note["refused"], strict=True):
            total.update(part)
    return ReadOutcome(num_rows, sum(rejected.values()), rejected, num_paths, refused, unknown, len(shards))


def read_candidates(folder: Path, num_shards: int) -> tuple[list[Candidate], Signatures]:
    """The candidates of all shards in the order of the log, with the signatures of their texts."""
    import numpy as np

    from agora.curate.minhash import Signatures

    candidates: list[Candidate] = []
    keys, low = [], []
    for index in range(num_shards):
        path = _file(folder, index, "candidates.jsonl")
        if path.stat().st_size:
            for row in read_rows(path):
                candidates.append(Candidate(**{**row.data, "flags": tuple(row.data["flags"])}))
        with np.load(_file(folder, index, "signatures.npz")) as arrays:
            keys.append(arrays["keys"])
            low.append(arrays["low"])
    return candidates, Signatures(np.concatenate(keys), np.concatenate(low))


def shard_files(folder: Path, num_shards: int, kind: str) -> list[Path]:
    """The shards' files of a kind that exist, in order: ``dropped.jsonl`` or ``rejects.jsonl``."""
    return [path for n in range(num_shards) if (path := _file(folder, n, kind)).exists()]
