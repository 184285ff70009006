"""Chat logs of every format become conversations; what cannot be kept is refused with its place and reason."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import DataError, MissingError, UsageError
from agora.core.records import Conversation
from agora.core.tables import Rejects, read_records, read_rows
from agora.curate.importers import FORMATS, detect_format, import_conversations, import_file


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def read_all(path: Path, **options: Any) -> tuple[list[Conversation], Rejects]:
    rejects = Rejects()
    return list(import_conversations(path, rejects=rejects, **options)), rejects


def one(path: Path, row: dict[str, Any], **options: Any) -> Conversation:
    [conversation], _ = read_all(write_lines(path, [row]), **options)
    return conversation


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": r, "content": c} for r, c in turns], **more}


def gpt(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": r, "value": c} for r, c in turns], **more}


def reasons_for(path: Path, bad: dict[str, Any], format: str) -> list[str]:
    good = chat(("user", "hi"), ("assistant", "hello")) if format == "openai" else gpt(("human", "hi"), ("gpt", "yo"))
    _, rejects = read_all(write_lines(path, [good, bad]), format=format)
    return list(rejects.by_reason)


# real files


def test_openassistant_sample_gives_the_published_counts(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data/wildchat/formats/oasst_en_100_trees.jsonl.gz"
    report = import_file(source, tmp_path / "trees.parquet")
    trees = list(read_records(report.out, Conversation))
    leaves = [path for tree in trees for path in tree.paths()]

    assert (report.format, report.n_imported, report.n_rejected) == ("oasst", 100, 0)
    assert (report.n_messages, report.n_leaves) == (1167, 626)
    assert Counter(m.role for t in trees for m in t.messages) == {"user": 480, "assistant": 687}
    assert sum(path[-1].role == "assistant" for path in leaves) == 400
    assert Counter(map(len, leaves)) == {2: 94, 3: 180, 4: 298, 5: 46, 6: 8}
    assert sum("rank" in m.meta for t in trees for m in t.messages) == 641


def test_openassistant_messages_keep_every_field(shared_dir: Path) -> None:
    source = shared_dir / "data/wildchat/formats/oasst_en_100_trees.jsonl.gz"
    trees, _ = read_all(source)
    for row, tree in zip(read_rows(source), trees, strict=True):
        told = {m.id: m for m in tree.messages}
        todo = [row.data["prompt"]]
        while todo:
            node = todo.pop()
            todo.extend(node.get("replies", []))
            message = told[node["message_id"]]
            assert message.content == node["text"]
            assert message.parent == node.get("parent_id")
            rest = {k: v for k, v in node.items() if k not in ("message_id", "parent_id", "text", "role", "replies")}
            assert message.meta == rest


def test_sharegpt_sample_gives_the_published_counts(shared_dir: Path, tmp_path: Path) -> None:
    report = import_file(
        shared_dir / "data/wildchat/formats/sharegpt_dummy_conversation.json.gz", tmp_path / "share.parquet"
    )
    chats = list(read_records(report.out, Conversation))
    assert (report.format, report.n_imported, report.n_messages) == ("sharegpt", 500, 2000)
    assert Counter(len(c.messages) for c in chats) == {2: 167, 4: 166, 6: 167}
    assert Counter(m.role for c in chats for m in c.messages) == {"user": 1000, "assistant": 1000}
    assert len({c.id for c in chats}) == 500


# OpenAI messages


def test_openai_roles_and_extra_fields_are_kept(tmp_path: Path) -> None:
    row = chat(("developer", "be kind"), ("user", "hi"), ("assistant", "hello"), id="c1", model="m", created=1700000000)
    talk = one(tmp_path / "a.jsonl", row)
    assert [m.role for m in talk.messages] == ["system", "user", "assistant"]
    assert talk.messages[0].meta == {"original_role": "developer"}
    assert (talk.provenance.source, talk.provenance.source_id) == ("openai", "c1")
    assert talk.provenance.created == "2023-11-14T22:13:20+00:00"
    assert talk.provenance.line == 1
    assert talk.meta["model"] == "m"
    assert (talk.meta["role_order"], talk.meta["incomplete"]) == (True, False)


def test_openai_parts_are_joined_and_other_parts_counted(tmp_path: Path) -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "!"},
    ]
    talk = one(tmp_path / "a.jsonl", chat(("user", parts), ("assistant", "a cat")))
    assert talk.messages[0].content == "look\n[image_url]\n!"
    assert talk.messages[0].meta == {"other_parts": {"image_url": 1}}


def test_openai_tool_calls_without_text_are_kept(tmp_path: Path) -> None:
    calls = [{"id": "t1", "function": {"name": "f", "arguments": "{}"}}]
    row = chat(("user", "weather?"))
    row["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "t1", "content": "sun"},
        {"role": "assistant", "content": "It is sunny."},
    ]
    talk = one(tmp_path / "a.jsonl", row)
    assert [m.role for m in talk.messages] == ["user", "assistant", "tool", "assistant"]
    assert talk.messages[1].content == ""
    assert talk.messages[1].meta == {"tool_calls": calls}
    assert talk.messages[2].meta == {"tool_call_id": "t1"}
    assert talk.meta["role_order"] is True


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (chat(("user", None)), "null content"),
        (chat(("user", 7)), "content is not text"),
        (chat(("assistant", "hello"), ("user", "hi")), "wrong role order"),
        (chat(("user", "hi"), ("tool", "x")), "wrong role order"),
        (chat(("system", "s"), ("assistant", "a")), "no user turn"),
        (chat(("asistant", "hello"), ("user", "hi")), "unknown role"),
        ({"messages": []}, "no messages"),
        ({"messages": "hi"}, "no list of messages"),
        ({"text": "hi"}, "no list of messages"),
        ({"messages": ["hi"]}, "message is not an object"),
    ],
)
def test_bad_openai_row_is_refused_with_its_reason(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    assert reasons_for(tmp_path / "a.jsonl", bad, "openai") == [reason]


def test_unknown_role_names_the_nearest_known_one(tmp_path: Path) -> None:
    refused = tmp_path / "refused.jsonl"
    rows = [chat(("user", "hi"), ("assistant", "a")), chat(("user", "hi"), ("asistant", "hello"))]
    with Rejects(refused) as rejects:
        list(import_conversations(write_lines(tmp_path / "a.jsonl", rows), rejects=rejects))
    [row] = read_rows(refused)
    assert row.data["where"] == f"{tmp_path / 'a.jsonl'}:2"
    assert row.data["reason"] == "unknown role"
    assert row.data["detail"] == "'asistant', nearest known 'assistant'"
    assert row.data["raw"] == rows[1]


def test_repeated_roles_are_kept_and_flagged(tmp_path: Path) -> None:
    talk = one(tmp_path / "a.jsonl", chat(("user", "hi"), ("user", "are you there?"), ("assistant", "yes")))
    assert [m.role for m in talk.messages] == ["user", "user", "assistant"]
    assert talk.meta["role_order"] is False


# ShareGPT


def test_sharegpt_leading_answers_are_dropped_with_a_note(tmp_path: Path) -> None:
    row = gpt(("system", "s"), ("gpt", "a"), ("chatgpt", "b"), ("human", "q"), ("bing", "c"), id="x")
    talk = one(tmp_path / "a.jsonl", row)
    assert [(m.role, m.content) for m in talk.messages] == [("system", "s"), ("user", "q"), ("assistant", "c")]
    assert talk.meta["notes"] == ["dropped 2 leading answers"]


def test_sharegpt_trailing_question_is_kept_and_marked_incomplete(tmp_path: Path) -> None:
    talk = one(tmp_path / "a.jsonl", gpt(("human", "q"), ("gpt", "a"), ("human", "and?")))
    assert talk.messages[-1].content == "and?"
    assert talk.meta["incomplete"] is True


@pytest.mark.parametrize("role", ["human", "user", "User", "prompter"])
@pytest.mark.parametrize("answerer", ["gpt", "chatgpt", "assistant", "bing", "bard", "claude", "model", "GPT"])
def test_sharegpt_role_spellings_are_understood(tmp_path: Path, role: str, answerer: str) -> None:
    talk = one(tmp_path / "a.jsonl", gpt((role, "q"), (answerer, "a")))
    assert [m.role for m in talk.messages] == ["user", "assistant"]


def test_sharegpt_system_column_becomes_the_first_turn(tmp_path: Path) -> None:
    talk = one(tmp_path / "a.jsonl", gpt(("human", "q"), ("gpt", "a"), system="be brief"))
    assert talk.messages[0].as_chat() == {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (gpt(("gpt", "a")), "no user turn"),
        (gpt(("human", "q"), ("gpt", None)), "null content"),
        (gpt(("humman", "q")), "unknown role"),
        (gpt((3, "q")), "unknown role"),  # type: ignore[arg-type]
        (gpt(), "no messages"),
    ],
)
def test_bad_sharegpt_row_is_refused_with_its_reason(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    assert reasons_for(tmp_path / "a.jsonl", bad, "sharegpt") == [reason]


# trees


def tree(**more: Any) -> dict[str, Any]:
    replies = [
        {"message_id": "b", "parent_id": "a", "text": "one", "role": "assistant", "rank": 0, "replies": []},
        {"message_id": "c", "parent_id": "a", "text": None, "role": "assistant", "deleted": True, "replies": []},
    ]
    prompt = {"message_id": "a", "text": "q", "role": "prompter", "lang": "en", "replies": replies}
    return {"message_tree_id": "a", "tree_state": "growing", "prompt": prompt, **more}


def test_tree_keeps_deleted_messages_and_says_how_many(tmp_path: Path) -> None:
    talk = one(tmp_path / "a.jsonl", tree())
    assert [(m.id, m.parent) for m in talk.messages] == [("a", None), ("b", "a"), ("c", "a")]
    assert talk.messages[2].meta["deleted"] is True
    assert talk.meta == {"message_tree_id": "a", "tree_state": "growing", "role_order": True, "n_deleted": 1}
    assert talk.provenance.licence == "Apache-2.0"
    assert talk.provenance.language == "en"


def test_tree_with_a_repeated_message_id_is_refused(tmp_path: Path) -> None:
    bad = tree()
    bad["prompt"]["replies"][0]["message_id"] = "a"
    _, rejects = read_all(write_lines(tmp_path / "a.jsonl", [tree(), bad]))
    assert list(rejects.by_reason) == ["duplicate message id"]


def test_tree_with_an_answer_to_an_answer_is_flagged(tmp_path: Path) -> None:
    odd = tree()
    odd["prompt"]["replies"][0]["replies"] = [{"message_id": "d", "text": "two", "role": "assistant"}]
    assert one(tmp_path / "a.jsonl", odd).meta["role_order"] is False


# the file as a whole


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
