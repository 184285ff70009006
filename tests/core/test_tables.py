"""Rows in and out of files."""

from __future__ import annotations

import gzip
import json
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agora.core.errors import AgoraError, DataError, MissingError
from agora.core.records import Answer, Conversation, Measure, Provenance
from agora.core.schemas import to_row
from agora.core.tables import (
    Rejects,
    find_slices,
    read_json,
    read_records,
    read_rows,
    read_slice,
    write_json,
    write_jsonl,
    write_parquet,
)
from tests.examples import examples

from .strategies import RECORD_TYPES, records_of

IN_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
ROWS = [{"n": n, "text": "Grüße 你好 🙂"} for n in range(5)]
LINES = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in ROWS)


def rows_of(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row.data for row in read_rows(path, **options)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
@settings(IN_FOLDER, max_examples=examples(20))
@given(data=st.data())
def test_json_lines_give_their_records_back(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    record_type = data.draw(st.sampled_from(RECORD_TYPES))
    records = data.draw(st.lists(records_of(record_type), min_size=1, max_size=3))
    path = tmp_path / f"records{suffix}"
    assert write_jsonl(path, records) == len(records)
    assert list(read_records(path, record_type)) == records


@pytest.mark.parametrize("record_type", RECORD_TYPES)
@settings(IN_FOLDER, max_examples=examples(10))
@given(data=st.data())
def test_parquet_gives_its_records_back(tmp_path: Path, record_type: type[Any], data: st.DataObject) -> None:
    records = data.draw(st.lists(records_of(record_type), min_size=1, max_size=3))
    path = tmp_path / "records.parquet"
    assert write_parquet(path, records, record_type) == len(records)
    assert list(read_records(path, record_type)) == records
    assert rows_of(path) == [to_row(record) for record in records]


@IN_FOLDER
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda b: b"PAR1" + b + b"PAR1"),
        st.binary(max_size=60).map(lambda b: b"\x1f\x8b\x08\x00" + b),
        st.binary(max_size=60).map(lambda b: b"\x28\xb5\x2f\xfd" + b),
        st.binary(max_size=60).map(gzip.compress),
        st.binary(max_size=60).map(lambda b: b'{"a": 1}\n' + b),
        st.text(alphabet='[]{}",:0123456789.eE+-nulltrfas\\ud \n', max_size=60).map(str.encode),
    ),
    suffix=st.sampled_from([".jsonl", ".json", ".parquet", ".jsonl.gz", ""]),
)
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_bytes(content)
    for rejects in (None, Rejects()):
        try:
            assert all(isinstance(row.data, dict) for row in read_rows(path, rejects=rejects))
        except AgoraError as err:
            assert str(path) in str(err)
            assert "\n" not in str(err)


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz", "jsonl.zst"])
@settings(IN_FOLDER, max_examples=examples(60))
@given(data=st.data())
def test_damaged_files_are_refused_not_fatal(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    path = tmp_path / f"good.{kind}"
    if not path.exists():
        records = [Answer(f"t{n}", "m", "text " * n) for n in range(20)]
        write_parquet(path, records, Answer) if kind == "parquet" else write_jsonl(path, records)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        list(read_rows(damaged, rejects=Rejects()))
    except AgoraError as err:
        assert "damaged.bin" in str(err)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.txt", "rows.gz", "rows.json"])
def test_files_are_told_by_their_bytes_not_their_names(tmp_path: Path, name: str, pack: Any) -> None:
    path = tmp_path / name
    path.write_bytes(pack(LINES))
    assert rows_of(path) == ROWS
    assert [row.line for row in read_rows(path)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_arrays_are_tables(tmp_path: Path, name: str, pack: Any, indent: int | None) -> None:
    path = tmp_path / name
    path.write_bytes(pack(json.dumps(ROWS, indent=indent).encode()))
    assert rows_of(path) == ROWS
    assert [row.line for row in read_rows(path)] == [1, 2, 3, 4, 5]


def test_one_json_object_is_a_table_of_one_row(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"a": {"b": [1]}}, indent=4))
    assert list(read_rows(path)) == [(1, {"a": {"b": [1]}})]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_compressed_parquet_is_read(tmp_path: Path, pack: Any) -> None:
    plain, packed = tmp_path / "a.parquet", tmp_path / "a.parquet.x"
    write_parquet(plain, [Answer("t", "m", "o")], Answer)
    packed.write_bytes(pack(plain.read_bytes()))
    assert list(read_records(packed, Answer)) == [Answer("t", "m", "o")]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_joined_compressed_files_are_read_to_the_end(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "joined"
    path.write_bytes(pack(LINES) + pack(LINES))
    assert rows_of(path) == ROWS + ROWS


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_cut_off_compressed_file_is_an_error_not_a_short_table(tmp_path: Path, pack: Any) -> None:
    whole = pack(b"".join(b'{"n": %d}\n' % (n * 7919) for n in range(50_000)))
    path = tmp_path / "cut"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut off"):
        rows_of(path, rejects=Rejects())


def test_byte_order_mark_carriage_returns_and_blank_lines_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\r\n" + LINES.replace(b"\n", b"\r\n\r\n  \r\n") + b"\r\n")
    assert rows_of(path) == ROWS
    assert [row.line for row in read_rows(path)] == [2, 5, 8, 11, 14]
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS).encode())
    assert rows_of(path) == ROWS


