"""A published release once more, without the rows that people took back.

The rows that stay are those of the first version, value by value, so that whoever holds a copy can compare; only a row
whose class has become too small by what went loses what it tells of its person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agora.core.errors import DataError, MissingError, UsageError
from agora.core.files import atomic_file, make_folder, require_file, sha256_file, write_bytes
from agora.core.jsonl import read_json, write_json
from agora.core.lock import FolderLock
from agora.core.report import Report
from agora.rooms.collect.release import publish
from agora.rooms.collect.release.anonymity import Column, class_sizes
from agora.rooms.collect.release.profiles import row_sha256, schema_of
from agora.rooms.collect.release.shown import SHOWN
from agora.store import Store

_BATCH = 1000
_ROLES = {"human": "user", "gpt": "assistant"}
Row = dict[str, Any]


@dataclass(slots=True)
class Retraction:
    """What becomes of each row, and the numbers of the second version."""

    removed: frozenset[bytes]
    fate: list[str] = field(default_factory=list)  # keep | blank | undated | drop, in the order of the rows
    digests: list[bytes] = field(default_factory=list)  # of the rows, in that order
    counts: Counter[str] = field(default_factory=Counter)


def retract_release(store: Store, name: str, folder: Path, out: Path) -> dict[str, Any]:
    """Write a release again without the rows that were erased or withdrawn since.

    Args:
        store: knows which rows those are; is told of the new version.
        name: of the release.
        folder: its files.
        out: folder of the new version.

    Returns:
        Numbers to print.

    Raises:
        MissingError: there is no such release, or no files of it.
        DataError: the files are not those that were published.
        UsageError: the folders are the same.
    """
    if folder.resolve() == out.resolve():
        raise UsageError("the new version needs a folder of its own", where=str(out), hint="choose another --out")
    store.write(publish.note_withdrawn)
    with store.reading() as connection:
        release = publish.find_release(connection, name)
        removed = frozenset(publish.removed_rows(connection, release)) if release else frozenset()
        persons = publish.persons_of(connection, release) if release else {}
    if release is None or release.state not in (publish.PUBLISHED, publish.RETRACTED):
        raise MissingError(f"no release called {name!r} is published", hint="agora collect release show lists them")
    require_file(folder / "manifest.json")
    manifest: dict[str, Any] = read_json(folder / "manifest.json")
    files = _checked_files(folder, manifest, name)
    lock = FolderLock(out)
    try:
        work = _decide(files, manifest, removed, persons)
        told = _write(files, manifest, work, folder, out)
    finally:
        lock.release()
    numbers = {"release": name, "out": str(out), **told}
    manifest_sha256 = sha256_file(out / "manifest.json")
    dropped = [digest for digest, fate in zip(work.digests, work.fate, strict=True) if fate == "drop"]
    blanked = [digest for digest, fate in zip(work.digests, work.fate, strict=True) if fate in ("blank", "undated")]
    store.write(lambda c: publish.retracted(c, release, told, manifest_sha256, dropped=dropped, blanked=blanked))
    return numbers


def _checked_files(folder: Path, manifest: Mapping[str, Any], name: str) -> list[Path]:
    if manifest.get("name") != name:
        raise DataError(f"the files are of {manifest.get('name')!r}, not of {name!r}", where=str(folder))
    for file in manifest["files"]:
        if sha256_file(folder / file["path"]) != file["sha256"]:
            raise DataError("this file is not the one that was published", where=str(folder / file["path"]))
    return [folder / file["path"] for file in manifest["files"]]


def _rows(files: Sequence[Path]) -> Iterator[list[Row]]:
    import pyarrow.parquet as pq

    for file in files:
        with pq.ParquetFile(file) as source:
            for batch in source.iter_batches(batch_size=_BATCH):
                yield batch.to_pylist()


def _decide(
    files: Sequence[Path], manifest: Mapping[str, Any], removed: frozenset[bytes], persons: Mapping[bytes, str]
) -> Retraction:
    """Go through all rows once: which go, and which stand in a class that has become too small by it."""
    import numpy as np

    profile, k = manifest["profile"], manifest["settings"]["k"]
    work = Retraction(removed)
    quasi: dict[str, list[Any]] = {name: [] for name in SHOWN[profile]}
    people: list[str] = []
    stays: list[int] = []
    for rows in _rows(files):
        for row in rows:
            key, turns, shown = _parts(row, profile)
            digest = row_sha256(key, turns)
            work.digests.append(digest)
            if digest in removed:
                work.fate.append("drop")
                continue
            stays.append(len(work.fate))
            work.fate.append("keep")
            people.append(persons.get(digest, key))
            for name, values in quasi.items():
                values.append(shown[name])
    columns = {name: Column.of(values) for name, values in quasi.items()}
    subjects = Column.of(people).codes
    for fate, lost in (("blank", [n for n in columns if n != "day"]), ("undated", ["day"]), ("drop", [])):
        small = class_sizes(columns, subjects) < k if people else np.zeros(0, bool)
        for i in np.flatnonzero(small):
            work.fate[stays[i]] = fate
        columns |= {name: columns[name].recoded(small, lambda _: None) for name in lost if name in columns}
    work.counts.update(work.fate)
    work.counts["removed"] = len(work.fate) - len(stays)
    return work


def _parts(row: Row, profile: str) -> tuple[str, list[tuple[str, str]], dict[str, Any]]:
    """A row's key, what was said, and what it tells of its person."""
    if profile.startswith("compat"):
        turns = [(turn["role"], turn["content"]) for turn in row["conversation"]]
        header = row["header"] or {}
        shown = {name: row[name] for name in ("country", "state", "language")}
        shown |= {"user_agent": header.get("user-agent"), "accept_language": header.get("accept-language")}
        moment = row["timestamp"]
        shown["day"] = moment.date() if moment else None
        return str(row["conversation"][0]["turn_identifier"]), turns, shown
    if profile == "native":
        shown = {name: row[name] for name in ("country", "state", "language", "user_agent", "accept_language")}
        shown["day"] = (row["date"], row["date_precision"]) if row["date"] else None
        return row["id"], [(m["role"], m["content"]) for m in row["messages"]], shown
    if profile == "messages":
        turns = [(m["role"], m["content"]) for m in row["messages"]]
    else:
        turns = [(_ROLES.get(m["from"], m["from"]), m["value"]) for m in row["conversations"]]
    return row["id"], turns, {"language": row["language"]}


