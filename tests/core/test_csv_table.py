from __future__ import annotations

from pathlib import Path

import pytest

from agora.core.csv_table import CsvTable
from agora.core.errors import DataError, MissingError


def test_cells_numbers_and_gaps(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('Model,score\n"a, b",1.5\nc,-\nd,\n')
    table = CsvTable.read(tmp_path / "t.csv")
    assert table.column("model") == "Model"
    assert [row["Model"] for row in table.rows] == ["a, b", "c", "d"]
    assert list(table.numbers("score")) == [1.5, None, None]
    with pytest.raises(DataError, match="row 3"):
        table.known("score")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,score\na,1\nb,two\n")
    table = CsvTable.read(path)
    with pytest.raises(DataError, match="row 3: 'two' is not a number"):
        list(table.numbers("score"))
    with pytest.raises(DataError, match="no column elo or rating, it has model, score"):
        table.column("elo", "rating")
    path.write_text("model,score\na,1,2\n")
    with pytest.raises(DataError, match="more cells"):
        CsvTable.read(path)
    path.write_text("model,score\n")
    with pytest.raises(DataError, match="no rows"):
        CsvTable.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        CsvTable.read(path)
    with pytest.raises(MissingError):
        CsvTable.read(tmp_path / "u.csv")
