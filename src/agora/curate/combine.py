"""Files of different formats as one file of conversations, each row with its source, all ids distinct."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from agora.core.progress import progress
from agora.core.records import Conversation, JsonMap, Sample, stable_id
from agora.core.schemas import to_row
from agora.curate.curation import CurateReport, Curation, curate
from agora.curate.rows import conversation_of


def combine_files(paths: Sequence[Path], out: Path, *, format: str = "auto") -> CurateReport:
    """Bring files together.

    Rows keep their order and their source. Files of samples alone stay samples; where any other file is among them all
    become conversations. An id that an earlier file had is made anew from it and the file's name.

    Args:
        paths: at least one; any readable files.
        out: see :func:`agora.curate.curation.curate`.
        format: of all files, or ``auto``.

    Raises:
        MissingError, DataError: a file cannot be read.
    """
    first, *others = [Path(path) for path in paths]
    config = {"files": [str(path) for path in paths]}
    with curate(first, out, verb="combine", steps=[], config=config, format=format, also=others) as work:
        record_type = Sample if all(s.record_type is Sample for s in work.sources) else Conversation
        work.write(_rows(work, record_type is Sample), record_type)
        work.facts["files"] = {str(s.path): n for s, n in zip(work.sources, work.n_by_source, strict=True)}
    return work.report


def _rows(work: Curation, samples: bool) -> Iterator[JsonMap]:
    seen: set[str] = set()
    with progress(None, "combine", "rows") as bar:
        for row in work.rows():
            bar.advance()
            found = row if samples else _as_conversation(row)
            if found["id"] in seen:
                found = {**found, "id": stable_id(found["id"], str(len(seen)))}
            seen.add(found["id"])
            yield found


def _as_conversation(row: JsonMap) -> JsonMap:
    return to_row(conversation_of(row)) if row.get("schema") == Sample.SCHEMA else row