def _blank(row: Row, profile: str, *, date: bool) -> Row:
    """A row without what it tells of its person, and with ``date`` without its date."""
    row["language"] = None
    if profile == "native":
        row |= dict.fromkeys(("country", "state", "user_agent", "accept_language"))
        said: list[Row] = row["messages"]
        if date:
            row["date"] = row["date_precision"] = None
    elif profile.startswith("compat"):
        nobody = {"country": None, "state": None, "header": {"accept-language": None, "user-agent": None}}
        row |= nobody
        said = row["conversation"]
        for turn in said:
            turn |= nobody if turn["role"] == "user" else {"timestamp": None} if date else {}
        if date:
            row["timestamp"] = None
    else:
        said = []
    for turn in said:
        turn["language"] = None
        if "time" in turn:
            turn["time"] = None
    return row


def _write(files: Sequence[Path], manifest: dict[str, Any], work: Retraction, folder: Path, out: Path) -> Row:
    import pyarrow as pa
    import pyarrow.parquet as pq

    profile = manifest["profile"]
    schema = schema_of(profile)
    make_folder(out / "data")
    fates = iter(work.fate)
    entries: list[Row] = []
    for file in files:
        path, rows_in = out / "data" / file.name, 0
        with atomic_file(path) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for rows in _rows([file]):
                kept = []
                for row in rows:
                    fate = next(fates)
                    if fate != "drop":
                        kept.append(row if fate == "keep" else _blank(row, profile, date=fate == "undated"))
                if kept:
                    writer.write_batch(pa.RecordBatch.from_pylist(kept, schema=schema))
                rows_in += len(kept)
        digest, size = sha256_file(path), path.stat().st_size
        entries.append({"path": f"data/{file.name}", "conversations": rows_in, "bytes": size, "sha256": digest})
    told = {
        "conversations": sum(entry["conversations"] for entry in entries),
        "removed": work.counts["removed"],
        "dropped_for_k": work.counts["drop"] - work.counts["removed"],
        "coarser_for_k": work.counts["blank"] + work.counts["undated"],
    }
    before = manifest["conversations"]
    manifest |= {"conversations": told["conversations"], "files": entries}
    manifest["retraction"] = {"of_manifest_sha256": sha256_file(folder / "manifest.json"), **told}
    words = (
        f"Of the {before:,} conversations of the version before, {told['removed']:,} were taken back by their people, "
        f"and "
        f"{told['dropped_for_k']:,} went because too few people share what they tell; {told['coarser_for_k']:,} tell "
        f"less than before. {told['conversations']:,} are left. Figures further down are those of the first version."
    )
    _tell(folder, out, manifest, words)
    return told


def _tell(folder: Path, out: Path, manifest: dict[str, Any], words: str) -> None:
    card = (folder / "README.md").read_text()
    head, title, rest = card.partition("\n## ")
    if "\n## This version\n" in card:  # a second retraction takes the place of the first one's words
        rest = "What this is" + card.partition("\n## What this is")[2]
        head = card.partition("\n## This version\n")[0]
    write_bytes(out / "README.md", f"{head}\n## This version\n\n{words}\n{title or chr(10)}{rest}".encode())
    statistics = read_json(folder / "statistics.json")
    write_json(out / "statistics.json", {"first_version": statistics.get("first_version", statistics)})
    report = Report(f"Release {manifest['name']}", "a version without rows that were taken back").text(words)
    report.facts({key: value for key, value in manifest["retraction"].items() if key != "of_manifest_sha256"})
    report.write(out / "report.html")
    write_json(out / "gates.json", manifest["gates"])
    write_json(out / "manifest.json", manifest)
    told = ("README.md", "gates.json", "manifest.json", "report.html", "statistics.json")
    hashes = {name: sha256_file(out / name) for name in told}
    hashes |= {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(hashes.items())]
    write_bytes(out / "checksums.sha256", "".join(lines).encode())
