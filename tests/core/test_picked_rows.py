"""Single rows read again by their numbers, and columns that are passed over."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError, MissingError
from agora.core.tables import column_names, read_picked, read_rows, read_slice
from tests.examples import examples

ROWS: list[dict[str, Any]] = [{"n": i, "text": f"row {i}", "inner": {"a": [i, None]}} for i in range(25)]
KINDS = ("lines", "gzip", "array", "parquet")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("picked")
    lines = "".join(json.dumps(row) + ("\n\n" if row["n"] == 3 else "\n") for row in ROWS)
    (folder / "a.jsonl").write_text(lines)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "a.json").write_text(json.dumps(ROWS, indent=1))
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "a.parquet", row_group_size=7)
    names = {"lines": "a.jsonl", "gzip": "a.jsonl.gz", "array": "a.json", "parquet": "a.parquet"}
    return {kind: folder / name for kind, name in names.items()}


@given(numbers=st.lists(st.integers(-2, 30), max_size=12))
@settings(deadline=None, max_examples=examples(25))
@pytest.mark.parametrize("kind", KINDS)
def test_picked_rows_are_those_of_a_whole_reading(files: dict[str, Path], kind: str, numbers: list[int]) -> None:
    whole = [row for row in read_rows(files[kind]) if row.line in numbers]
    assert list(read_picked(files[kind], numbers)) == whole


def test_batches_without_a_wanted_row_are_passed_over(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"n": list(range(20_000))}), tmp_path / "a.parquet")  # one row group of many batches
    wanted = [2, 9_000, 20_000]
    assert [(row.line, row.data) for row in read_picked(tmp_path / "a.parquet", wanted)] == [
        (number, {"n": number - 1}) for number in wanted
    ]


def test_only_wanted_rows_must_be_well_formed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"n": 1}\n{"n": \n{"n": 3}\n')
    assert [row.data for row in read_picked(tmp_path / "a.jsonl", [1, 3])] == [{"n": 1}, {"n": 3}]
    with pytest.raises(DataError, match="not valid JSON"):
        list(read_picked(tmp_path / "a.jsonl", [2]))
    with pytest.raises(MissingError):
        read_picked(tmp_path / "b.jsonl", [1])


def test_columns_are_named_and_passed_over(files: dict[str, Path]) -> None:
    assert column_names(files["parquet"]) == ["n", "text", "inner"]
    assert column_names(files["lines"]) == []
    rows = list(read_slice(files["parquet"], 5, 9, without={"inner", "text"}))
    assert [(row.line, row.data) for row in rows] == [(n, {"n": n - 1}) for n in range(6, 10)]


@given(start=st.integers(0, 30), length=st.integers(0, 30))
@settings(deadline=None, max_examples=examples(60))
def test_a_slice_of_row_groups_is_that_of_the_whole(files: dict[str, Path], start: int, length: int) -> None:
    whole = [row for row in read_rows(files["parquet"]) if start < row.line <= start + length]
    assert list(read_slice(files["parquet"], start, start + length)) == whole


def test_row_groups_outside_of_a_slice_are_not_read(files: dict[str, Path], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    broken, data = tmp_path / "broken.parquet", bytearray(files["parquet"].read_bytes())
    metadata = pq.ParquetFile(files["parquet"]).metadata
    for number in (0, 2):
        column = metadata.row_group(number).column(0)
        at = min(column.dictionary_page_offset or column.data_page_offset, column.data_page_offset)
        data[at : at + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    broken.write_bytes(data)
    assert [row.data["n"] for row in read_slice(broken, 8, 14)] == list(range(8, 14))
    with pytest.raises(DataError):
        list(read_slice(broken, 8, 15))