def test_utf_16_is_named_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "powershell.jsonl"
    path.write_bytes(LINES.decode().encode("utf-16"))
    with pytest.raises(DataError, match=r"UTF-16, expected UTF-8.*iconv"):
        rows_of(path)


def test_a_malformed_line_is_an_error_that_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": 2,}\n')
    with pytest.raises(DataError) as caught:
        rows_of(path)
    assert str(caught.value).startswith(f"{path}:3: not valid JSON (")


def test_malformed_lines_are_kept_and_counted_with_their_reasons(tmp_path: Path) -> None:
    path, rejected = tmp_path / "bad.jsonl", tmp_path / "rejected.jsonl"
    path.write_bytes(b'{"a": 1}\nnonsense\n[1, 2]\n"text"\n{"a": 2}\n\xff\xfe\n{"a": 3')
    with Rejects(rejected) as rejects:
        assert rows_of(path, rejects=rejects) == [{"a": 1}, {"a": 2}]
    assert rejects.count == 5
    assert rejects.by_reason == {
        "not valid JSON": 2,
        "not an object": 2,
        "cut off: the last line is not finished": 1,
    }
    kept = rows_of(rejected)
    assert [row["where"] for row in kept] == [f"{path}:{line}" for line in (2, 3, 4, 6, 7)]
    assert kept[0]["raw"] == "nonsense\n"
    assert kept[4]["raw"] == '{"a": 3'


def test_items_of_an_array_that_are_no_objects_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "mixed.json"
    path.write_text('[{"a": 1}, 2, {"a": 3}]')
    rejects = Rejects()
    assert [row.line for row in read_rows(path, rejects=rejects)] == [1, 3]
    assert rejects.by_reason == {"not an object": 1}


def test_rows_that_do_not_fit_the_record_are_rejected_with_the_field(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    write_jsonl(path, [Answer("t", "m", "o"), {"task_id": "t", "model": 3, "output": ""}])
    with pytest.raises(DataError, match=rf'{path}:2: field "model" must be a string'):
        list(read_records(path, Answer))
    with Rejects(tmp_path / "rejected.jsonl") as rejects:
        assert len(list(read_records(path, Answer, rejects=rejects))) == 1
    assert rejects.by_reason == {"does not fit answer/1": 1}
    assert "model" in rows_of(tmp_path / "rejected.jsonl")[0]["detail"]


def test_a_second_pass_replaces_the_rejects_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    for _ in range(2):
        with Rejects(path) as rejects:
            rejects.add("a:1", "bad", "raw")
    assert len(rows_of(path)) == 1
    Rejects(path).close()
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"\n\n  \r\n", b"\xef\xbb\xbf", b"[]", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match="empty"):
        rows_of(path)


