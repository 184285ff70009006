from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agora.core.tables import write_jsonl
from agora.rooms.judge.asking.reparse import reparse
from agora.rooms.judge.asking.verdicts import read_verdicts
from agora.rooms.judge.commands import app
from tests.rooms.judge.asking import Bench
from tests.rooms.judge.judge_server import JudgeServer
from tests.rooms.judge.support import make_score


@pytest.fixture
def judged(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    with JudgeServer() as server:
        server.garble = 2
        options = ("--judge", f"j={server.uri}", "--reasks", "0", "--concurrency", "1", "--force")
        bench.run("score", *options, "--checklist")
        bench.run("pairwise", *options, "--baselines", "mid", out="pairs")
    return bench


def run(*words: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["reparse", *words, "--json"])
    assert result.exit_code == 0, result.exception
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_the_same_parser_reads_every_kind_of_reply_as_before(judged: Bench) -> None:
    found = run(str(judged.folder / "out"), str(judged.folder / "pairs"))
    assert (found["n"], found["same"], found["no_code"]) == (36 + 12, 48, 0)


def test_a_reply_that_could_not_be_read_gains_its_value_and_the_source_stays(judged: Bench) -> None:
    source = judged.folder / "out" / "verdicts" / "j.score.jsonl"
    rows = list(read_verdicts(source))
    good = next(v for v in rows if v.status == "ok")
    worse = replace(good, status="unparsed", value=None, parsed={"reason": "no_value"})
    write_jsonl(judged.folder / "old.jsonl", [worse])
    found = run(str(judged.folder / "old.jsonl"), "--out", str(judged.folder / "new"))
    assert (found["gained"], found["same"]) == (1, 0)
    (again,) = read_verdicts(judged.folder / "new" / "verdicts" / "old.jsonl")
    assert (again.status, again.value, again.id) == ("ok", good.value, good.id)
    assert again.meta["before_reparse"] == {"status": "unparsed", "value": None}
    assert next(iter(read_verdicts(judged.folder / "old.jsonl"))).status == "unparsed"


def test_the_first_reply_that_says_something_counts() -> None:
    reply = '{"score": "4", "verdict_id": "abc"}'
    meta = {"token": "abc", "earlier_replies": ["nothing", reply]}
    stored = make_score("t", None, raw_text="nothing again", prompt_name="agora/score", meta=meta)
    again = reparse(stored)
    assert again is not None and again.value == 4.0


def test_a_quoted_verdict_gains_nothing_and_a_lost_code_is_counted() -> None:
    quoted = make_score("t", None, raw_text='{"score": "10"}', prompt_name="agora/score", meta={"token": "abc"})
    assert reparse(quoted) == quoted
    assert reparse(replace(quoted, meta={})) is None
    foreign = replace(quoted, prompt_name="wildbench/v2", meta={})
    again = reparse(foreign)
    assert again is not None and again.value == 10.0


def test_a_value_that_no_reply_supports_is_lost() -> None:
    stored = make_score("t", 9.0, raw_text="I like it.", prompt_name="agora/score", meta={"token": "abc"})
    again = reparse(stored)
    assert again is not None and (again.status, again.value) == ("unparsed", None)
