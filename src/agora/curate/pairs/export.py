"""Pairs into the layouts of other trainers. Every row is read back before it is written: what a layout cannot hold is
skipped and counted, never bent to fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.core.records import JsonMap, PreferencePair
from agora.curate.contamination.reserved import refuse_reserved
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Context, Draft, GroupDraft
from agora.curate.pairs.formats import PAIR_FORMATS
from agora.curate.pairs.layouts import EXPORTS, LAYOUTS
from agora.curate.pairs.turns import Turns
from agora.curate.write import write_records, write_rows


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written; ``skipped`` counts, by reason, the pairs that the layout cannot hold."""

    path: Path
    format: str
    written: int
    skipped: dict[str, int]
    hint: str = ""

    def to_json(self) -> JsonMap:
        """Plain JSON values."""
        return {
            "path": str(self.path),
            "format": self.format,
            "written": self.written,
            "skipped": self.skipped,
            "hint": self.hint,
        }


def export_pairs(pairs: Iterable[PreferencePair], path: Path, format: str = "agora") -> ExportReport:
    """Write pairs for another trainer, or as our own records.

    Args:
        pairs: any; a tie fits only ``agora``, ``alpaca-judged`` and the layouts without a preference.
        path: ``.jsonl``, ``.json`` (one array), either with ``.gz`` or ``.zst``, or ``.parquet``; written whole or not
            at all.
        format: one of ``EXPORTS``.

    Raises:
        UsageError: unknown format.
        DataError: a pair holds a task that ``AGORA_RESERVED`` keeps out of training.
        AgoraError: the disk is full; nothing is left behind.
    """
    path = Path(path)
    check_export(format)
    pairs = list(pairs)
    refuse_reserved(((pair.id, _all_texts(pair)) for pair in pairs), what=str(path))
    if format == "agora":
        return ExportReport(path, format, write_records(pairs, path, PreferencePair), {})
    skipped: Counter[str] = Counter()
    pairs_out: Counter[str] = Counter()
    write_rows(_fitting_rows(pairs, format, skipped, pairs_out), path)
    return ExportReport(path, format, pairs_out["pairs"], dict(skipped.most_common()), LAYOUTS[format].hint)


def check_export(format: str) -> None:
    """Refuse a name that is no layout.

    Raises:
        UsageError: names the nearest one.
    """
    if format not in EXPORTS:
        near = nearest(format, list(EXPORTS))
        guess = f", did you mean {near}?" if near else ""
        raise UsageError(f"unknown export format {format!r}{guess}", hint=f"choose {', '.join(EXPORTS)}")


def export_rows(pair: PreferencePair, format: str) -> list[JsonMap]:
    """The rows of one pair in a layout.

    Raises:
        RowError: the layout cannot hold the pair; the reason is short and shared.
    """
    layout = LAYOUTS[format]
    if layout.whole and pair.tie and format != "alpaca-judged":
        raise RowError("a tie")
    rows = layout.rows(pair)
    if layout.whole and not _reads_back(rows, pair, format):
        raise RowError("its text would be read back as another pair")
    return rows


def _fitting_rows(
    pairs: Iterable[PreferencePair], format: str, skipped: Counter[str], done: Counter[str]
) -> Iterator[JsonMap]:
    for pair in pairs:
        try:
            rows = export_rows(pair, format)
        except RowError as error:
            skipped[error.reason] += 1
            continue
        done["pairs"] += 1
        yield from rows


def _reads_back(rows: list[JsonMap], pair: PreferencePair, format: str) -> bool:
    """Whether the importer of the layout finds the same turns in the rows, each side at its place."""
    try:
        found = [PAIR_FORMATS[format].convert(row, Context("", 0)) for row in rows]
    except RowError:
        return False
    wanted = (_texts(pair.prompt), [_texts(pair.chosen), _texts(pair.rejected)])
    first = found[0]
    if isinstance(first, Draft):
        sides = [_texts(first.chosen), _texts(first.rejected)]
        if first.tie:
            return _texts(first.prompt) == wanted[0] and sorted(sides) == sorted(wanted[1])
        return (_texts(first.prompt), sides) == wanted
    groups = [group for group in found if isinstance(group, GroupDraft)]
    ordered = sorted((r for g in groups for r in g.responses), key=lambda r: -(r.score or 0.0))
    return all(_texts(g.prompt) == wanted[0] for g in groups) and [_texts(r.messages) for r in ordered] == wanted[1]


def _all_texts(pair: PreferencePair) -> list[str]:
    return [m.content for side in (pair.prompt, pair.chosen, pair.rejected) for m in side]


def _texts(turns: Turns) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in turns]