def test_a_parquet_file_without_rows_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    assert write_parquet(path, [], Answer) == 0
    with pytest.raises(DataError, match="no rows"):
        rows_of(path)


def test_a_missing_file_is_told_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "conversations.jsonl").write_bytes(LINES)
    with pytest.raises(MissingError, match=r"no such file; did you mean .*/conversations\.jsonl\?"):
        read_rows(tmp_path / "conversation.jsonl")
    with pytest.raises(MissingError, match=r"the folder .*/nowhere does not exist"):
        read_rows(tmp_path / "nowhere" / "a.jsonl")


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this is a folder"):
        read_rows(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "locked.jsonl"
    path.write_bytes(LINES)
    path.chmod(0)
    with pytest.raises(DataError, match="permission denied"):
        read_rows(path)


def test_a_file_called_parquet_that_is_not_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(LINES)
    with pytest.raises(DataError, match="not a Parquet file"):
        rows_of(path)


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (2, 2), (99, 5)])
def test_the_limit_stops_the_reading(tmp_path: Path, limit: int, count: int) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(LINES)
    assert rows_of(path, limit=limit) == ROWS[:count]


def test_reading_does_not_load_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, ({"text": str(n) * 500} for n in range(10_000)))
    assert path.stat().st_size > 15 << 20
    tracemalloc.start()
    assert sum(1 for _ in read_rows(path)) == 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(LINES),))
    writer.start()
    assert rows_of(pipe) == ROWS
    writer.join()


def test_what_other_writers_emit_beside_the_standard_is_read(tmp_path: Path) -> None:
    path = tmp_path / "python.jsonl"
    path.write_bytes(b'{"a": NaN, "t": "x\\ud83d", "pair": "\\ud83d\\ude42"}\n')
    assert rows_of(path) == [{"a": None, "t": "x\ufffd", "pair": "🙂"}]
    path.write_bytes(b'{"a": Infinity}\n')
    with pytest.raises(DataError, match="not valid JSON"):
        rows_of(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lone_surrogates_are_replaced_when_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    answer = Answer("t", "m", "bad \ud800 text", params={"a": float("nan")})
    write_parquet(path, [answer], Answer) if suffix == ".parquet" else write_jsonl(path, [answer])
    assert list(read_records(path, Answer)) == [Answer("t", "m", "bad \ufffd text", params={"a": None})]


def test_numbers_of_more_than_64_bits_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    write_jsonl(path, [{"big": 2**80}])
    assert path.read_text() == f'{{"big":{2**80}}}\n'


def test_what_json_cannot_hold_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written as JSON"):
        write_jsonl(tmp_path / "a.jsonl", [{"a": 1}, {"a": object()}])
    assert list(tmp_path.iterdir()) == []


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".jsonl.gz", ".jsonl.zst"):
        one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
        write_jsonl(one, ROWS)
        write_jsonl(two, ROWS)
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_an_error_half_way_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path, name: str) -> None:
    def failing() -> Any:
        for n in range(20_000):
            yield Answer(str(n), "m", "o")
        raise KeyboardInterrupt

    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_parquet(path, failing(), Answer) if name.endswith("parquet") else write_jsonl(path, failing())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_rows_are_checked_against_the_record(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='field "model" is missing'):
        write_parquet(tmp_path / "a.parquet", [{"task_id": "t", "output": "o"}], Answer)
    with pytest.raises(DataError, match="rows 1-1 do not fit measure/1"):
        write_parquet(tmp_path / "m.parquet", [Measure("a", 1.0, 2**70)], Measure)
    assert list(tmp_path.iterdir()) == []


