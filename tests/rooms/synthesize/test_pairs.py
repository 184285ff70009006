"""Pairs from prompts: sampled in one request, scored once, everything kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora import cli
from agora.core.errors import ConfigError, EngineError
from agora.core.records import Message, PreferencePair
from agora.core.tables import read_records, write_jsonl
from agora.engines.openai import OpenAIEngine
from agora.engines.several import chat_several
from agora.engines.types import ChatRequest, Sampling
from agora.rooms.synthesize.pairs import PairSettings, PairsReport, pairs_into
from tests.engines.servers import Handler, Server
from tests.rooms.synthesize.scripted import ScriptedEngine, write_either

SETTINGS = PairSettings(k=4, sampling=Sampling(0.8, max_tokens=64, seed=5), test_share=0.2)


def by_length(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
    return [float(len(talk[-1].content)) for talk in talks]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = [{"messages": [{"role": "user", "content": f"Question {i}?"}]} for i in range(40)]
    rows.append(rows[0])  # a repeated prompt counts once
    write_jsonl(tmp_path / "prompts.jsonl", rows)
    return tmp_path / "prompts.jsonl"


def make(out: Path, source: Path, engine: ScriptedEngine, scorer: Any = by_length, **more: Any) -> PairsReport:
    return pairs_into(
        out, source, "scripted:1", lambda: scorer, scorer_name="by length", settings=SETTINGS, engine=engine, **more
    )


def test_the_longest_answer_wins_and_every_candidate_is_kept(source: Path, tmp_path: Path) -> None:
    found = make(tmp_path / "run", source, ScriptedEngine(write_either))
    assert found.n_prompts == 40
    assert found.n_pairs + found.n_test + sum(found.reasons.values()) == 40
    assert found.n_test > 0 and found.longer_chosen == 1.0
    for pair in read_records(found.pairs, PreferencePair):
        assert pair.chosen_score is not None and pair.rejected_score is not None
        assert pair.margin == pair.chosen_score - pair.rejected_score > 0
        assert len(pair.meta["candidates"]) == 4
        assert pair.prompt[-1].role == "user" and pair.annotator == "by length"
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "may learn length" in page


def test_the_order_in_which_answers_come_back_changes_nothing(source: Path, tmp_path: Path) -> None:
    for order in (1, 2):
        make(tmp_path / str(order), source, ScriptedEngine(write_either, order=order, in_flight=order * 3))
    for name in ("pairs.jsonl", "pairs_test.jsonl", "dropped.jsonl"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_scorer_that_fails_is_not_paid_for_again_where_it_was_right(source: Path, tmp_path: Path) -> None:
    calls = []

    def scorer(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
        calls.append(len(talks))
        return by_length(talks)[:-1]

    with pytest.raises(EngineError, match="scores for"):
        make(tmp_path / "run", source, ScriptedEngine(write_either), scorer)
    silent = ScriptedEngine(write_either)
    found = make(tmp_path / "run", source, silent)
    assert not silent.requests and found.n_pairs > 0
    with pytest.raises(ConfigError, match="started differently"):
        make(tmp_path / "run", source, silent, limit=3)


def test_a_score_that_is_no_number_leaves_its_answer_out_and_is_counted(source: Path, tmp_path: Path) -> None:
    def scorer(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
        return [float("nan") if i % 2 else value for i, value in enumerate(by_length(talks))]

    found = make(tmp_path / "run", source, ScriptedEngine(write_either), scorer)
    assert found.unscored > 40
    assert all(p.margin is not None and p.margin > 0 for p in read_records(found.pairs, PreferencePair))


class Several(Server):
    """Gives ``n`` choices where it knows n, else one; counts requests."""

    def __init__(self, knows_n: bool) -> None:
        self.knows_n = knows_n
        self.bodies: list[dict[str, Any]] = []

    def on_get(self, handler: Handler) -> None:
        handler.reply(200, {"data": [{"id": "m"}]})

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        self.bodies.append(body)
        n = body.get("n", 1) if self.knows_n else 1
        seed = body["seed"]
        choices = [
            {"index": i, "message": {"content": f"answer {seed} {i}"}, "finish_reason": "stop"} for i in range(n)
        ]
        handler.reply(200, {"choices": choices, "usage": {"prompt_tokens": 10, "completion_tokens": 5 * n}})


@pytest.mark.parametrize(("knows_n", "requests"), [(True, 3), (False, 3 + 3 * 4)])
def test_a_server_is_asked_once_for_k_answers_and_the_missing_ones_singly(knows_n: bool, requests: int) -> None:
    with Several(knows_n) as server:
        engine = OpenAIEngine(server.base_url, "m")
        asked = [ChatRequest(f"p{i}", ({"role": "user", "content": "Hi"},), Sampling(0.8, seed=i)) for i in range(3)]
        found = {g.id: g.text for g in chat_several(engine, asked, 5)}
        engine.close()
    assert set(found) == {f"p{i}#{k}" for i in range(3) for k in range(5)}
    assert len(set(found.values())) == 15
    assert len(server.bodies) == requests


def test_the_command_makes_pairs_that_the_checker_scored(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"What is {i} plus {i + 2}?"}]} for i in range(1, 7)]
    write_jsonl(tmp_path / "p.jsonl", rows)
    arguments = ["synthesize", "pairs", str(tmp_path / "p.jsonl"), "--model", "microcosm:chat", "--scorer"]
    more = ["--out", str(tmp_path / "run"), "--k", "3", "--temperature", "1.5", "--max-tokens", "24", "--json"]
    done = CliRunner().invoke(cli.app, [*arguments, "microcosm:checker", *more], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["n_prompts"] == 6
    assert found["n_pairs"] + found["n_test"] + sum(found["reasons"].values()) == 6
