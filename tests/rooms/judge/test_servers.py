"""Judging over HTTP: a server with every fault, and one that is not ours with a model that cannot judge."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora.core.tables import write_jsonl
from agora.engines.registry import microcosm_folder
from agora.rooms.judge.commands import app
from tests.engines.servers import Handler, bad_json, chat_answer, dropped, status, truncated, wrong_shape
from tests.engines.test_peer_server import serving
from tests.rooms.judge.asking import Bench
from tests.rooms.judge.judge_server import JudgeServer
from tests.rooms.judge.test_end_to_end import task_set


def filtered(handler: Handler, body: dict[str, Any]) -> None:
    handler.reply(200, chat_answer("", finish="content_filter"))


def test_passing_faults_are_waited_out_lasting_ones_are_named_and_the_rest_is_judged(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with JudgeServer() as server:
        server.script = [
            status(429, "slow down", Retry_After="0"),
            None,
            status(503, "busy", Retry_After="0"),
            None,
            dropped,
            None,
            truncated,
            None,
            bad_json,
            None,
            wrong_shape,
            status(400, "This model's maximum context length is 512 tokens"),
            filtered,
        ]
        options = ("--judge", f"j={server.uri}", "--concurrency", "1", "--force")
        first = bench.json("score", *options)["judges"][0]
        assert first["fates"] == {"judge_error": 1, "refused": 2, "ok": 15}
        errors = Counter(row["parsed"].get("error", "")[:60] for row in bench.verdicts() if row["status"] != "ok")
        assert len(errors) == 3 and "" not in errors
        assert all(row["value"] is None for row in bench.verdicts() if row["status"] != "ok")
        second = bench.json("score", *options)["judges"][0]
        assert second["fates"] == {"ok": 16, "refused": 2}
        third = bench.json("score", *options, "--retry", "refused")["judges"][0]
        assert third["fates"] == {"ok": 18}
        assert len(server.prompts) == 18 + 5 + 1 + 2


def test_a_reply_that_was_cut_is_asked_again_with_twice_the_room(tmp_path: Path) -> None:
    bench = Bench(tmp_path, num_tasks=1)
    seen: list[int] = []
    with JudgeServer() as server:
        server.cut = 1
        answer = server.on_post
        server.on_post = lambda handler, body: (seen.append(body["max_tokens"]), answer(handler, body))[1]  # type: ignore[method-assign]
        found = bench.json("score", "--judge", server.uri, "--concurrency", "1")
    assert found["judges"][0]["fates"] == {"ok": 3}
    assert seen == [1024, 1024, 1024, 2048]


def test_a_wrong_key_or_model_ends_the_work_with_one_line_and_resumes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with JudgeServer() as server:
        server.script = [status(401, "wrong key")]
        line = bench.run("score", "--judge", server.uri, "--concurrency", "1", code=1)
        assert "key refused" in line and "AGORA_API_KEY" in line
        server.script = [status(404, "no such model")]
        assert "check the model's name" in bench.run("score", "--judge", server.uri, "--concurrency", "1", code=1)
        assert bench.json("score", "--judge", server.uri)["judges"][0]["fates"] == {"ok": 18}


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve` with the microcosm's chat model."""
    with serving(microcosm_folder("chat"), tmp_path_factory.mktemp("peer")) as found:
        yield found.uri


@pytest.mark.slow
def test_a_real_model_behind_a_real_server_answers_and_judges_badly_and_is_told_so(peer: str, tmp_path: Path) -> None:
    tasks = task_set().tasks[:6]
    write_jsonl(tmp_path / "tasks.jsonl", tasks)
    given = ["--tasks", str(tmp_path / "tasks.jsonl")]
    made = ["answer", *given, "--model", peer, "--name", "chat", "--max-tokens", "64", "--out", str(tmp_path / "a")]
    answered = CliRunner().invoke(app, [*made, "--json"])
    assert answered.exit_code == 0, answered.exception
    (report,) = json.loads(answered.stdout)["models"]
    assert (report["written"], report["failed"]) == (6, [])
    by_checker = ["score", *given, "--answers", str(tmp_path / "a"), "--judge", "microcosm:checker"]
    truth = CliRunner().invoke(app, [*by_checker, "--out", str(tmp_path / "truth"), "--json"])
    assert json.loads(truth.stdout)["judges"][0]["models"][0]["value"] > 20  # the model can do its world's tasks
    judged = ["score", *given, "--answers", str(tmp_path / "a"), "--judge", f"peer={peer}", "--max-tokens", "24"]
    result = CliRunner().invoke(app, [*judged, "--out", str(tmp_path / "j"), "--json"])
    assert result.exit_code == 1, result.exception
    judge = json.loads(result.stdout)["judges"][0]
    (model,) = judge["models"]
    assert (model["value"], model["withheld"], model["n"]) == (None, True, 0)
    assert sum(judge["fates"].values()) == 6 and "ok" not in judge["fates"]
    assert any("the figure is withheld" in note for note in judge["notes"])