def test_parquet_of_other_programs_is_read_as_json_would_hold_it(tmp_path: Path) -> None:
    import datetime
    import decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    moment = datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "time": pa.array([moment, None], pa.timestamp("us", tz="UTC")),
            "cost": pa.array([decimal.Decimal("1.25"), None], pa.decimal128(8, 2)),
            "raw": pa.array([b"abc", None], pa.binary()),
            "turns": pa.array([[{"role": "user", "at": moment}], []]),
            "labels": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "other.parquet")
    first, second = rows_of(tmp_path / "other.parquet")
    assert first["time"] == "2024-05-01T12:30:00+00:00"
    assert first["cost"] == 1.25
    assert first["raw"] == "abc"
    assert first["turns"] == [{"role": "user", "at": "2024-05-01T12:30:00+00:00"}]
    assert first["kind"] == "x"
    assert second["time"] is None
    json.dumps([first, second])


def test_a_symbolic_link_stays_a_link_when_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "real" / "rows.jsonl")
    write_jsonl(link, ROWS)
    assert link.is_symlink()
    assert rows_of(tmp_path / "real" / "rows.jsonl") == ROWS


def test_json_documents_are_written_indented_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "a.json"
    write_json(path, {"b": 1, "a": [Path("x"), (1, 2), {3, 1}]})
    assert path.read_text().startswith('{\n  "b": 1,')
    assert read_json(path) == {"b": 1, "a": ["x", [1, 2], [1, 3]]}
    path.write_text('{"b": 1')
    with pytest.raises(DataError, match=r"a\.json: not valid JSON"):
        read_json(path)
    with pytest.raises(MissingError, match=r"did you mean .*a\.json"):
        read_json(path.with_name("b.json"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@settings(IN_FOLDER, max_examples=examples(40))
@given(
    lines=st.lists(st.sampled_from([b'{"a": 1}', b"", b'{"b": "xyz"}', b"bad"]), min_size=1, max_size=12),
    every=st.integers(1, 5),
    bom=st.booleans(),
)
def test_slices_cover_a_table_exactly(tmp_path: Path, pack: Any, lines: list[bytes], every: int, bom: bool) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(pack((b"\xef\xbb\xbf" if bom else b"") + b"\n".join(lines)))
    try:
        whole = list(read_rows(path, rejects=Rejects()))
    except DataError:
        return  # nothing but blank lines
    cut = find_slices(path, every)
    parts = [list(read_slice(path, a, b, offset=o, rejects=Rejects())) for a, b, o in cut]
    assert [row for part in parts for row in part] == whole
    assert all(a < row.line <= b for (a, b, _), part in zip(cut, parts, strict=True) for row in part)


@pytest.mark.parametrize("kind", ["json", "parquet", "parquet.gz"])
def test_arrays_and_parquet_are_sliced_by_rows(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from agora.core import parquet

    monkeypatch.setattr(parquet, "BATCH_ROWS", 3)  # several row groups
    path = tmp_path / f"a.{kind}"
    answers = [Answer(str(n), "m", "o") for n in range(10)]
    if kind == "json":
        path.write_text(json.dumps([to_row(a) for a in answers]))
    else:
        write_parquet(path, answers, Answer)
    if kind.endswith("gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    cut = find_slices(path, 4)
    assert cut == [(0, 4, None), (4, 8, None), (8, 10, None)]
    rows = [row for a, b, o in cut for row in read_slice(path, a, b, offset=o)]
    assert [row.line for row in rows] == list(range(1, 11))
    assert [row.data["task_id"] for row in rows] == [str(n) for n in range(10)]


def test_conversations_keep_their_tree_through_parquet(tmp_path: Path) -> None:
    talk = Conversation.linear([("user", "a"), ("assistant", "b")], Provenance("s", language=None, line=3))
    write_parquet(tmp_path / "c.parquet", [talk, to_row(talk)], Conversation)
    assert list(read_records(tmp_path / "c.parquet", Conversation)) == [talk, talk]


def test_gzip_padding_between_members_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "padded.gz"
    path.write_bytes(gzip.compress(LINES) + b"\0" * 40_000 + gzip.compress(LINES) + b"\0" * 10)
    assert rows_of(path) == ROWS + ROWS
