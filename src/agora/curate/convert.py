"""Write a file in another tool's layout; rows that the layout cannot hold are kept aside with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.core.jsonl import Rejects
from agora.core.progress import progress
from agora.core.records import Conversation, JsonMap
from agora.core.schemas import to_row
from agora.curate.curation import CurateReport, Curation, curate
from agora.curate.importers.base import RowError
from agora.curate.importers.export import export_lmsys, export_wildchat
from agora.curate.importers.layouts import LAYOUTS, layout_rows
from agora.curate.pairs.export import ExportReport, check_export, export_pairs
from agora.curate.pairs.read import read_pairs
from agora.curate.rows import conversation_of
from agora.curate.write import beside

OWN = "agora"
PUBLISHED = ("wildchat-1m", "wildchat-4.8m", "lmsys-chat-1m")
TARGETS = (OWN, *LAYOUTS, *PUBLISHED)
_STEP = "fits the layout"


def convert_file(path: Path, out: Path, to: str = OWN, *, format: str = "auto") -> CurateReport:
    """Convert a file of conversations or samples.

    Args:
        path: any readable file.
        out: ``.jsonl``, ``.json``, ``.parquet``; lines also ``.gz``, ``.zst``. The published layouts are Parquet.
        to: a name in ``TARGETS``; ``agora`` gives our own conversations, which every command reads.
        format: of the input.

    Raises:
        UsageError: no such layout.
    """
    check_target(to)
    with curate(path, out, verb="convert", steps=[_STEP], config={"to": to}, format=format) as work:
        if to in PUBLISHED:
            _published(work, to)
        elif to == OWN:
            work.write((to_row(conversation_of(row)) for row in _watched(work)), Conversation)
        else:
            work.write_groups(_groups(work, to))
        work.facts["to"] = to
    return work.report


def check_target(to: str) -> None:
    """Refuse a name that is no layout of conversations.

    Raises:
        UsageError: names the nearest one.
    """
    if to not in TARGETS:
        near = nearest(to, list(TARGETS))
        guess = f", did you mean {near}?" if near else ""
        raise UsageError(f"unknown layout {to!r}{guess}", hint=f"choose {', '.join(TARGETS)}")


def _groups(work: Curation, to: str) -> Iterator[list[JsonMap]]:
    for row in _watched(work):
        try:
            yield layout_rows(conversation_of(row), to)
        except RowError as error:
            work.drop(row, _STEP, error.reason, detail=error.detail or None)


def _published(work: Curation, to: str) -> None:
    """The published Parquet schemas, which skip single paths rather than whole conversations."""

    def conversations() -> Iterator[Conversation]:
        for row in _watched(work):
            yield conversation_of(row)

    if to.startswith("wildchat"):
        report = export_wildchat(conversations(), work.out, to.removeprefix("wildchat-"))
    else:
        report = export_lmsys(conversations(), work.out)
    work.wrote(report.n_conversations)
    work.facts |= {"rows_written": report.n_rows, "skipped_paths": report.skipped}


def _watched(work: Curation) -> Iterator[JsonMap]:
    with progress(None, "convert", "rows") as bar:
        for row in work.rows():
            bar.advance()
            yield row


def convert_pairs(path: Path, out: Path, to: str, *, format: str = "auto") -> ExportReport:
    """Convert a file of preferences; how answers become pairs is the rule of the input's format.

    To mix, cap, filter or hold out pairs use ``agora preferences data``.

    Args:
        path: any preference file, see :mod:`agora.curate.pairs`.
        out: see :func:`agora.curate.pairs.export_pairs`; refused rows lie beside it.
        to: a name in ``agora.curate.pairs.EXPORTS``.
        format: of the input.

    Raises:
        UsageError: no such layout.
        DataError: the file holds no preferences, or most rows are faulty.
    """
    check_export(to)
    with Rejects(beside(Path(out), "rejects.jsonl")) as rejects:
        return export_pairs(read_pairs(Path(path), format=format, rejects=rejects), Path(out), to)
