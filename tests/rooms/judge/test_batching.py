"""Judging through OpenAI's batch files, with a stand-in for the batch server that answers the written lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agora.rooms.judge.asking import batching
from tests.engines.servers import chat_answer
from tests.rooms.judge.asking import Bench
from tests.rooms.judge.judge_server import JudgeServer, verdict_by_length

JUDGE = ("--judge", "j=openai:gpt-judge")
Reply = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Bench(tmp_path)


def good(line: dict[str, Any]) -> dict[str, Any]:
    return chat_answer(json.dumps(verdict_by_length(line["body"]["messages"][0]["content"])))


def serve(source: Path, target: Path, reply: Reply = good) -> list[dict[str, Any]]:
    """What a batch server makes of a file, in another order."""
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    out = [
        {
            "id": f"b{i}",
            "custom_id": line["custom_id"],
            "response": {"status_code": 200, "body": reply(line)},
            "error": None,
        }
        for i, line in enumerate(lines)
    ]
    target.write_text("".join(json.dumps(row) + "\n" for row in reversed(out)))
    return lines


def test_calls_written_and_replies_read_give_the_verdicts_of_a_live_judge(bench: Bench) -> None:
    calls, replies = bench.folder / "calls.jsonl", bench.folder / "replies.jsonl"
    written = bench.json("score", *JUDGE, "--checklist", "--batch-out", str(calls))
    assert written["calls"] == [36]
    lines = serve(calls, replies)
    assert {line["custom_id"] for line in lines} >= {"t0||long", "t0||long||checklist"}
    assert {(line["method"], line["url"], line["body"]["model"]) for line in lines} == {
        ("POST", "/v1/chat/completions", "gpt-judge")
    }
    options = (*JUDGE, "--checklist", "--price", "10", "30")
    found = bench.json("score", *options, "--batch-in", str(replies))
    with JudgeServer() as server:
        live = bench.json("score", "--judge", f"j={server.uri}", "--checklist", "--price", "10", "30", out="live")
    assert found["judges"][0]["models"] == live["judges"][0]["models"]
    assert found["judges"][0]["usage"]["cost_usd"] == pytest.approx(live["judges"][0]["usage"]["cost_usd"] / 2)
    # all is settled: no call is left, live or in a batch
    assert bench.json("score", *options, "--dry-run")["estimates"][0]["calls"] == 0


def test_comparisons_bear_the_published_ids(bench: Bench) -> None:
    calls, replies = bench.folder / "calls.jsonl", bench.folder / "replies.jsonl"
    options = (*JUDGE, "--baselines", "mid", "--order", "both")
    assert bench.json("pairwise", *options, "--batch-out", str(calls))["calls"] == [24]
    ids = {line["custom_id"] for line in serve(calls, replies)}
    assert {"t1||A:long||B:mid", "t1||A:mid||B:long"} <= ids
    found = bench.json("pairwise", *options, "--batch-in", str(replies))
    assert {m["model"]: m["value"] for m in found["judges"][0]["models"]} == {"long": 50.0, "short": -50.0}


def test_unreadable_replies_are_open_to_a_second_batch_with_a_reminder_and_then_settled(bench: Bench) -> None:
    calls, replies = bench.folder / "calls.jsonl", bench.folder / "replies.jsonl"
    bench.run("score", *JUDGE, "--reasks", "1", "--batch-out", str(calls))

    def one_bad(line: dict[str, Any]) -> dict[str, Any]:
        return chat_answer("I like it.") if line["custom_id"] == "t2||mid" else good(line)

    serve(calls, replies, one_bad)
    options = (*JUDGE, "--reasks", "1", "--force")
    first = bench.json("score", *options, "--batch-in", str(replies))
    assert first["judges"][0]["fates"] == {"ok": 17, "unparsed": 1}
    bench.run("score", *options, "--batch-out", str(calls))
    (line,) = serve(calls, replies, lambda _: chat_answer("Still nice."))
    assert line["custom_id"] == "t2||mid" and "# Reminder" in line["body"]["messages"][0]["content"]
    assert line["body"]["max_tokens"] == 2048
    second = bench.json("score", *options, "--batch-in", str(replies))
    assert second["judges"][0]["fates"] == {"ok": 17, "unparsed": 1}
    assert bench.json("score", *options, "--dry-run")["estimates"][0]["calls"] == 0


def test_missing_and_failed_lines_stay_open_and_strangers_are_counted(bench: Bench) -> None:
    calls, replies = bench.folder / "calls.jsonl", bench.folder / "replies.jsonl"
    bench.run("score", *JUDGE, "--batch-out", str(calls))
    serve(calls, replies)
    rows = [json.loads(line) for line in replies.read_text().splitlines()][4:]
    rows[0] |= {"response": None, "error": {"message": "batch_expired"}}
    rows.append({"custom_id": "t9||nobody", "response": {"status_code": 200, "body": chat_answer("x")}})
    replies.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = bench.json("score", *JUDGE, "--batch-in", str(replies), "--force")
    assert found["judges"][0]["fates"] == {"ok": 13, "missing": 4, "judge_error": 1}
    assert found["batch_lines_unused"] == 1
    assert bench.json("score", *JUDGE, "--batch-out", str(calls))["calls"] == [5]


def test_two_replies_to_one_call_and_files_of_another_kind_are_refused(bench: Bench) -> None:
    calls, replies = bench.folder / "calls.jsonl", bench.folder / "replies.jsonl"
    bench.run("score", *JUDGE, "--batch-out", str(calls))
    assert "give the file that the server made" in bench.run("score", *JUDGE, "--batch-in", str(calls), code=1)
    serve(calls, replies)
    twice = ("--batch-in", str(replies), "--batch-in", str(replies))
    assert "two replies to" in bench.run("score", *JUDGE, *twice, code=1)


def test_a_batch_is_for_one_model(bench: Bench) -> None:
    out = ("--batch-out", str(bench.folder / "calls.jsonl"))
    assert "one judge that is a model" in bench.run("score", "--judge", "microcosm:checker", *out, code=2)
    assert "one judge that is a model" in bench.run("score", *JUDGE, "--judge", "openai:b", *out, code=2)


def test_a_server_limit_begins_another_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MOST_REQUESTS", 10)
    calls = bench.folder / "calls.jsonl"
    written = bench.json("score", *JUDGE, "--batch-out", str(calls))
    assert written["calls"] == [10, 8]
    assert [Path(path).name for path in written["files"]] == ["calls.jsonl", "calls-2.jsonl"]
    replies = [bench.folder / "r1.jsonl", bench.folder / "r2.jsonl"]
    for source, target in zip(written["files"], replies, strict=True):
        serve(Path(source), target)
    found = bench.json("score", *JUDGE, *(word for path in replies for word in ("--batch-in", str(path))))
    assert found["judges"][0]["fates"] == {"ok": 18}
