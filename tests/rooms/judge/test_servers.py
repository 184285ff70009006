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


@pytest.mark.parametrize(
    ("option", "refused", "took", "told"),
    [
        ("auto", (), "json_schema", None),
        ("auto", ("json_schema",), "json_object", "with a JSON object without a schema"),
        ("auto", ("json_schema", "json_object"), None, "with no form"),
        ("json-object", (), "json_object", None),
        ("json-object", ("json_object",), None, "with no form"),
        ("none", (), None, None),
    ],
)
def test_a_server_is_asked_for_the_form_that_it_takes_and_a_refusal_is_told(
    option: str, refused: tuple[str, ...], took: str | None, told: str | None, tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    with JudgeServer() as server:
        server.refused = set(refused)
        options = ("--judge", f"j={server.uri}", "--response-format", option, "--concurrency", "1")
        (judge,) = bench.json("score", *options, "--checklist")["judges"]
    assert judge["fates"] == {"ok": 18} and len(server.prompts) == 36
    taken = [(form or {}).get("type") for form in server.forms if (form or {}).get("type") not in refused]
    assert taken == [took] * 36
    assert len(server.forms) == 36 + len(refused)  # a refusal is remembered
    if took == "json_schema":
        grade, check = (server.forms[i]["json_schema"]["schema"]["properties"] for i in (0, -1))  # type: ignore[index]
        assert list(grade) == ["strengths", "weaknesses", "score", "verdict_id"] and next(iter(check)) == "items"
    notes = [note for note in judge["notes"] if "response format" in note]
    assert len(notes) == (told is not None) and all("36 replies" in note and str(told) in note for note in notes)


def test_the_form_keeps_its_folder_and_its_replies_apart_and_the_parser_strict(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    cache = ("--cache", str(tmp_path / "replies.sqlite"), "--reasks", "0")
    with JudgeServer() as server:
        server.garble = 1
        options = ("--judge", f"j={server.uri}", *cache)
        first = bench.json("score", *options, "--force")["judges"][0]
        assert first["fates"] == {"ok": 17, "unparsed": 1}  # a server may take a form and not keep to it
        assert bench.json("score", *options, "--force")["judges"][0]["fates"] == first["fates"]
        bench.json("score", *options, "--force", out="again")
        assert len(server.prompts) == 18
        bench.json("score", *options, "--response-format", "none", out="free")
        assert len(server.prompts) == 36
        assert "started differently" in bench.run("score", *options, "--response-format", "none", code=2)
        assert bench.json("score", *options, out="free")["judges"][0]["fates"] == {"ok": 18}
        assert len(server.prompts) == 36 and server.forms[-1] is None
    assert "auto, json-object, none" in bench.run("score", "--judge", "j", "--response-format", "xml", code=2)


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
    (note,) = judge["notes"]  # and none about a refused form: this server takes one, and the model is no better for it
    assert "the figure is withheld" in note
