from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from agora.core.errors import ConfigError, DataError, MissingError
from agora.core.records import Message, Task
from agora.core.tables import write_jsonl
from agora.microcosm.world import CheckResult, Exercise, World
from agora.rooms.judge import JudgeSpec, LlmJudge, ReplayJudge, RuleJudge, judge_scores, open_judge
from agora.rooms.judge.asking.judges import compare_checks
from agora.rooms.judge.types import GROUPS, PairItem, ScoreItem
from tests.rooms.judge.support import FunctionEngine, make_answer, make_pair, make_score, make_task, reply


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=0)


@pytest.fixture(scope="module")
def exercises(world: World) -> list[Exercise]:
    return list(world.exercises(random.Random(1), 20))


def task_of(exercise: Exercise) -> Task:
    checklist = tuple(item.question for item in exercise.checklist)
    return replace(make_task(exercise.id), messages=(Message("user", exercise.instruction),), checklist=checklist)


def test_the_checker_gives_references_10_and_flawed_answers_less(world: World, exercises: list[Exercise]) -> None:
    judge = RuleJudge(world)
    rng = random.Random(2)
    good = [ScoreItem(task_of(e), make_answer(e.id, output=e.reference)) for e in exercises]
    flawed = [ScoreItem(task_of(e), make_answer(e.id, output=world.flawed_answer(e, rng))) for e in exercises]
    assert {v.value for v in judge.score(good)} == {10.0}
    assert all(v.status == "ok" and v.value is not None and v.value < 10 for v in judge.score(flawed))
    assert judge.name == "microcosm:checker"


def test_the_checker_prefers_references_to_flawed_answers_in_both_orders(
    world: World, exercises: list[Exercise]
) -> None:
    judge = RuleJudge(world)
    for exercise in exercises:
        task = task_of(exercise)
        good = make_answer(exercise.id, "good", exercise.reference)
        poor = make_answer(exercise.id, "poor", world.flawed_answer(exercise, random.Random(3)))
        for order in ("candidate_first", "candidate_second"):
            (won, lost) = judge.compare([PairItem(task, good, poor, order), PairItem(task, poor, good, order)])
            assert won.value is not None and won.value > 0 and lost.value == -won.value


@pytest.mark.parametrize(
    ("candidate", "baseline", "outcome"),
    [
        ((True, 10), (False, 4), 1.0),
        ((True, 5), (False, 4), 1.0),
        ((False, 4), (True, 5), -1.0),
        ((True, 10), (True, 6), 1.0),
        ((True, 10), (True, 7), 0.5),
        ((True, 7), (True, 8), -0.5),
        ((True, 8), (True, 8), 0.0),
        ((False, 1), (False, 4), -0.5),
        ((False, 2), (False, 2), 0.0),
    ],
)
def test_the_outcome_follows_correctness_then_the_gap(
    candidate: tuple[bool, int], baseline: tuple[bool, int], outcome: float
) -> None:
    assert compare_checks(CheckResult((), *candidate), CheckResult((), *baseline)) == outcome


def test_a_task_outside_the_world_is_missing_and_no_number(world: World) -> None:
    (verdict,) = RuleJudge(world).score([ScoreItem(make_task(query="Write me a poem on rain."), make_answer())])
    assert (verdict.status, verdict.value) == ("missing", None)


def test_the_groups_are_those_of_the_microcosm() -> None:
    from agora.microcosm.world import GROUPS as WORLD_GROUPS

    assert {name: set(tags) for name, tags in GROUPS.items()} == {
        name: set(tags) for name, tags in WORLD_GROUPS.items()
    }


def test_replay_repeats_stored_verdicts_and_misses_the_rest() -> None:
    stored = [
        make_score("t1", 7.0, n_chars=13),
        make_score("t2", None),
        make_pair("t1", 0.5, n_chars=13, baseline_n_chars=8),
    ]
    judge = ReplayJudge(stored)
    items = [ScoreItem(make_task(t), make_answer(t)) for t in ("t1", "t2", "t3")]
    assert judge.name == "j"
    assert [(v.status, v.value) for v in judge.score(items)] == [("ok", 7.0), ("missing", None), ("missing", None)]
    pair = PairItem(make_task(), make_answer(), make_answer(model="b", output="It is 6."), "candidate_first")
    assert [v.value for v in judge.compare([pair, replace(pair, order="candidate_second")])] == [0.5, None]


def test_replay_does_not_lend_a_verdict_to_another_answer() -> None:
    judge = ReplayJudge([make_score("t1", 7.0, n_chars=99)])
    (verdict,) = judge.score([ScoreItem(make_task(), make_answer())])
    assert verdict.status == "missing"
    assert "another answer" in verdict.parsed["error"]


def test_replay_of_a_verdict_file_repeats_a_run_without_calls(tmp_path: Path) -> None:
    engine = FunctionEngine(lambda r: reply(r, "no verdict"))
    tasks = [make_task(f"t{i}", f"Add {i} and 3.") for i in range(3)]
    answers = [make_answer(t.id) for t in tasks]
    first = judge_scores(tasks, answers, LlmJudge(engine), tmp_path / "a.jsonl")
    calls = len(engine.requests)
    again = judge_scores(tasks, answers, open_judge(f"replay:{tmp_path / 'a.jsonl'}"), tmp_path / "b.jsonl")
    assert [(v.id, v.status, v.raw_text) for v in again] == [(v.id, v.status, v.raw_text) for v in first]
    assert len(engine.requests) == calls


def test_a_replay_needs_the_verdicts_of_one_judge() -> None:
    with pytest.raises(DataError, match="one judge, got 2"):
        ReplayJudge([make_score("t1", 5.0), make_score("t1", 5.0, judge="other")])


def test_judges_open_by_name(tmp_path: Path) -> None:
    assert isinstance(open_judge("microcosm:checker"), RuleJudge)
    assert isinstance(JudgeSpec().load(), RuleJudge)
    write_jsonl(tmp_path / "v.jsonl", [make_score("t1", 5.0)])
    assert isinstance(open_judge(f"replay:{tmp_path / 'v.jsonl'}"), ReplayJudge)
    engine = FunctionEngine(lambda r: reply(r, ""))
    judge = JudgeSpec("some-model", max_tokens=50).load(engine)
    assert isinstance(judge, LlmJudge)
    assert judge.name == "some-model"


def test_a_judge_that_does_not_exist_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="microcosm:checker"):
        open_judge("microcosm:cheker")
    with pytest.raises(ConfigError, match="no name"):
        open_judge("")
    with pytest.raises(MissingError, match="no such file"):
        open_judge(f"replay:{tmp_path / 'none.jsonl'}")


@pytest.mark.parametrize(
    "spec", [{"max_tokens": 0}, {"num_reasks": -1}, {"order": "random"}, {"order": "sample-both:2"}]
)
def test_a_spec_refuses_what_makes_no_sense(spec: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        JudgeSpec(**spec)  # type: ignore[arg-type]
