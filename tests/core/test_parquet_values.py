"""Rows of Parquet batches are what JSON lines would hold, however they are made."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.core.parquet import parquet_holds_json, parquet_rows
from agora.core.parquet_values import ROWS_AT_ONCE, BatchRows
from agora.core.schemas import META_JSON

MOMENTS = st.none() | st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))


def _rows(values: list[Any], kind: pa.DataType, **more: Any) -> list[Any]:
    batch = pa.record_batch({"x": pa.array(values, kind)})
    return [row["x"] for row in BatchRows(batch.schema, **more).of(batch)]


def _iso(moment: dt.datetime | None, zone: dt.tzinfo | None = None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=zone).isoformat()


@settings(deadline=None)
@given(st.lists(MOMENTS), st.sampled_from([None, "UTC"]))
def test_times_are_iso_text_with_the_zone_of_their_column(moments: list[dt.datetime | None], tz: str | None) -> None:
    zone = dt.UTC if tz else None
    given = [None if m is None else m.replace(tzinfo=zone) for m in moments]
    assert _rows(given, pa.timestamp("us", tz)) == [_iso(m, zone) for m in moments]
    nested = pa.list_(pa.struct([("at", pa.timestamp("us", tz)), ("n", pa.int8())]))
    made = _rows([None, [{"at": m, "n": 1} for m in given], [None]], nested)
    assert made == [None, [{"at": _iso(m, zone), "n": 1} for m in moments], [None]]


def test_times_of_other_units_and_zones_are_iso_text_too() -> None:
    moment = dt.datetime(2024, 5, 1, 10, 0, 3, 250_000)
    assert _rows([moment], pa.timestamp("ms")) == ["2024-05-01T10:00:03.250000"]
    assert _rows([moment], pa.timestamp("ns")) == ["2024-05-01T10:00:03.250000"]
    assert _rows([moment.replace(microsecond=0)], pa.timestamp("s", "UTC")) == ["2024-05-01T10:00:03+00:00"]
    there = moment.replace(tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert _rows([there], pa.timestamp("us", "Europe/Berlin")) == ["2024-05-01T10:00:03.250000+02:00"]
    assert _rows([moment.date(), None], pa.date32()) == ["2024-05-01", None]


def test_a_time_no_calendar_holds_is_a_data_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"at": pa.array([2**62], pa.timestamp("us"))}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        list(parquet_rows(tmp_path / "a.parquet"))


def test_floats_that_are_not_finite_are_none_where_that_is_asked_for() -> None:
    scores = pa.list_(pa.struct([("a", pa.float64()), ("b", pa.string())]))
    values = [[{"a": 0.5, "b": "x"}, None], None, [{"a": math.inf, "b": None}, {"a": math.nan, "b": "y"}]]
    as_they_are = _rows(values, scores)
    assert as_they_are[2][0]["a"] == math.inf and math.isnan(as_they_are[2][1]["a"])
    assert _rows(values, scores, finite=True) == [*values[:2], [{"a": None, "b": None}, {"a": None, "b": "y"}]]
    assert _rows(values[:2], scores, finite=True) == values[:2]


def test_rows_come_in_their_order_over_many_slices() -> None:
    count = 3 * ROWS_AT_ONCE + 1
    assert _rows(list(range(count)), pa.int64()) == list(range(count))


def test_columns_of_json_text_and_rare_types_are_not_taken_for_clean(tmp_path: Path) -> None:
    columns = {"s": pa.string(), "at": pa.timestamp("ns", "UTC"), "l": pa.list_(pa.struct([("x", pa.float32())]))}
    for kind, holds in ((pa.int64(), True), (pa.float16(), False), (pa.decimal128(5, 2), False), (pa.binary(), False)):
        schema = pa.schema([*columns.items(), ("last", kind)])
        pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
        assert parquet_holds_json(tmp_path / "a.parquet") is holds
    text = pa.field("meta", pa.string(), metadata={META_JSON: b"1"})
    pq.write_table(pa.schema([text]).empty_table(), tmp_path / "a.parquet")
    assert not parquet_holds_json(tmp_path / "a.parquet")
