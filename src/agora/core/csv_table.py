"""Small CSV tables that people write: human labels, published leaderboards, difficulties."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agora.core.errors import DataError
from agora.core.files import open_plain, require_file


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The cells of a CSV file as text, one dict a row; a file may also be gzip or Zstandard."""

    path: Path
    rows: tuple[dict[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> CsvTable:
        """Read a table with a header line.

        Raises:
            MissingError: no such file.
            DataError: not UTF-8, no rows, or a row with more cells than the header.
        """
        require_file(Path(path))
        with open_plain(Path(path)) as source:
            raw = source.read()
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as err:
            raise DataError(f"not UTF-8 at byte {err.start}", where=str(path)) from None
        rows = []
        reader = csv.DictReader(io.StringIO(text, newline=""))
        for row in reader:
            if None in row:
                raise DataError("the row has more cells than the header", where=f"{path}:{reader.line_num}")
            rows.append({key: value or "" for key, value in row.items()})
        if not rows:
            raise DataError("the table holds no rows", where=str(path), hint="the first line names the columns")
        return cls(Path(path), tuple(rows))

    @property
    def columns(self) -> list[str]:
        """The header."""
        return list(self.rows[0])

    def column(self, *names: str) -> str:
        """The first of `names` that the table has (case does not matter).

        Raises:
            DataError: none of them.
        """
        by_folded = {name.strip().casefold(): name for name in reversed(self.columns)}
        for name in names:
            if name.casefold() in by_folded:
                return by_folded[name.casefold()]
        wanted = " or ".join(names)
        raise DataError(f"the table has no column {wanted}, it has {', '.join(self.columns)}", where=str(self.path))

    def numbers(self, column: str) -> Iterator[float | None]:
        """The column as numbers; an empty cell, ``-`` or ``NaN`` is missing.

        Raises:
            DataError: a cell that is no number; names the row.
        """
        for row, cells in enumerate(self.rows, 2):
            text = cells[column].strip()
            if text in ("", "-") or text.casefold() in ("nan", "none", "null"):
                yield None
                continue
            try:
                value = float(text)
            except ValueError:
                value = math.inf
            if not math.isfinite(value):
                raise DataError(f"{text!r} is not a number (column {column})", where=f"{self.path}: row {row}")
            yield value

    def known(self, column: str) -> list[float]:
        """The column as numbers.

        Raises:
            DataError: a cell is missing or no number; names the row.
        """
        out = []
        for row, value in enumerate(self.numbers(column), 2):
            if value is None:
                raise DataError(f"column {column} has no value", where=f"{self.path}: row {row}")
            out.append(value)
        return out
