"""Which format a file is in, judged by its first rows."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from agora.core.errors import DataError, UsageError
from agora.core.records import JsonMap
from agora.core.tables import Rejects, read_rows
from agora.curate.importers.archive import archive_rows, is_archive
from agora.curate.importers.base import Format
from agora.curate.importers.chatgpt import CHATGPT
from agora.curate.importers.instruction_files import ALPACA, DISTILABEL
from agora.curate.importers.magpie import MAGPIE_GENERATION, MAGPIE_V1, MAGPIE_V2, MAGPIE_V3
from agora.curate.importers.native import AGORA
from agora.curate.importers.oasst import OASST
from agora.curate.importers.openai_messages import OPENAI
from agora.curate.importers.prompts import PROMPTS
from agora.curate.importers.sharegpt import SHAREGPT
from agora.curate.importers.sharelm import SHARELM
from agora.curate.importers.wildchat import LMSYS, WILDCHAT_1M, WILDCHAT_4_8M, WILDCHAT_2023

# The order is that of the questions asked of a row: the narrow shapes first.
FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        *(AGORA, OASST, CHATGPT, SHARELM, WILDCHAT_4_8M, WILDCHAT_1M, WILDCHAT_2023, LMSYS),
        *(MAGPIE_V1, MAGPIE_GENERATION, MAGPIE_V3, MAGPIE_V2, DISTILABEL, SHAREGPT, OPENAI, ALPACA, PROMPTS),
    )
}
_ROWS_LOOKED_AT = 50


class Detection(NamedTuple):
    """A format's name and why the file is taken for it."""

    format: str
    reason: str


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: no such format; the nearest name is given.
    """
    if name in FORMATS:
        return FORMATS[name]
    near = difflib.get_close_matches(name, list(FORMATS), n=1, cutoff=0.0)[0]
    raise UsageError(f"unknown format {name!r}, nearest {near!r}", hint=f"choose auto, {', '.join(FORMATS)}")


def detect_format(path: Path) -> Detection:
    """The format that most of the first 50 readable rows have.

    Args:
        path: JSON Lines, a JSON array or object, or Parquet; plain, gzip or zstd; or a zip archive of an account.

    Raises:
        MissingError: no such file.
        DataError: empty, nothing readable among the first rows, or no known format (their keys are named).
    """
    rejects = Rejects()
    path = Path(path)
    found = archive_rows(path, rejects) if is_archive(path) else read_rows(path, rejects=rejects)
    rows = [row.data for row in islice(found, _ROWS_LOOKED_AT)]
    if not rows:
        reason = next(iter(rejects.by_reason), "no rows")
        raise DataError(f"no readable row among the first {rejects.count}: {reason}", where=str(path))
    votes, reasons = _vote(rows)
    if not votes:
        keys = ", ".join(map(repr, list(rows[0])[:8])) or "none"
        hint = f"known formats: {', '.join(FORMATS)}; name one with --format"
        raise DataError(f"unknown chat format; the first row has the keys {keys}", where=str(path), hint=hint)
    best = max(votes, key=lambda name: votes[name])
    return Detection(best, f"{votes[best]} of the first {len(rows)} rows: {reasons[best]}")


def _vote(rows: Iterable[JsonMap]) -> tuple[Counter[str], dict[str, str]]:
    votes: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for data in rows:
        for format_ in FORMATS.values():
            if reason := format_.matches(data):
                votes[format_.name] += 1
                reasons.setdefault(format_.name, reason)
                break
    return votes, reasons
