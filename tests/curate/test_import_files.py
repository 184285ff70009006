"""A file is read whatever its form; bad rows are kept aside, and only a mistaken file stops an import."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import DataError, MissingError, UsageError
from agora.core.records import Conversation
from agora.core.tables import Rejects, read_records, read_rows
from agora.curate.importers import FORMATS, detect_format, import_conversations, import_file
from tests.curate.chat_rows import chat, gpt, read_all, tree, write_lines


@pytest.mark.parametrize(
    ("row", "format"),
    [
        (chat(("user", "hi")), "openai"),
        (gpt(("human", "hi")), "sharegpt"),
        (tree(), "oasst"),
        ({"conversation_hash": "h", "conversation": [{"role": "user", "content": "a"}]}, "wildchat-1m"),
        (
            {"conversation_hash": "h", "conversation": [{"role": "user", "content": "a", "usage": None}]},
            "wildchat-4.8m",
        ),
        ({"conversation_id": "h", "toxic": False, "conversation": [{"role": "user", "content": "a"}]}, "wildchat-2023"),
        ({"conversation_id": "h", "turn": 1, "conversation": [{"role": "user", "content": "a"}]}, "lmsys-chat-1m"),
    ],
)
def test_format_is_detected_with_a_reason(tmp_path: Path, row: dict[str, Any], format: str) -> None:
    detection = detect_format(write_lines(tmp_path / "a.jsonl", [{"odd": 1}, row, row]))
    assert detection.format == format
    assert detection.reason.startswith("2 of the first 3 rows: ")
    assert read_all(tmp_path / "a.jsonl")[0][0].provenance.source == format


def test_every_format_states_a_licence_and_a_note() -> None:
    assert all(f.licence and f.note and f.title for f in FORMATS.values())
    assert FORMATS["wildchat-1m"].licence == "ODC-BY-1.0"
    assert "gated" in FORMATS["lmsys-chat-1m"].licence
    assert FORMATS["sharegpt"].licence == "unknown"


def test_unknown_format_names_the_keys_and_the_known_formats(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'prompt_text', 'n'.*openai"):
        detect_format(write_lines(tmp_path / "a.jsonl", [{"prompt_text": "x", "n": 1}]))


def test_unknown_format_name_gives_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nearest 'sharegpt'"):
        import_conversations(
            write_lines(tmp_path / "a.jsonl", [gpt(("human", "q"))]), format="shargpt", rejects=Rejects()
        )


def test_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    write_lines(tmp_path / "chats.jsonl", [gpt(("human", "q"))])
    with pytest.raises(MissingError, match=r"chats\.jsonl"):
        import_file(tmp_path / "chatz.jsonl", tmp_path / "o.parquet")


def test_mixed_file_imports_the_good_rows_and_keeps_the_bad(tmp_path: Path) -> None:
    rows = [chat(("user", "a"), ("assistant", "b")), chat(("assistant", "b")), chat(("user", None)), chat(("usr", "a"))]
    source = write_lines(tmp_path / "a.jsonl", rows)
    source.write_text(source.read_text() + '{"messages": [\n' + "[1]\n")
    report = import_file(source, tmp_path / "o.parquet")
    assert (report.n_read, report.n_imported, report.n_rejected) == (6, 1, 5)
    assert report.reasons == {
        "no user turn": 1,
        "null content": 1,
        "unknown role": 1,
        "not valid JSON": 1,
        "not an object": 1,
    }
    assert report.rejects_path == tmp_path / "o.rejects.jsonl"
    where = [r.data["where"] for r in read_rows(report.rejects_path)]
    assert where == [f"{source}:{n}" for n in (2, 3, 4, 5, 6)]


@pytest.mark.parametrize("n_good", [499, 700])
def test_mostly_bad_file_stops_and_names_the_format(tmp_path: Path, n_good: int) -> None:
    rows = [gpt(("human", "q"))] * 501 + [chat(("user", "a"), ("assistant", "b"))] * n_good
    with pytest.raises(DataError, match=r"501 of the first 1000 rows cannot be read as OpenAI messages") as caught:
        import_file(write_lines(tmp_path / "a.jsonl", rows), tmp_path / "o.parquet", "openai")
    assert "\n" not in str(caught.value)
    assert "they look like --format sharegpt" in str(caught.value)
    assert not (tmp_path / "o.parquet").exists()
    assert (tmp_path / "o.rejects.jsonl").exists()


def test_output_may_not_replace_the_input(tmp_path: Path) -> None:
    report = import_file(write_lines(tmp_path / "a.jsonl", [chat(("user", "a"))]), tmp_path / "o.parquet")
    with pytest.raises(UsageError, match="would replace the input"):
        import_file(report.out, report.out)


def test_half_bad_file_goes_on(tmp_path: Path) -> None:
    rows = [chat(("user", "a"), ("assistant", "b"))] * 500 + [gpt(("human", "q"))] * 1500
    report = import_file(write_lines(tmp_path / "a.jsonl", rows), tmp_path / "o.parquet", "openai")
    assert (report.n_imported, report.n_rejected) == (500, 1500)


def test_file_without_one_good_row_stops(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 of the first 2 rows cannot be read as ShareGPT"):
        import_file(write_lines(tmp_path / "a.jsonl", [gpt(("gpt", "a"))] * 2), tmp_path / "o.parquet")


def test_repeated_rows_get_their_own_ids(tmp_path: Path) -> None:
    rows = [chat(("user", "a"), id="same"), chat(("user", "a"), id="same"), chat(("user", "a"))]
    chats, _ = read_all(write_lines(tmp_path / "a.jsonl", rows))
    assert len({c.id for c in chats}) == 3
    assert chats[1].meta["repeats"] == chats[0].id


def test_second_import_gives_the_same_bytes(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", [chat(("user", str(i)), ("assistant", "b")) for i in range(20)])
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    import_file(source, first)
    import_file(source, second)
    assert first.read_bytes() == second.read_bytes()


def test_imported_file_can_be_imported_again(tmp_path: Path) -> None:
    report = import_file(write_lines(tmp_path / "a.jsonl", [tree(), tree(message_tree_id="z")]), tmp_path / "o.parquet")
    again, _ = read_all(report.out)
    assert detect_format(report.out).format == "agora"
    assert again == list(read_records(report.out, Conversation))


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_json_array_is_read_with_items_as_lines(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    text = json.dumps([gpt(("human", "q")), gpt(("gpt", "a"))], indent=2).encode()
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    chats, rejects = read_all(path)
    assert (len(chats), rejects.count) == (1, 1)
    assert chats[0].provenance.line == 1


def test_limit_bounds_the_rows(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", [chat(("user", str(i))) for i in range(20)])
    assert import_file(source, tmp_path / "o.parquet", limit=5).n_imported == 5


def test_lone_surrogates_do_not_stop_an_import(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "a\\ud800b", "n": "\\udfff"}], "k": 1e999}\n')
    report = import_file(path, tmp_path / "o.parquet")
    [talk] = read_records(report.out, Conversation)
    assert talk.messages[0].content == "a\ufffdb"


@pytest.mark.parametrize(("depth", "refused"), [(100, 0), (230, 0), (400, 1), (900, 1)])
def test_deeply_nested_rows_never_stop_an_import(tmp_path: Path, depth: int, refused: int) -> None:
    deep = '{"messages": [{"role": "user", "content": "a"}], "k": ' + "[" * depth + "]" * depth + "}\n"
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(chat(("user", "hi"))) + "\n" + deep)
    report = import_file(path, tmp_path / "o.parquet")
    assert (report.n_imported, report.n_rejected) == (2 - refused, refused)


def test_numbers_that_json_does_not_have_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "a", "score": NaN}], "id": 3, "big": 123456789012345678901}'
    )
    report = import_file(path, tmp_path / "o.parquet")
    [talk] = read_records(report.out, Conversation)
    assert talk.messages[0].meta == {"score": None}
    assert talk.provenance.source_id == "3"
