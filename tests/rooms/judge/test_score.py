from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agora.core.errors import AgoraError, ConfigError, DataError, UsageError
from agora.core.records import Message, Verdict
from agora.core.tables import write_jsonl
from agora.rooms.judge import LlmJudge, TaskSet, judge_pairs, judge_scores, read_answers, read_verdicts
from agora.rooms.judge.asking.verdicts import VerdictFile
from tests.rooms.judge.counting import CountingJudge, judge_all
from tests.rooms.judge.support import FunctionEngine, make_answer, make_task, reply

TASKS = [make_task(f"t{i}", f"Add {i} and 3.") for i in range(4)]


def answers(model: str = "m") -> list[object]:
    return [make_answer(t.id, model, f"{model} {t.id}") for t in TASKS]


def calls(folder: Path) -> list[str]:
    path = folder / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


def plain(verdicts: list[Verdict]) -> list[tuple[object, ...]]:
    return [(v.id, v.task_id, v.model, v.baseline, v.order, v.status, v.value) for v in verdicts]


def test_verdicts_come_by_model_and_then_in_benchmark_order(tmp_path: Path) -> None:
    given = list(reversed(answers("b") + answers("a")))
    verdicts = judge_scores(TASKS, given, CountingJudge(tmp_path / "calls.txt"), tmp_path / "v.jsonl")  # type: ignore[arg-type]
    assert [(v.model, v.task_id) for v in verdicts] == [(m, t.id) for m in ("a", "b") for t in TASKS]


def test_a_second_run_makes_no_call_and_returns_the_same(tmp_path: Path) -> None:
    first = judge_all(tmp_path, 5, 0.0)
    assert len(calls(tmp_path)) == 2 * 5 + 2 * 5 * 2
    assert plain(judge_all(tmp_path, 5, 0.0)) == plain(first)
    assert len(calls(tmp_path)) == 30
    assert sum(1 for _ in read_verdicts(tmp_path / "verdicts.jsonl")) == 30


def test_a_changed_answer_or_task_is_judged_anew_and_the_rest_is_not(tmp_path: Path) -> None:
    judge = CountingJudge(tmp_path / "calls.txt")
    given = answers()
    judge_scores(TASKS, given, judge, tmp_path / "v.jsonl")  # type: ignore[arg-type]
    given[2] = make_answer("t2", "m", "something else")
    judge_scores(TASKS, given, judge, tmp_path / "v.jsonl")  # type: ignore[arg-type]
    assert calls(tmp_path)[4:] == ["score/t2/m"]
    changed = [replace(TASKS[0], checklist=("Is it new?",)), *TASKS[1:]]
    judge_scores(changed, given, judge, tmp_path / "v.jsonl")  # type: ignore[arg-type]
    assert calls(tmp_path)[5:] == ["score/t0/m"]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_run_goes_on_without_repeating_a_call(tmp_path: Path, seed: int) -> None:
    num_tasks, total = 12, 12 * 2 * 3
    whole = judge_all(tmp_path / "whole", num_tasks, 0.0) if (tmp_path / "whole").mkdir() is None else []
    folder = tmp_path / "killed"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.rooms.judge.counting", str(folder), str(num_tasks), "0.002"]
    kills = 0
    for stop_after in sorted(random.Random(seed).sample(range(1, total - 10), 3)):
        process = subprocess.Popen(command, cwd=Path(__file__).parents[3])
        while len(calls(folder)) < stop_after and process.poll() is None:
            time.sleep(0.005)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills
    before = Counter(calls(folder))
    verdicts = judge_all(folder, num_tasks, 0.0)
    after = Counter(calls(folder))
    assert plain(verdicts) == plain(whole)
    assert set(after) == set(calls(tmp_path / "whole"))
    # a call whose verdict was not yet on disk when the process died is the only kind that is made again
    assert sum(after.values()) - total <= kills
    assert sum(before.values()) > 0


def test_a_line_cut_off_by_a_kill_is_dropped_and_judged_again(tmp_path: Path) -> None:
    judge, path = CountingJudge(tmp_path / "calls.txt"), tmp_path / "v.jsonl"
    first = judge_scores(TASKS, answers(), judge, path)  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:-20])
    assert plain(judge_scores(TASKS, answers(), judge, path)) == plain(first)  # type: ignore[arg-type]
    assert calls(tmp_path)[4:] == ["score/t3/m"]


def test_empty_and_equal_answers_are_settled_without_a_call(tmp_path: Path) -> None:
    given = [
        make_answer("t0", "m", ""),
        make_answer("t1", "m", " \n\t"),
        make_answer("t2", "m", "x"),
        make_answer("t3", "m", "y "),
    ]
    given.append(make_answer("t0", "null", None))  # type: ignore[arg-type]
    base = [
        make_answer("t0", "b", ""),
        make_answer("t1", "b", "z"),
        make_answer("t2", "b", ""),
        make_answer("t3", "b", " y"),
    ]
    judge = CountingJudge(tmp_path / "calls.txt")
    scores = judge_scores(TASKS, given, judge, tmp_path / "v.jsonl", allow_partial=True)
    assert [v.value for v in scores if v.meta.get("skipped") == "empty"] == [1.0, 1.0, 1.0]
    pairs = judge_pairs(TASKS, given[:4], base, judge, tmp_path / "v.jsonl")
    skipped = ["both_empty", "empty", "baseline_empty", "identical"]
    assert [(v.value, v.meta["skipped"]) for v in pairs] == list(zip([0.0, -1.0, 1.0, 0.0], skipped, strict=True))
    assert calls(tmp_path) == ["score/t2/m", "score/t3/m"]


