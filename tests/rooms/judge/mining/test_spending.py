"""Raters and checklist writers are estimated, priced and limited as judges are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora.core.errors import AgoraError
from agora.core.run_list import read_run
from agora.core.tables import write_jsonl
from agora.rooms.judge.commands import app
from tests.engines.servers import Handler, Server
from tests.rooms.judge.mining.logs import rows
from tests.rooms.judge.mining.raters import code_of, is_question, rating, serve
from tests.rooms.judge.support import make_task

NUM_TASKS = 6


class Models(Server):
    """Rates, and writes checklists; ``prompts`` are the questions it was asked. Probes cost too."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        prompt = body["messages"][-1]["content"]
        if is_question(prompt):
            self.prompts.append(prompt)
        serve(answer)(handler, body)

    def uri(self, name: str) -> str:
        return f"{self.base_url}#{name}"


def answer(prompt: str) -> str:
    if '"questions"' in prompt:
        return json.dumps({"questions": ["Is the sum right?"], "verdict_id": code_of(prompt)})
    return rating(prompt)


@pytest.fixture
def models() -> Iterator[Models]:
    with Models() as server:
        yield server


@pytest.fixture(params=["mine", "checklist"])
def command(request: pytest.FixtureRequest, tmp_path: Path, models: Models) -> list[str]:
    """A command that asks two models about six tasks."""
    option = {"mine": "--rater", "checklist": "--model"}[request.param]
    both = [option, models.uri("one"), option, models.uri("two"), "--concurrency", "1"]
    if request.param == "mine":
        write_jsonl(tmp_path / "log.jsonl", rows(NUM_TASKS))
        return ["mine", "--conversations", str(tmp_path / "log.jsonl"), *both]
    write_jsonl(tmp_path / "tasks.jsonl", [make_task(f"t{i}", f"Add {i} and 3.", checklist=()) for i in range(6)])
    return ["checklist", "--tasks", str(tmp_path / "tasks.jsonl"), *both]


def said(command: list[str], *more: str, code: int = 0) -> str:
    """Standard output, or the one line of an error."""
    result = CliRunner().invoke(app, [*command, *more])
    if isinstance(result.exception, AgoraError):
        assert result.exception.exit_code == code, result.exception
        return str(result.exception)
    assert result.exit_code == code, (result.stdout, result.exception)
    return result.stdout


def test_a_dry_run_prices_each_model_asks_none_and_the_same_command_goes_on(
    command: list[str], models: Models, tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "run"), "--json"]
    prices = ["--price", "10", "30", "--model-price", f"{models.uri('two')}=20,60"]
    one, two = json.loads(said(command, *out, *prices, "--dry-run"))["estimates"]
    assert (one["model"], one["calls"], one["most_tokens"]) == (models.uri("one"), NUM_TASKS, NUM_TASKS * 1024)
    assert one["usual_usd"] == pytest.approx(one["prompt_tokens"] * 10e-6 + one["usual_tokens"] * 30e-6)
    assert two["usual_usd"] == pytest.approx(2 * one["usual_usd"]) and two["usual_usd"] > 0
    assert models.prompts == []
    if command[0] == "mine":
        assert read_run(tmp_path / "run")["status"] == "interrupted"
    said(command, *out)
    assert len(models.prompts) == 2 * NUM_TASKS
    sent = sum(len(prompt.encode()) for prompt in models.prompts) / 4
    assert one["prompt_tokens"] + two["prompt_tokens"] == pytest.approx(sent, rel=0.01)
    again = json.loads(said(command, *out, "--dry-run"))["estimates"]
    assert [each["calls"] for each in again] == [0, 0]
    if command[0] == "mine":
        assert read_run(tmp_path / "run")["status"] == "done"


def test_replies_in_a_shared_cache_are_not_paid_for_again(command: list[str], models: Models, tmp_path: Path) -> None:
    cache = ["--cache", str(tmp_path / "replies.sqlite"), "--price", "10", "30", "--json"]
    said(command, "--out", str(tmp_path / "first"), *cache)
    told = json.loads(said(command, "--out", str(tmp_path / "second"), *cache, "--dry-run"))["estimates"]
    assert [(each["calls"], each["cached"], each["usual_usd"]) for each in told] == [(0, NUM_TASKS, 0.0)] * 2
    found = json.loads(said(command, "--out", str(tmp_path / "second"), *cache))
    assert len(models.prompts) == 2 * NUM_TASKS
    assert [each["cost_usd"] for each in found["raters" if command[0] == "mine" else "writers"]] == [0.0, 0.0]


def test_a_budget_stops_before_the_next_call_counts_earlier_runs_and_keeps_what_was_paid(
    command: list[str], models: Models, tmp_path: Path
) -> None:
    # a call counts 10 tokens in and 5 out; the first of each model finds out that it can chat
    out = ["--out", str(tmp_path / "run"), "--price", "100000", "0"]
    assert "the budget is used up" in said(command, *out, "--max-cost", "5", code=1)
    paid = len(models.prompts)
    assert 0 < paid < 5
    assert "the budget is used up" in said(command, *out, "--max-cost", "5", code=1)
    found = json.loads(said(command, *out, "--max-cost", "100", "--json"))
    assert len(models.prompts) <= 2 * NUM_TASKS + 2
    told = found["raters" if command[0] == "mine" else "writers"]
    assert [each["status"] for each in told] == [{"ok": NUM_TASKS}] * 2


def test_a_budget_without_a_price_or_a_price_of_nobody_is_refused_before_a_folder_is_made(
    command: list[str], models: Models, tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "run")]
    assert "needs a price" in said(command, *out, "--max-cost", "1", code=2)
    assert "is no model's name" in said(command, *out, "--model-price", "else=1,1", code=2)
    assert models.prompts == [] and not (tmp_path / "run").exists()


def test_a_dry_run_asks_no_embedder_behind_a_server(models: Models, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "log.jsonl", rows(3))
    given = ["mine", "--conversations", str(tmp_path / "log.jsonl"), "--out", str(tmp_path / "run")]
    line = said(given, "--rater", models.uri("one"), "--embedder", models.uri("e"), "--dry-run", code=2)
    assert "asks no server" in line and not (tmp_path / "run").exists()
    assert "no model is asked" in said(given, "--dry-run")
