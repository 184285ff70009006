"""`agora judge answer`, `score` and `pairwise` as a user meets them, against a real server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from agora.core.tables import write_jsonl
from agora.rooms.judge import TaskSet, leaderboard
from agora.rooms.judge.asking.summary import related
from agora.rooms.judge.commands import app
from tests.rooms.judge.asking import Bench
from tests.rooms.judge.judge_server import JudgeServer
from tests.rooms.judge.support import make_answer


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as running:
        yield running


def test_scores_come_with_interval_coverage_and_usage(bench: Bench, server: JudgeServer) -> None:
    found = bench.json("score", "--judge", f"long-liker={server.uri}")
    (judge,) = found["judges"]
    assert judge["judge"] == "long-liker"
    assert [m["model"] for m in judge["models"]] == ["long", "mid", "short"]
    assert all(m["coverage"] == 1.0 and m["ci"][0] <= m["value"] <= m["ci"][1] for m in judge["models"])
    assert judge["usage"]["prompt_tokens"] == 10 * 18
    assert len(server.prompts) == 18
    assert found == {**json.loads((bench.folder / "out" / "summary.json").read_text()), "batch_lines_unused": 0}


def test_a_second_run_makes_no_call_and_more_models_cost_their_own_calls_only(
    bench: Bench, server: JudgeServer
) -> None:
    first = bench.json("score", "--judge", server.uri)
    again = bench.json("score", "--judge", server.uri)
    assert first["judges"] == again["judges"]
    assert len(server.prompts) == 18
    bench.write("new", {t.id: f"new {t.id}" for t in bench.tasks})
    more = bench.json("score", "--judge", server.uri)
    assert [m["model"] for m in more["judges"][0]["models"]] == ["long", "mid", "new", "short"]
    assert len(server.prompts) == 24


def test_a_dry_run_prints_calls_tokens_and_cost_and_asks_nothing(bench: Bench, server: JudgeServer) -> None:
    options = ("--judge", server.uri, "--price", "10", "30", "--checklist")
    (found,) = bench.json("score", *options, "--dry-run")["estimates"]
    assert (found["calls"], found["usual_tokens"], found["most_tokens"]) == (36, 36 * 230, 36 * 1024)
    assert found["usual_usd"] == pytest.approx(found["prompt_tokens"] * 10e-6 + 36 * 230 * 30e-6)
    assert server.prompts == [] and not (bench.folder / "out").exists()
    bench.run("score", *options)
    sent = sum(len(prompt.encode()) for prompt in server.prompts) / 4
    assert found["prompt_tokens"] == pytest.approx(sent, rel=0.05)
    assert bench.json("score", *options, "--dry-run")["estimates"][0]["calls"] == 0


def test_without_a_price_the_cost_is_unknown_and_a_budget_is_refused(bench: Bench, server: JudgeServer) -> None:
    assert "price unknown" in bench.run("score", "--judge", server.uri, "--dry-run")
    line = bench.run("score", "--judge", server.uri, "--max-cost", "1", code=2)
    assert "price" in line
    assert server.prompts == []


def test_a_budget_stops_before_the_next_call_counts_earlier_runs_and_keeps_what_was_paid(
    bench: Bench, server: JudgeServer
) -> None:
    # a call of the server counts 10 tokens in and 5 out
    options = ("--judge", server.uri, "--price", "100000", "0", "--concurrency", "1")
    assert "the budget is used up" in bench.run("score", *options, "--max-cost", "4", code=1)
    paid = len(server.prompts)
    assert paid == 4
    summary = json.loads((bench.folder / "out" / "summary.json").read_text())
    assert Counter(summary["judges"][0]["fates"]) == {"ok": 4, "missing": 14}
    assert "raise the limit" in bench.run("score", *options, "--max-cost", "4", code=1)
    assert len(server.prompts) == paid
    bench.run("score", *options, "--max-cost", "100")
    assert len(server.prompts) == 18


def test_another_judge_prompt_task_or_setting_is_refused_in_a_folder(bench: Bench, server: JudgeServer) -> None:
    bench.run("score", "--judge", server.uri)
    for options in (("--judge", "microcosm:checker"), ("--judge", server.uri, "--max-tokens", "99")):
        assert "started differently" in bench.run("score", *options, code=2)
    assert "started differently" in bench.run(
        "pairwise", "--judge", server.uri, "--baselines", "mid", code=2
    )  # fmt: skip
    write_jsonl(bench.folder / "tasks.jsonl", [replace(bench.tasks[0], checklist=("New?",)), *bench.tasks[1:]])
    assert "tasks" in bench.run("score", "--judge", server.uri, code=2)
    assert len(server.prompts) == 18


def test_unknown_repeated_and_missing_answers_are_listed_with_exit_code_2(bench: Bench, server: JudgeServer) -> None:
    rows = [make_answer(t.id, "odd", f"{t.id}") for t in bench.tasks]
    cases = {
        "unknown tasks: 1: t9": [*rows, make_answer("t9", "odd")],
        "more than one answer to a task: 1: t2 (odd)": [*rows, rows[2]],
        "no answer to 2: t4 (odd), t5 (odd); answer them or use --allow-partial": rows[:4],
    }
    for message, given in cases.items():
        write_jsonl(bench.folder / "odd.jsonl", given)
        assert message in bench.run("score", "--judge", server.uri, answers="odd.jsonl", code=2)
    assert server.prompts == [] and not (bench.folder / "out").exists()
    found = bench.json("score", "--judge", server.uri, "--allow-partial", answers="odd.jsonl")
    (model,) = found["judges"][0]["models"]
    assert (model["n"], model["num_tasks"], model["value"] is not None) == (4, 6, True)
    assert "odd: answers to 4 of 6 tasks: partial" in found["judges"][0]["notes"]


def test_comparisons_are_against_every_baseline_and_never_against_oneself(bench: Bench, server: JudgeServer) -> None:
    found = bench.json("pairwise", "--judge", server.uri, "--baselines", "mid", "--baselines", "short")
    models = {m["model"]: m for m in found["judges"][0]["models"]}
    assert models["long"]["rewards"] == {"mid": 50.0, "short": 50.0}
    assert models["mid"]["rewards"] == {"mid": 0.0, "short": 50.0}
    assert models["short"]["value"] == -25.0
    assert len(server.prompts) == 4 * 6
    longer = found["judges"][0]["length_effect"]["longer_wins"]
    assert longer[0] == 1.0


def test_a_baseline_may_be_a_file_of_its_own(bench: Bench, server: JudgeServer) -> None:
    base = bench.folder / "answers" / "mid" / "answers.jsonl"
    base.rename(bench.folder / "base.jsonl")
    found = bench.json("pairwise", "--judge", server.uri, "--baselines", str(bench.folder / "base.jsonl"))
    assert [m["model"] for m in found["judges"][0]["models"]] == ["long", "short"]
    line = bench.run("pairwise", "--judge", server.uri, "--baselines", "midd", out="other", code=3)
    assert "'midd' is neither a model among the answers nor a file; the answers are by long, short" in line


@pytest.mark.parametrize(("order", "calls"), [("hash", 24), ("both", 48), ("sample-both:0.5", None), ("legacy42", 24)])
def test_order_policies(bench: Bench, server: JudgeServer, order: str, calls: int | None) -> None:
    options = ("--baselines", "mid", "--baselines", "short", "--order", order)
    found = bench.json("pairwise", "--judge", server.uri, *options)
    rows = bench.verdicts(kind="pair")
    assert len(server.prompts) == len(rows)
    assert len(rows) == calls if calls else 24 < len(rows) < 48
    by_task: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        by_task.setdefault((row["task_id"], row["model"]), set()).add(row["order"])
    if order == "hash":  # long meets both baselines, one in each order
        assert all(len(by_task[t.id, "long"]) == 2 for t in bench.tasks)
    if order == "legacy42":  # the reference's: the same for all models, by the generator seeded with 42
        import random

        rng = random.Random(42)
        drawn = ["candidate_first" if rng.random() < 0.5 else "candidate_second" for _ in bench.tasks]
        assert all(by_task[t.id, "long"] == by_task[t.id, "mid"] == {drawn[i]} for i, t in enumerate(bench.tasks))
    assert found["judges"][0]["order_bias"]["conflicts"] == 0


def test_a_panel_keeps_judges_apart_and_says_how_far_they_agree(bench: Bench, server: JudgeServer) -> None:
    bench.write("null", {t.id: "" for t in bench.tasks})
    found = bench.json("score", "--judge", f"a={server.uri}", "--judge", f"b={server.uri}")
    assert [j["judge"] for j in found["judges"]] == ["a", "b"]
    panel = found["panel"]
    assert (panel["n_items"], panel["n_common"], panel["alpha"]) == (24, 24, 1.0)
    (pair,) = panel["pairs"]
    assert (pair["equal"], pair["gap"]) == (1.0, 0.0)
    assert all(m["spread"] == 0.0 for m in panel["models"])
    assert {p.name for p in (bench.folder / "out" / "verdicts").iterdir()} == {
        "a.score.jsonl",
        "b.score.jsonl",
        "panel.score.jsonl",
    }
    result = bench.run("score", "--judge", f"a={server.uri}", "--judge", f"b={server.uri}")
    assert "Krippendorff" in result


def test_one_judge_twice_is_refused(bench: Bench) -> None:
    line = bench.run("score", "--judge", "microcosm:checker", "--judge", "microcosm:checker", code=2)
    assert "NAME=URI" in line


def test_checklists_are_kept_beside_the_scores_and_change_none(bench: Bench, server: JudgeServer) -> None:
    plain = bench.json("score", "--judge", server.uri)
    checked = bench.json("score", "--judge", server.uri, "--checklist", out="checked")
    shown = [{k: v for k, v in m.items() if k != "checklist_met"} for m in checked["judges"][0]["models"]]
    assert shown == [{k: v for k, v in m.items() if k != "checklist_met"} for m in plain["judges"][0]["models"]]
    assert [m["checklist_met"] for m in checked["judges"][0]["models"]] == [1.0, 0.0, 0.0]
    rows = {row["model"]: row for row in bench.verdicts("checked", "checklist")}  # in whatever order they came
    assert [item["met"] for item in rows["long"]["parsed"]["items"]] == ["yes", "yes"]


def test_empty_answers_and_unreadable_replies_have_fates_of_their_own(bench: Bench, server: JudgeServer) -> None:
    bench.write("short", {t.id: "" if t.id == "t0" else f"short {t.id}" for t in bench.tasks})
    server.garble = 3  # with no re-ask, three items stay without a value
    found = bench.json("score", "--judge", server.uri, "--reasks", "0", "--concurrency", "1", code=1)
    judge = found["judges"][0]
    assert judge["fates"] == {"ok": 14, "skipped_empty": 1, "unparsed": 3}
    withheld = [m for m in judge["models"] if m["withheld"]]
    assert [(m["model"], m["value"]) for m in withheld] == [("long", None)]
    assert any("50.0 % of 6 items have no value (3 unparsed); the figure is withheld" in n for n in judge["notes"])
    forced = bench.json("score", "--judge", server.uri, "--reasks", "0", "--concurrency", "1", "--force")
    assert forced["judges"][0]["models"][0]["value"] is not None
    healed = bench.json("score", "--judge", server.uri, "--reasks", "0", "--concurrency", "1", "--retry", "unparsed")
    assert healed["judges"][0]["fates"] == {"ok": 17, "skipped_empty": 1}
    assert ["# Reminder" in prompt for prompt in server.prompts[-3:]] == [True] * 3


def test_private_tasks_never_leave_the_machine_unasked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(bench.folder / "tasks.jsonl", [replace(t, split="private") for t in bench.tasks])
    judge = "http://judge.example.org/v1#m"  # never asked
    line = bench.run("score", "--judge", judge, code=2)
    assert "6 private tasks would be sent to judge.example.org" in line and "--send-private" in line
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert "private" in bench.run("score", "--judge", "openai:gpt-x", code=2)
    bench.run("score", "--judge", "microcosm:checker", "--force")


def test_private_tasks_go_to_a_server_of_this_machine(bench: Bench, server: JudgeServer) -> None:
    write_jsonl(bench.folder / "tasks.jsonl", [replace(t, split="private") for t in bench.tasks])
    bench.run("score", "--judge", server.uri)
    logs = "".join((bench.folder / "out" / name).read_text() for name in ("run.json", "events.jsonl", "summary.json"))
    assert "Add 1 and 3" not in logs


@pytest.mark.parametrize(
    ("judge", "code", "said"),
    [
        ("microcosm:chekcer", 2, "microcosm:checker"),
        ("http://127.0.0.1:9/v1#m", 1, "127.0.0.1:9"),
        ("openai:gpt-x", 3, "OPENAI_API_KEY"),
        ("hf:/nowhere", 3, "nowhere"),
        ("replay:nothing.jsonl", 3, "nothing.jsonl"),
        ("gpt-4o", 2, "openai:MODEL"),
    ],
)
def test_a_judge_that_is_not_there_leaves_no_folder(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, judge: str, code: int, said: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert said in bench.run("score", "--judge", judge, code=code)
    assert not (bench.folder / "out").exists()


@pytest.mark.parametrize(
    ("judge", "model", "kin"),
    [
        ("openai:gpt-4o", "openai:gpt-4o", "the candidate itself"),
        ("http://host:1/v1#org/my-model", "my-model", "the candidate itself"),
        ("openai:gpt-4o", "gpt-3.5-turbo-0125", "of its family (gpt)"),
        ("strict", "gpt-4o", None),
        ("openai:gpt-4o", "claude-3-haiku", None),
        ("microcosm:checker", "microcosm:chat", None),
    ],
)
def test_a_judge_that_is_a_candidate_or_of_its_family_is_noted(judge: str, model: str, kin: str | None) -> None:
    assert related(judge, model) == kin


def test_a_folder_of_a_judging_is_a_leaderboard(bench: Bench, server: JudgeServer) -> None:
    from typer.testing import CliRunner

    bench.run("score", "--judge", f"j={server.uri}", "--checklist")
    bench.run("pairwise", "--judge", f"j={server.uri}", "--baselines", "mid", out="pairs")
    folders = [str(bench.folder / "out"), str(bench.folder / "pairs")]
    result = CliRunner().invoke(app, ["leaderboard", *folders, "--json"])
    assert result.exit_code == 0, result.exception
    models = json.loads(result.stdout)["models"]
    assert sorted(m["name"] for m in models) == ["long", "mid", "short"]


def test_killed_judging_repeats_no_call(bench: Bench) -> None:
    with JudgeServer(delay_s=0.02) as server:
        command = [sys.executable, "-m", "agora.cli", "judge", "score", "--judge", server.uri, "--concurrency", "2"]
        command += ["--tasks", str(bench.folder / "tasks.jsonl"), "--answers", str(bench.folder / "answers")]
        process = subprocess.Popen([*command, "--out", str(bench.folder / "out")], stderr=subprocess.DEVNULL)
        while len(server.prompts) < 7 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        in_flight = len(server.prompts)
        assert 7 <= in_flight < 18
        found = bench.json("score", "--judge", server.uri)
        assert all(m["coverage"] == 1.0 for m in found["judges"][0]["models"])
        again = Counter(server.prompts)
        assert len(again) == 18
        assert sum(again.values()) <= 18 + 2  # what was in flight when it died, and no more
        whole = bench.json("score", "--judge", server.uri, out="whole")
    assert [m["value"] for m in found["judges"][0]["models"]] == [m["value"] for m in whole["judges"][0]["models"]]


def test_a_second_board_with_the_same_answers_makes_no_call(bench: Bench, server: JudgeServer) -> None:
    cache = ("--cache", str(bench.folder / "shared.sqlite"))
    first = bench.json("score", "--judge", server.uri, *cache)
    second = bench.json("score", "--judge", server.uri, *cache, out="second")
    assert len(server.prompts) == 18
    assert first["judges"][0]["models"] == second["judges"][0]["models"]
    assert second["judges"][0]["usage"].get("cost_usd", 0) == 0


def test_answers_are_made_once_with_the_published_settings(bench: Bench) -> None:
    from typer.testing import CliRunner

    from tests.engines.servers import FaultServer, chat_answer, status

    with FaultServer() as model:
        model.by_text["Add 1 and 3."] = status(400, "no")
        model.by_text["Add 2 and 3."] = lambda h, b: h.reply(200, chat_answer("Five.</s> <pad>"))
        command = ["answer", "--tasks", str(bench.folder / "tasks.jsonl"), "--model", f"{model.base_url}#m"]
        command += ["--name", "served", "--out", str(bench.folder / "served")]
        first = CliRunner().invoke(app, [*command, "--json"])
        assert first.exit_code == 1
        (report,) = json.loads(first.stdout)["models"]
        assert (report["written"], report["failed"]) == (5, ["t1"])
        assert {(b["temperature"], b["max_tokens"]) for b in model.bodies} == {(0.0, 4096)}
        assert [len(b["messages"]) for b in model.bodies] == [3] * 6
        del model.by_text["Add 1 and 3."]
        second = CliRunner().invoke(app, [*command, "--json"])
        assert second.exit_code == 0
        assert len(model.calls) == 7
    rows = [json.loads(line) for line in (bench.folder / "served" / "answers.jsonl").read_text().splitlines()]
    assert [row["task_id"] for row in rows] == [t.id for t in bench.tasks]
    assert rows[2]["output"] == "Five."
    assert rows[0]["params"]["model"].endswith("#m")


def test_answers_made_elsewhere_are_taken_over_by_id_or_by_request(bench: Bench) -> None:
    from typer.testing import CliRunner

    wild = [
        {"session_id": t.id, "output": [f"w {t.id}"], "generator": "wild", "configs": {"temperature": 0}}
        for t in reversed(bench.tasks)
    ]
    alpaca = [
        {"instruction": t.messages[-1].content, "output": f"a {t.id}", "generator": "alpaca"} for t in bench.tasks
    ]
    (bench.folder / "wild.json").write_text(json.dumps(wild))
    (bench.folder / "alpaca.json").write_text(json.dumps(alpaca))
    command = ["answer", "--tasks", str(bench.folder / "tasks.jsonl"), "--out", str(bench.folder / "taken"), "--json"]
    files = [word for name in ("wild", "alpaca") for word in ("--import", str(bench.folder / f"{name}.json"))]
    result = CliRunner().invoke(app, [*command, *files])
    assert result.exit_code == 0, result.exception
    assert [m["model"] for m in json.loads(result.stdout)["models"]] == ["wild", "alpaca"]
    rows = [json.loads(line) for line in (bench.folder / "taken" / "answers.jsonl").read_text().splitlines()]
    assert [(r["model"], r["task_id"], r["output"]) for r in rows] == [
        (m, t.id, f"{m[0]} {t.id}") for m in ("wild", "alpaca") for t in bench.tasks
    ]


FROZEN = {
    "answer": "--allow-partial --cache --concurrency --dry-run --import --json --max-cost --max-tokens --model --name "
    "--out --price --seed --send-private --tasks --temperature --top-p",
    "score": "--allow-partial --answers --batch-in --batch-out --cache --checklist --concurrency --dry-run --force "
    "--json --judge --judge-price --max-cost --max-tokens --out --price --reasks --response-format --retry --seed "
    "--send-private --tasks",
    "pairwise": "--allow-partial --answers --baselines --batch-in --batch-out --cache --checklist --concurrency "
    "--dry-run --force --json --judge --judge-price --max-cost --max-tokens --order --out --price --reasks "
    "--response-format --retry --seed --send-private --tasks",
}


@pytest.mark.parametrize("verb", FROZEN)
def test_the_options_are_frozen(verb: str) -> None:
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    assert sorted(o for p in command.params for o in p.opts if o.startswith("--")) == FROZEN[verb].split()


def test_half_of_the_candidates_stand_first_on_every_task_and_added_ones_fill_the_lesser_half(
    bench: Bench, server: JudgeServer
) -> None:
    bench.write("base", {t.id: f"base {t.id} says {'y' * 20}" for t in bench.tasks})
    bench.run("pairwise", "--baselines", "base", "--judge", server.uri)
    before = {(r["task_id"], r["model"]): r["order"] for r in bench.verdicts(kind="pair")}
    calls = len(server.prompts)
    bench.write("new", {t.id: f"new {t.id} says {'z' * 25}" for t in bench.tasks})
    bench.run("pairwise", "--baselines", "base", "--judge", server.uri)
    rows = bench.verdicts(kind="pair")
    after = {(r["task_id"], r["model"]): r["order"] for r in rows}
    assert len(server.prompts) - calls == len(bench.tasks)  # what was asked is not asked again
    assert before.items() <= after.items() and len(rows) == 24
    for task in bench.tasks:
        of_task = [order for (id_, _), order in after.items() if id_ == task.id]
        assert of_task.count("candidate_first") == of_task.count("candidate_second") == 2


def test_a_folder_goes_on_with_the_order_it_was_begun_with(bench: Bench, server: JudgeServer) -> None:
    bench.run("pairwise", "--baselines", "mid", "--judge", server.uri, "--order", "hash")
    calls = len(server.prompts)
    bench.run("pairwise", "--baselines", "mid", "--judge", server.uri)
    assert len(server.prompts) == calls


def test_each_judge_of_a_panel_has_its_price_and_cached_replies_are_not_paid_for(
    bench: Bench, server: JudgeServer
) -> None:
    panel = ["--judge", f"a={server.uri}", "--judge", f"b={server.uri}"]
    prices = ["--price", "10", "0", "--judge-price", "b=20,0"]
    dear, dearer = bench.json("score", *panel, *prices, "--dry-run")["estimates"]
    assert dearer["usual_usd"] == pytest.approx(2 * dear["usual_usd"]) and dear["usual_usd"] > 0
    cache = ["--cache", str(bench.folder / "replies.sqlite")]
    bench.run("score", "--judge", f"a={server.uri}", *cache, out="first")
    told = bench.json("score", *panel, *prices, *cache, "--dry-run", out="second")["estimates"]
    assert [(each["calls"], each["cached"], each["usual_usd"]) for each in told] == [(0, 18, 0.0)] * 2
    assert len(server.prompts) == 18
    assert "NAME=IN,OUT with one of a, b" in bench.run("score", *panel, "--judge-price", "c=1,1", code=2)


def test_a_summary_and_a_leaderboard_give_one_interval(bench: Bench, server: JudgeServer) -> None:
    found = bench.json("score", "--judge", server.uri)
    tasks = TaskSet.read(bench.folder / "tasks.jsonl")
    (table,) = leaderboard([bench.folder / "out"], tasks=tasks).tables
    shown = {row.name: list(row.score.interval[1:3]) for row in table.rows if row.score}
    assert {m["model"]: m["ci"] for m in found["judges"][0]["models"]} == shown