def test_identical_answers_of_two_models_are_judged_once(tmp_path: Path) -> None:
    given = [make_answer(t.id, m, "the same") for m in ("a", "b", "c") for t in TASKS]
    verdicts = judge_scores(TASKS, given, CountingJudge(tmp_path / "calls.txt"), tmp_path / "v.jsonl")
    assert len(calls(tmp_path)) == 4
    assert len({v.id for v in verdicts}) == 12
    assert {v.value for v in verdicts} == {9.0}
    assert [v.usage for v in verdicts if v.model != "a"] == [{}] * 8


def test_a_model_is_not_compared_with_itself(tmp_path: Path) -> None:
    both = answers("a") + answers("b")
    verdicts = judge_pairs(TASKS, both, both, CountingJudge(tmp_path / "c.txt"), tmp_path / "v.jsonl")  # type: ignore[arg-type]
    assert {(v.model, v.baseline) for v in verdicts} == {("a", "b"), ("b", "a")}


def test_calls_that_failed_are_asked_again_and_unparsed_ones_are_not(tmp_path: Path) -> None:
    replies = {"t0": "error", "t1": "nonsense"}

    def answer(request: object) -> object:
        text = request.messages[0]["content"]  # type: ignore[attr-defined]
        task = next(t for t in ("t0", "t1") if f"m {t}" in text)
        failing = replies[task] == "error"
        return reply(request, "" if failing else replies[task], "error" if failing else "stop_token")  # type: ignore[arg-type]

    engine = FunctionEngine(answer)  # type: ignore[arg-type]
    judge = LlmJudge(engine, num_reasks=0)
    given = answers()[:2]
    first = judge_scores(TASKS[:2], given, judge, tmp_path / "v.jsonl")  # type: ignore[arg-type]
    assert [v.status for v in first] == ["missing", "unparsed"]
    replies["t0"] = "now it answers"
    second = judge_scores(TASKS[:2], given, judge, tmp_path / "v.jsonl")  # type: ignore[arg-type]
    assert [v.status for v in second] == ["unparsed", "unparsed"]
    assert len(engine.requests) == 3


def test_a_judge_that_stays_silent_leaves_missing_verdicts(tmp_path: Path) -> None:
    class Silent(CountingJudge):
        def score(self, items: object) -> object:  # type: ignore[override]
            return iter(())

    verdicts = judge_scores(TASKS, answers(), Silent(tmp_path / "c"), tmp_path / "v.jsonl")  # type: ignore[arg-type]
    assert {(v.status, v.value) for v in verdicts} == {("missing", None)}


def test_a_file_of_another_judge_or_prompt_is_refused(tmp_path: Path) -> None:
    judge = CountingJudge(tmp_path / "c.txt")
    judge_scores(TASKS, answers(), judge, tmp_path / "v.jsonl")  # type: ignore[arg-type]
    judge.name = "other"
    with pytest.raises(ConfigError, match=r"v\.jsonl: the file holds verdicts by judge counting, this run uses other"):
        judge_scores(TASKS, answers(), judge, tmp_path / "v.jsonl")  # type: ignore[arg-type]


def test_two_processes_cannot_judge_into_one_file(tmp_path: Path) -> None:
    judge = CountingJudge(tmp_path / "c.txt")
    with (
        VerdictFile(tmp_path / "v.jsonl", judge.name, judge.prompt("score"), "score"),
        pytest.raises(AgoraError, match="another process is judging into this file"),
    ):
        judge_scores(TASKS, answers(), judge, tmp_path / "v.jsonl")  # type: ignore[arg-type]


def test_wrong_answer_files_are_refused_with_the_ids(tmp_path: Path) -> None:
    judge = CountingJudge(tmp_path / "c.txt")

    def run(given: list[object], **options: object) -> list[Verdict]:
        return judge_scores(TASKS, given, judge, tmp_path / "v.jsonl", **options)  # type: ignore[arg-type]

    with pytest.raises(UsageError, match="answers to unknown tasks: 1: t9") as unknown:
        run([*answers(), make_answer("t9", "m")])
    assert unknown.value.exit_code == 2
    with pytest.raises(UsageError, match=r"more than one answer to a task: 1: t1 \(m\)"):
        run([*answers(), make_answer("t1", "m", "again")])
    with pytest.raises(UsageError, match=r"no answer to 2: t2 \(m\), t3 \(m\); .*--allow-partial"):
        run(answers()[:2])
    assert len(run(answers()[:2], allow_partial=True)) == 2


def test_an_answer_that_is_null_or_no_text_is_read_as_empty(tmp_path: Path) -> None:
    rows = [{"task_id": f"t{i}", "model": "m", "output": output} for i, output in enumerate(["x", None, 5, ["y"]])]
    write_jsonl(tmp_path / "a.jsonl", rows)
    given = read_answers(tmp_path / "a.jsonl")
    assert [a.output for a in given] == ["x", "", "", ""]
    verdicts = judge_scores(TASKS, given, CountingJudge(tmp_path / "calls.txt"), tmp_path / "v.jsonl")
    assert [v.value for v in verdicts][1:] == [1.0, 1.0, 1.0]
    write_jsonl(tmp_path / "b.jsonl", [*rows, {"task_id": 3, "model": "m", "output": "x"}])
    with pytest.raises(DataError, match=r'b\.jsonl:5: field "task_id"'):
        read_answers(tmp_path / "b.jsonl")


def test_task_sets_refuse_repeated_ids_and_tasks_that_ask_nothing() -> None:
    with pytest.raises(DataError, match="'t0' occurs twice"):
        TaskSet.of([TASKS[0], TASKS[0]])
    with pytest.raises(DataError, match="must end with the user's"):
        TaskSet.of([replace(TASKS[0], messages=(Message("assistant", "Hi"),))])
