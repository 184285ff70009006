"""An immutable task set: reviewed tasks with a hash and a version, in a public and a private part.

The folder holds ``taskset.json``, ``public.jsonl``, ``private.jsonl``, ``reserved.jsonl`` (hashes alone: it can go to
whoever exports training data) and ``left_out.jsonl``. Reading it checks every file against its hash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import agora
from agora.core.errors import ConfigError, DataError, UsageError
from agora.core.files import make_folder, missing, sha256_file
from agora.core.lock import FolderLock
from agora.core.records import Task
from agora.core.tables import read_json, read_records, write_json, write_jsonl
from agora.rooms.judge.mining.review import Agreement, Verdict, agreement, decide
from agora.rooms.judge.mining.review_file import Row, read_review
from agora.rooms.judge.types import TaskSet, groups_of

SCHEMA = "task_set/1"
_MANIFEST = "taskset.json"
_PARTS = ("public", "private")
_FEW_QUESTIONS = 5


@dataclass(frozen=True, slots=True)
class Frozen:
    """What was frozen, and what a user should know of it."""

    folder: Path
    sha: str
    num_public: int
    num_private: int
    left_out: Mapping[str, int]
    agreement: Agreement
    notes: tuple[str, ...]
    again: bool

    def to_json(self) -> dict[str, Any]:
        """The object that ``agora judge freeze --json`` prints."""
        return {
            "folder": str(self.folder),
            "sha": self.sha,
            "public": self.num_public,
            "private": self.num_private,
            "left_out": dict(self.left_out),
            "agreement": self.agreement._asdict(),
            "notes": list(self.notes),
            "again": self.again,
        }


def freeze(
    tasks: Path,
    reviews: Sequence[Path],
    out: Path,
    *,
    name: str,
    version: str = "1",
    two_person: bool = False,
    unreviewed: bool = False,
) -> Frozen:
    """Freeze the tasks that reviewers accept. Freezing the same again changes nothing.

    Args:
        tasks: a mining's folder, or a file of tasks.
        reviews: filled-in review files, in the order in which people worked.
        out: a folder that holds no other task set.
        name, version: of the benchmark.
        two_person: whether a task needs two reviewers.
        unreviewed: accept every task that no file speaks of; the manifest says so.

    Raises:
        UsageError: no review, and not asked to go without.
        DataError: a review does not fit, or accepts nothing.
        ConfigError: the folder holds another task set; a frozen one never changes.
    """
    if not reviews and not unreviewed:
        raise UsageError("a task set is frozen after review", hint="add --review FILE, or --unreviewed to go without")
    source = list(read_records(tasks_file(tasks), Task))
    rows = [read_review(path) for path in reviews]
    verdicts = decide(source, rows, two_person=two_person)
    if unreviewed:
        verdicts = [v if v.reviewers else v._replace(outcome="accepted", reason="") for v in verdicts]
    accepted = [_named(v.task, name, version) for v in verdicts if v.outcome == "accepted"]
    if not accepted:
        counts = ", ".join(f"{n} {outcome}" for outcome, n in Counter(v.outcome for v in verdicts).items())
        raise DataError(f"no task is accepted ({counts})", where=str(tasks), hint="fill in the column decision")
    agreed = agreement(rows)
    manifest = _manifest(
        accepted, verdicts, name, version, _review_facts(reviews, rows, two_person, unreviewed, agreed)
    )
    lock = FolderLock(Path(out))
    try:
        again = _refuse_another(Path(out), manifest)
        if not again:
            _write(Path(out), accepted, verdicts, source, manifest)
    finally:
        lock.release()
    left_out = dict(Counter(str(v.outcome) for v in verdicts if v.outcome != "accepted"))
    parts = Counter(task.split for task in accepted)
    notes = tuple(manifest["notes"])
    return Frozen(Path(out), manifest["sha"], parts["public"], parts["private"], left_out, agreed, notes, again)


def tasks_file(path: Path) -> Path:
    """The file of tasks: the path itself, or ``tasks.jsonl`` in a folder.

    Raises:
        MissingError: there is none.
    """
    path = Path(path)
    found = path / "tasks.jsonl" if path.is_dir() else path
    if not found.exists():
        raise missing(found)
    return found


def _named(task: Task, name: str, version: str) -> Task:
    """The task as it is published: under the benchmark's name, without the path of somebody's disk."""
    origin = task.provenance
    if origin is not None and origin.path:
        origin = replace(origin, path=Path(origin.path).name)
    return replace(task, benchmark=name, version=version, provenance=origin)


def _review_facts(
    reviews: Sequence[Path], rows: Sequence[Sequence[Row]], two_person: bool, unreviewed: bool, agreed: Agreement
) -> dict[str, Any]:
    files = [
        {
            "name": Path(path).name,
            "sha256": sha256_file(Path(path)),
            "decisions": sum(bool(row.decision) for row in own),
        }
        for path, own in zip(reviews, rows, strict=True)
    ]
    rule = "two persons" if two_person else "one person"
    return {
        "files": files,
        "rule": rule,
        "unreviewed_tasks_accepted": unreviewed,
        "agreement": agreed._asdict(),
    }


def _manifest(
    accepted: Sequence[Task], verdicts: Sequence[Verdict], name: str, version: str, review: dict[str, Any]
) -> dict[str, Any]:
    groups = Counter(group for task in accepted for group in groups_of(task))
    licences = sorted({task.provenance.licence for task in accepted if task.provenance})
    consents = sorted({task.provenance.consent for task in accepted if task.provenance})
    return {
        "schema": SCHEMA,
        "name": name,
        "version": version,
        "sha": TaskSet.of(accepted).sha,
        "tasks": {part: sum(task.split == part for task in accepted) for part in _PARTS},
        "ids": {part: [task.id for task in accepted if task.split == part] for part in _PARTS},
        "groups": dict(groups),
        "primary_tags": dict(Counter(task.primary_tag for task in accepted)),
        "several_turns": sum(len(task.messages) > 1 for task in accepted),
        "licences": licences,
        "consents": consents,
        "outcomes": dict(Counter(v.outcome for v in verdicts)),
        "review": review,
        "notes": _notes(accepted, verdicts, licences),
        "software": agora.__version__,
    }


def _notes(accepted: Sequence[Task], verdicts: Sequence[Verdict], licences: Sequence[str]) -> list[str]:
    notes = []
    outcomes = Counter(v.outcome for v in verdicts)
    if outcomes["pending"]:
        notes.append(f"{outcomes['pending']} tasks wait for a decision and are left out")
    if outcomes["conflict"]:
        notes.append(f"reviewers differ on {outcomes['conflict']} tasks, which are left out")
    if none := sum(not task.checklist for task in accepted):
        notes.append(f"{none} tasks have no checklist: agora judge checklist writes them before review")
    if few := sum(0 < len(task.checklist) < _FEW_QUESTIONS for task in accepted):
        notes.append(f"{few} tasks have a checklist of fewer than {_FEW_QUESTIONS} questions")
    if untagged := sum(not task.primary_tag for task in accepted):
        notes.append(f"{untagged} tasks have no category, so no macro score can be computed")
    if "unknown" in licences:
        notes.append("some tasks state no license: check your rights before you publish them")
    return notes


def _refuse_another(out: Path, manifest: Mapping[str, Any]) -> bool:
    """True when the same task set lies there; nothing is written then."""
    file = out / _MANIFEST
    if not file.exists():
        return False
    old = read_json(file)
    keys = ("name", "version", "sha", "ids")
    if isinstance(old, dict) and all(old.get(key) == manifest[key] for key in keys):
        return True
    what = f"the folder holds the frozen task set {old.get('name')} {old.get('version')}, which never changes"
    raise ConfigError(what, where=str(out), hint="freeze another version into another --out")


def _write(
    out: Path, accepted: Sequence[Task], verdicts: Sequence[Verdict], source: Sequence[Task], manifest: dict[str, Any]
) -> None:
    from agora.curate.contamination.reserved import reserve

    make_folder(out)
    files = {}
    for part in _PARTS:
        files[f"{part}.jsonl"] = out / f"{part}.jsonl"
        write_jsonl(files[f"{part}.jsonl"], (task for task in accepted if task.split == part))
    kept = {task.id for task in accepted}
    # an edited task is reserved in the words of the log as well
    reserved = [reserve(task, name=manifest["name"]) for task in (*accepted, *(t for t in source if t.id in kept))]
    files["reserved.jsonl"] = out / "reserved.jsonl"
    write_jsonl(files["reserved.jsonl"], dict.fromkeys(reserved))
    files["left_out.jsonl"] = out / "left_out.jsonl"
    left_out = (v for v in verdicts if v.outcome != "accepted")
    write_jsonl(
        files["left_out.jsonl"],
        ({"task": v.task.id, "outcome": v.outcome, "reason": v.reason, "split": v.task.split} for v in left_out),
    )
    hashes = {name: sha256_file(path) for name, path in files.items()}
    write_json(out / _MANIFEST, {**manifest, "files": hashes})
    for path in (*files.values(), out / _MANIFEST):
        with suppress(OSError):
            path.chmod(0o444)


def read_folder(folder: Path) -> TaskSet:
    """The tasks of a frozen set, or of a mining's folder."""
    if (Path(folder) / _MANIFEST).exists():
        return read_frozen(folder)
    return TaskSet(tuple(read_records(tasks_file(folder), Task)))


def read_frozen(folder: Path, *, parts: Iterable[str] = _PARTS) -> TaskSet:
    """The tasks of a frozen set, in their order; a copy without its private part gives the public one.

    Raises:
        MissingError: no such task set.
        DataError: a file was changed after freezing.
    """
    folder = Path(folder)
    file = folder / _MANIFEST
    if not file.exists():
        raise missing(file, "task set")
    manifest = read_json(file)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise DataError(f"not a task set of version {SCHEMA}", where=str(file))
    tasks: list[Task] = []
    for part in parts:
        path = folder / f"{part}.jsonl"
        if part == "private" and not path.exists():
            continue
        if not path.exists():
            raise missing(path)
        if sha256_file(path) != manifest["files"].get(path.name):
            what = "the file was changed after the task set was frozen"
            raise DataError(what, where=str(path), hint="restore it, or freeze a new version")
        tasks += read_records(path, Task) if path.stat().st_size else ()
    return TaskSet(tuple(tasks))
