"""The whole room on real parts: world exercises, tiny models that answer and judge, the checker as the judge."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from agora.core.records import Answer, Message, Task
from agora.engines.types import ChatRequest, Engine, Sampling
from agora.microcosm.world import World
from agora.rooms.judge import (
    LlmJudge,
    RuleJudge,
    TaskSet,
    judge_pairs,
    judge_scores,
    k_sweep,
    order_bias,
    paired_difference,
    reward_report,
    score_report,
)
from tests.tiny import make_model, make_tokenizer

WORLD = World(seed=0)
EXERCISES = list({e.id: e for e in WORLD.exercises(random.Random(5), 24, split="heldout")}.values())[:20]


def task_set() -> TaskSet:
    return TaskSet(
        tuple(
            Task(
                e.id,
                "microcosm",
                "1",
                (Message("user", e.instruction),),
                checklist=tuple(item.question for item in e.checklist),
                primary_tag=e.category,
            )
            for e in EXERCISES
        )
    )


def tiny_engine(seed: int, context: int = 4096) -> Engine:
    from agora.engines.hf import HfEngine

    tokenizer = make_tokenizer()
    return HfEngine.from_model(make_model(len(tokenizer), seed, context=context), tokenizer)


def answer_all(name: str, engine: Engine) -> list[Answer]:
    requests = [
        ChatRequest(e.id, ({"role": "user", "content": e.instruction},), Sampling(max_tokens=12)) for e in EXERCISES
    ]
    return [Answer(reply.id, name, reply.text, reply.finish_reason) for reply in engine.chat(requests)]


def good_and_flawed() -> list[Answer]:
    rng = random.Random(7)
    good = [Answer(e.id, "good", WORLD.answer(e, rng)) for e in EXERCISES]
    return good + [Answer(e.id, "flawed", WORLD.flawed_answer(e, rng)) for e in EXERCISES]


def test_tasks_to_report_with_the_checker_as_judge(tmp_path: Path) -> None:
    noise = [Answer(e.id, f"tiny-{i}", f"{i} " * (1 + n)) for i in range(2) for n, e in enumerate(EXERCISES)]
    report_all(good_and_flawed() + noise, tmp_path)


@pytest.mark.slow
def test_tasks_to_report_with_tiny_models_that_answer(tmp_path: Path) -> None:
    tiny = answer_all("tiny-0", tiny_engine(0)) + answer_all("tiny-1", tiny_engine(1))
    report_all(good_and_flawed() + tiny, tmp_path)


def report_all(answers: list[Answer], tmp_path: Path) -> None:
    tasks, judge = task_set(), RuleJudge(WORLD)
    scores = judge_scores(tasks, answers, judge, tmp_path / "scores.jsonl")
    reports = {m: score_report([v for v in scores if v.model == m], tasks=tasks) for m in ("good", "flawed", "tiny-0")}
    assert reports["good"].wb_score == 100.0
    good, flawed, tiny = (reports[m].wb_score for m in reports)
    assert good is not None and flawed is not None and tiny is not None and good > flawed > tiny
    assert reports["flawed"].interval.low < flawed < reports["flawed"].interval.high
    by_model = {m: [v for v in scores if v.model == m] for m in ("good", "tiny-1")}
    assert paired_difference(by_model["good"], by_model["tiny-1"]).separable

    baselines = [a for a in answers if a.model in ("flawed", "tiny-0")]
    pairs = judge_pairs(tasks, answers, baselines, judge, tmp_path / "pairs.jsonl", order="both")
    good_pairs = [v for v in pairs if v.model == "good"]
    reward = reward_report(good_pairs, baselines=["flawed", "tiny-0"], tasks=tasks, margin=500)
    assert reward.mix is not None and reward.mix > 80
    assert reward.mix_interval is not None and reward.mix_interval.low > 0
    own = reward_report([v for v in pairs if v.model == "flawed"], baselines=["flawed", "tiny-0"])
    assert own.baselines["flawed"].is_self
    assert [row.margin for row in k_sweep(good_pairs, [None, 0, 500])] == [None, 0, 500]
    bias = order_bias(pairs)
    assert (bias.difference.estimate, bias.conflicts) == (0.0, 0)  # a rule does not care who comes first
    assert sum(v.usage.get("cost_usd", 0.0) for v in scores + pairs) == 0


@pytest.mark.slow
def test_a_model_that_cannot_judge_leaves_missing_values_and_no_numbers(tmp_path: Path) -> None:
    tasks, judge = task_set(), LlmJudge(tiny_engine(3), max_tokens=8)
    tasks = TaskSet(tasks.tasks[:3])
    few = [a for a in good_and_flawed() if a.task_id in tasks.by_id and a.model == "good"]
    verdicts = judge_scores(tasks, few, judge, tmp_path / "v.jsonl")
    assert {(v.status, v.value) for v in verdicts} == {("unparsed", None)}
    assert all(v.meta["attempts"] == 4 and v.usage["completion_tokens"] > 0 for v in verdicts)
    report = score_report(verdicts, tasks=tasks)
    assert (report.wb_score, report.withheld, report.bounds) == (None, True, (-80.0, 100.0))


@pytest.mark.slow
def test_a_prompt_that_exceeds_the_judges_context_is_refused_with_the_reason(tmp_path: Path) -> None:
    tasks = TaskSet(task_set().tasks[:1])
    few = [a for a in good_and_flawed() if a.task_id in tasks.by_id and a.model == "good"]
    (verdict,) = judge_scores(tasks, few, LlmJudge(tiny_engine(3, context=256)), tmp_path / "v.jsonl")
    assert (verdict.status, verdict.value) == ("refused", None)
    assert "context" in verdict.parsed["error"]


@pytest.mark.slow
def test_the_commands_from_two_tiny_models_to_a_report(tmp_path: Path) -> None:
    """20 tasks, two tiny local models, the checker as the judge, both orders, two baselines; it costs nothing."""
    from agora.core.tables import write_jsonl
    from agora.rooms.judge import read_verdicts
    from tests.tiny import make_tiny_model

    write_jsonl(tmp_path / "tasks.jsonl", task_set().tasks)
    write_jsonl(tmp_path / "answers" / "made.jsonl", good_and_flawed())
    given = ["--tasks", str(tmp_path / "tasks.jsonl")]
    for seed in (0, 1):
        model = f"hf:{make_tiny_model(tmp_path / f'tiny-{seed}', seed=seed)}"
        options = ["--model", model, "--name", f"tiny-{seed}", "--max-tokens", "12"]
        judge_command("answer", *given, *options, "--out", str(tmp_path / "answers" / f"tiny-{seed}"))
    judge_command(
        "answer", *given, "--import", str(tmp_path / "answers" / "made.jsonl"), "--out", str(tmp_path / "answers" / "m")
    )
    asked = [*given, "--answers", str(tmp_path / "answers"), "--judge", "microcosm:checker"]
    scores = judge_command("score", *asked, "--out", str(tmp_path / "board" / "scores"))["judges"][0]
    baselines = ["--baselines", "flawed", "--baselines", "tiny-0", "--order", "both"]
    pairs = judge_command("pairwise", *asked, *baselines, "--out", str(tmp_path / "board" / "pairs"))["judges"][0]
    assert {m["model"]: m["coverage"] for m in scores["models"]} == dict.fromkeys(
        ("good", "flawed", "tiny-0", "tiny-1"), 1.0
    )
    rewards = {m["model"]: m for m in pairs["models"]}
    assert rewards["good"]["value"] > 80 and rewards["good"]["ci"][0] > 0
    assert set(rewards["good"]["rewards"]) == {"flawed", "tiny-0"} and rewards["flawed"]["rewards"]["flawed"] == 0.0
    assert (pairs["order_bias"]["difference"][0], pairs["order_bias"]["conflicts"]) == (0.0, 0)
    assert not scores["usage"] and not pairs["usage"]
    board = judge_command("leaderboard", str(tmp_path / "board"), *given, "--margin", "500")
    best = board["models"][0]
    assert (best["name"], best["wb_score"]) == ("good", 100.0)
    (file,) = (tmp_path / "board" / "pairs" / "verdicts").iterdir()
    sweep = k_sweep([v for v in read_verdicts(file) if v.model == "good"], [None, 0, 500])
    assert [row.margin for row in sweep] == [None, 0, 500]


def judge_command(*words: str) -> dict[str, Any]:
    """The object that ``agora judge ... --json`` prints."""
    from typer.testing import CliRunner

    from agora.rooms.judge.commands import app

    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, (result.stdout, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found
