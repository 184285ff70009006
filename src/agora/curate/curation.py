"""One curation verb over one file: kept rows out, every other row beside it with its reason, and a manifest.

``kept.jsonl`` comes with ``kept.rejects.jsonl`` (a row a line: ``where``, ``reason``, ``raw``) and
``kept.manifest.json``: what was asked, of which input, and the funnel. A verb that reads another's output takes over
the funnel of its manifest, so that the last file tells the whole way from the first row on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from agora import __version__
from agora.core.errors import DataError, UsageError
from agora.core.files import missing, sha256_file
from agora.core.garbage import rare_collections
from agora.core.json_rows import Row
from agora.core.jsonl import Rejects, read_json, write_json
from agora.core.records import JsonMap
from agora.curate.funnel import Funnel
from agora.curate.row_parts import PARTS, RowsFunction, parts_of
from agora.curate.rows import RecordType, Source, mark_of, open_source, read_record_rows
from agora.curate.write import beside, write_records, write_rows

SCHEMA = "curate_manifest/1"
READABLE, KEPT_BEFORE = "readable", "kept before"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CurateReport:
    """What a verb did. ``n_in = n_out + sum(reasons)``; ``facts`` holds what is particular to the verb."""

    verb: str
    out: Path
    n_in: int
    n_out: int
    reasons: dict[str, int]
    rejects: Path | None
    manifest: Path
    funnel: Funnel
    seconds: float
    facts: JsonMap = field(default_factory=dict)

    def as_json(self) -> JsonMap:
        """Plain JSON values."""
        named: JsonMap = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "funnel"}
        named = {k: str(v) if isinstance(v, Path) else v for k, v in named.items()}
        return {**named, "funnel": self.funnel.to_json()}


class _Unreadable(Rejects):
    """Counts what cannot be read apart from what a verb drops, in the same file."""

    def __init__(self, target: Rejects) -> None:
        super().__init__()
        self._target = target

    def add(self, where: str, reason: str, raw: object = None, *, detail: str | None = None) -> None:
        super().add(where, reason, raw, detail=detail)
        self._target.add(where, reason, raw, detail=detail)


class Curation:
    """The work of one verb; made by :func:`curate`.

    A verb reads :meth:`rows`, calls :meth:`drop` for each row that does not stay, and hands those that do to
    :meth:`write`. The report is complete once the context of :func:`curate` is left.
    """

    def __init__(self, sources: Sequence[Source], out: Path, verb: str, steps: Sequence[str], rejects: Rejects) -> None:
        self.sources, self.out = tuple(sources), out
        self.n_by_source = [0] * len(self.sources)
        self.facts: JsonMap = {}
        self._verb, self._steps = verb, list(steps)
        self._rejects, self._unreadable = rejects, _Unreadable(rejects)
        self._lost: dict[str, Counter[str]] = {}
        self._n_read = self._n_written = 0
        self._report: CurateReport | None = None

    @property
    def source(self) -> Source:
        """The file worked on; the first of several."""
        return self.sources[0]

    def rows(self, *, limit: int | None = None) -> Iterator[JsonMap]:
        """The rows to work on: readable, and not marked by an earlier pass. To be gone through once."""
        for _, row in self.numbered(limit=limit):
            yield row

    def numbered(self, *, limit: int | None = None) -> Iterator[Row]:
        """The rows of :meth:`rows` with their lines, instead of them."""
        for number, source in enumerate(self.sources):
            for line, row in read_record_rows(source, self._unreadable, limit=limit):
                self._n_read += 1
                self.n_by_source[number] += 1
                reason = mark_of(row)
                if reason is None:
                    yield Row(line, row)
                else:
                    self.drop(row, KEPT_BEFORE, reason, where=f"{source.path}:{line}")

    def in_parts(
        self, fn: RowsFunction[T], *, on: str = "local", workers: int | None = None, label: str
    ) -> Iterator[T]:
        """What a function makes of some thousand rows of :meth:`rows` at a time, instead of them.

        See :func:`agora.curate.row_parts.parts_of` for the arguments.
        """
        folder = beside(self.out, PARTS)
        for number, source in enumerate(self.sources):
            for part in parts_of(source, fn, folder, on=on, workers=workers, label=label):
                self._n_read += part.n
                self.n_by_source[number] += part.n
                for where, reason, raw, detail, marked in part.aside:
                    if marked:
                        self.drop(raw, KEPT_BEFORE, reason, where=where)
                    else:
                        self._unreadable.add(where, reason, raw, detail=detail)
                yield part.result

    def again(self) -> Iterator[JsonMap]:
        """The rows of :meth:`rows` once more, for a second pass; nothing is counted twice."""
        for source in self.sources:
            for _, row in read_record_rows(source, Rejects()):
                if mark_of(row) is None:
                    yield row

    def drop(
        self, row: JsonMap, step: str, reason: str, *, where: str | None = None, detail: str | None = None
    ) -> None:
        """Set a row aside: it goes to the reject file with its reason, and is counted at a step of the funnel."""
        self._lost.setdefault(step, Counter())[reason] += 1
        self._rejects.add(where or str(row.get("id")), reason, row, detail=detail)

    def set_apart(self, step: str, reason: str, n: int) -> None:
        """Count rows that the verb has written to another file of its own."""
        self._lost.setdefault(step, Counter())[reason] += n

    def write(self, rows: Iterable[JsonMap], record_type: RecordType | None = None) -> int:
        """Write the rows that stay, whole or not at all; ``record_type`` where it is not that of the input."""
        self._n_written = write_records(rows, self.out, record_type or self.source.record_type)
        return self._n_written

    def write_groups(self, groups: Iterable[list[JsonMap]]) -> int:
        """Write rows of another layout, whole or not at all; each group is what became of one row that stays."""

        def rows() -> Iterator[JsonMap]:
            for group in groups:
                self._n_written += 1
                yield from group

        written = write_rows(rows(), self.out)
        self.facts["rows_written"] = written
        return written

    def wrote(self, n: int) -> None:
        """So many rows stay, in a file that the verb has written itself."""
        self._n_written = n

    @property
    def report(self) -> CurateReport:
        """What was done; only after the work."""
        if self._report is None:
            raise RuntimeError("the report is made when the work is done")
        return self._report

    def finish(self, config: Mapping[str, Any], seed: int, seconds: float) -> None:
        """Write the manifest and make the report."""
        own = Funnel()
        own.start("rows", self._n_read + self._unreadable.count)
        lost = {READABLE: self._unreadable.by_reason, **self._lost}
        for step in [READABLE, KEPT_BEFORE, *self._steps]:
            reasons = lost.pop(step, Counter())
            if reasons or step in self._steps:
                own.step(step, reasons)
        if lost or own.n_out != self._n_written:
            raise RuntimeError(f"{own.n_out} rows stay, {self._n_written} were written; unknown steps {list(lost)}")
        manifest = beside(self.out, "manifest.json")
        earlier = _earlier(self.source.path) if len(self.sources) == 1 else None
        funnel = joined(earlier, own, f"{self._verb}: {self.source.path.name}")
        self._report = CurateReport(
            verb=self._verb,
            out=self.out,
            n_in=own.n_in,
            n_out=own.n_out,
            reasons=dict(own.reasons().most_common()),
            rejects=self._rejects.path if self._rejects.count else None,
            manifest=manifest,
            funnel=funnel,
            seconds=round(seconds, 3),
            facts=self.facts,
        )
        write_json(manifest, self._manifest(config, seed, funnel))

    def _manifest(self, config: Mapping[str, Any], seed: int, funnel: Funnel) -> JsonMap:
        return {
            "schema": SCHEMA,
            "verb": self._verb,
            "version": __version__,
            "config": dict(config),
            "seed": seed,
            "inputs": [{"path": str(s.path), "sha256": sha256_file(s.path)} for s in self.sources],
            "output": {"path": str(self.out), "sha256": sha256_file(self.out)},
            "funnel": funnel.to_json(),
            "facts": self.facts,
            "seconds": self.report.seconds,
        }


@contextmanager
def curate(
    path: Path,
    out: Path,
    *,
    verb: str,
    steps: Sequence[str],
    config: Mapping[str, Any],
    seed: int = 0,
    format: str = "auto",
    also: Sequence[Path] = (),
) -> Iterator[Curation]:
    """Work on a file; leaves the output, the rejected rows and the manifest, or raises and leaves no output.

    Args:
        path: what to read; see :func:`agora.curate.rows.open_source`.
        out: ``.jsonl``, ``.json``, ``.parquet``, lines also ``.gz`` and ``.zst``.
        verb: the name under ``agora curate``.
        steps: the funnel's steps of this verb, in order; each is named for the rows that stay.
        config: what decides the result, for the manifest.
        seed: of its draws.
        format: of the input.
        also: further files, read after the first.

    Raises:
        UsageError: the output is an input, or a folder.
        MissingError: no such input.
    """
    path, out = Path(path), Path(out)
    if out.is_dir():
        raise UsageError("this is a folder", where=str(out), hint="--out names a file, such as kept.jsonl")
    paths = [path, *map(Path, also)]
    if any(out.exists() and one.exists() and out.samefile(one) for one in paths):
        raise UsageError("the output would replace the input", where=str(out), hint="name another file with --out")
    began = time.perf_counter()
    sources = [open_source(one, format) for one in paths]
    with rare_collections(), Rejects(beside(out, "rejects.jsonl")) as rejects:
        work = Curation(sources, out, verb, steps, rejects)
        yield work
    work.finish(config, seed, time.perf_counter() - began)


def joined(earlier: Funnel | None, own: Funnel, label: str) -> Funnel:
    """Two funnels as one; where the numbers do not meet (the unit changed, rows were limited) the count starts anew."""
    steps = [] if earlier is None else earlier.to_json()
    mine = own.to_json()
    goes_on = earlier is not None and earlier.n_out == own.n_in
    mine = mine[1:] if goes_on else [{**mine[0], "step": label if earlier is not None else mine[0]["step"]}, *mine[1:]]
    return Funnel.from_json([*steps, *mine])


def read_funnel(path: Path) -> Funnel:
    """The funnel of a manifest, of the output beside it, or of a run folder that holds one.

    Raises:
        MissingError: no such file, or nothing beside it tells a funnel.
        DataError: the manifest is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise missing(path)
    candidates = [path / "funnel.json", *sorted(path.glob("*.manifest.json"))] if path.is_dir() else [path]
    if path.is_file() and not path.name.endswith((".manifest.json", "funnel.json")):
        candidates = [beside(path, "manifest.json")]
    found = [file for file in candidates if file.exists()]
    if not found:
        hint = "name a file that `agora curate` wrote, its manifest, or a run folder"
        raise (
            missing(candidates[0], "manifest")
            if path.is_file()
            else UsageError("no funnel here", where=str(path), hint=hint)
        )
    newest = max(found, key=lambda file: len(_steps_of(file)))
    return Funnel.from_json(_steps_of(newest))


def _steps_of(file: Path) -> list[JsonMap]:
    state = read_json(file)
    steps = state.get("funnel", state.get("steps")) if isinstance(state, dict) else state
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise DataError("holds no funnel", where=str(file))
    return steps


def _earlier(path: Path) -> Funnel | None:
    """The funnel that led to a file, when its manifest is about these bytes."""
    manifest = beside(path, "manifest.json")
    if not manifest.exists():
        return None
    state = read_json(manifest)
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        return None
    made = state.get("output") or {}
    return Funnel.from_json(state["funnel"]) if made.get("sha256") == sha256_file(path) else None
