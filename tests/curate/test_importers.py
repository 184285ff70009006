"""Chat logs of every format become conversations; what cannot be kept is refused with its place and reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agora.core.records import Conversation
from agora.core.tables import Rejects, read_records, read_rows
from agora.curate.importers import import_conversations, import_file
from tests.curate.chat_rows import chat, gpt, one, read_all, tree, write_lines


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
    for row, talk in zip(read_rows(source), trees, strict=True):
        told = {m.id: m for m in talk.messages}
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
