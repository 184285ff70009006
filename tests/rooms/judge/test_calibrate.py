"""A judge is held against the truth: what it sees, what moves it, and whether the reported intervals hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agora.core.errors import ConfigError
from agora.rooms.judge.asking.dials import DialJudge, Dials
from agora.rooms.judge.commands import app
from agora.rooms.judge.trust.calibrate import Calibration, calibrate, make_cases
from agora.rooms.judge.trust.coverage import CoverageStudy, coverage_study
from agora.rooms.judge.types import PairItem, ScoreItem
from tests.rooms.judge.judge_server import JudgeServer


def measured(judge: str, tmp_path: Path, n: int = 60) -> Calibration:
    return calibrate(judge, tmp_path / "out", num_tasks=n)


def test_the_checker_sees_every_difference_in_full(tmp_path: Path) -> None:
    found = measured("microcosm:checker", tmp_path)
    assert (found.pair_accuracy.estimate, found.auc.estimate) == (1.0, 1.0)
    assert found.gap_seen[:3] == pytest.approx((1.0, 1.0, 1.0))
    assert found.correlation.estimate == pytest.approx(1.0)
    assert (found.order.conflicts, found.unscored, found.sees) == (0, 0.0, True)
    assert found.attack_gain.high <= 0.5


@pytest.mark.parametrize(
    ("dial", "figure"), [("noise", "gap_seen"), ("length", "better_shorter"), ("position", "first_wins")]
)
def test_each_dial_shows_in_its_own_figure(dial: str, figure: str, tmp_path: Path) -> None:
    found = measured(f"microcosm:checker?{dial}=0.4", tmp_path)
    assert found.pair_accuracy.high < 1.0
    if figure == "gap_seen":
        assert found.gap_seen.low < 0.6 < found.gap_seen.high  # its slope
        assert found.order.first_wins.low < 0.5 < found.order.first_wins.high
    elif figure == "better_shorter":
        assert found.better_shorter.high < found.better_longer.low
    else:
        assert found.order.first_wins.low > 0.5
        assert found.gap_seen.estimate == pytest.approx(1.0)  # scores know no position


def test_a_judge_that_goes_by_length_alone_does_not_see(tmp_path: Path) -> None:
    with JudgeServer() as server:
        command = ["calibrate", "--judge", server.uri, "--n", "20", "--out", str(tmp_path / "out"), "--json"]
        result = CliRunner().invoke(app, command)
        calls = len(server.prompts)
        assert CliRunner().invoke(app, command).exit_code == 1
        assert len(server.prompts) == calls <= 20 * 6
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert not found["sees"]
    assert found["better_longer"][0] == 1.0 and found["better_shorter"][0] == 0.0


def test_a_judge_that_gives_no_value_is_said_to_be_none(tmp_path: Path) -> None:
    with JudgeServer() as server:
        server.garble = 10**6
        command = ["calibrate", "--judge", server.uri, "--n", "10", "--out", str(tmp_path / "out")]
        result = CliRunner().invoke(app, command)
    assert "cannot be calibrated: it gave no values" in str(result.exception)


def test_cases_are_the_same_for_a_seed_and_flawed_answers_score_less() -> None:
    tasks, answers, truth = make_cases(30, 1)
    assert (tasks.sha, answers) == (make_cases(30, 1)[0].sha, make_cases(30, 1)[1])
    assert tasks.sha != make_cases(30, 2)[0].sha
    assert all(truth[t.id, "right"] == 10 > truth[t.id, "flawed"] for t in tasks)


@pytest.mark.parametrize("uri", ["noise=2", "noise=-1", "noise=0.6&length=0.6", "colour=1", "noise=much"])
def test_dials_out_of_range_or_unknown_are_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        Dials.parse(f"microcosm:checker?{uri}")


@given(st.floats(0, 0.5), st.floats(0, 0.25), st.floats(0, 0.25))
def test_a_dial_judge_is_named_by_what_it_does(noise: float, length: float, position: float) -> None:
    dials = Dials(round(noise, 3), round(length, 3), round(position, 3))
    assert Dials.parse(dials.uri) == dials


def test_a_dial_judge_says_the_same_again_and_errs_as_often_as_it_is_told() -> None:
    tasks, answers, _ = make_cases(80, 0)
    right = [a for a in answers if a.model == "right"]
    flawed = {a.task_id: a for a in answers if a.model == "flawed"}
    judge = DialJudge(Dials(noise=0.3, position=0.2), seed=5)
    items = [ScoreItem(tasks.by_id[a.task_id], a) for a in right]
    first, again = list(judge.score(items)), list(judge.score(items))
    assert first == again
    moved = [v for v in first if v.parsed.get("moved_by") == "noise"]
    assert 0.15 < len(moved) / len(first) < 0.45
    pairs = [PairItem(tasks.by_id[a.task_id], a, flawed[a.task_id], "candidate_second") for a in right]
    by_position = [v for v in judge.compare(pairs) if v.parsed.get("moved_by") == "position"]
    assert by_position and {v.value for v in by_position} == {-0.5}


def held(study: CoverageStudy) -> tuple[float, float]:
    return study.score_difference.held.estimate, study.reward.held.estimate


def test_a_few_studies_hold_the_truth_more_often_than_not() -> None:
    study = coverage_study(Dials(noise=0.2), num_studies=30, num_tasks=60, pool_size=200, n_boot=500)
    assert min(held(study)) > 0.75


@pytest.mark.slow
@pytest.mark.parametrize("dials", [Dials(), Dials(noise=0.3), Dials(noise=0.1, position=0.3)])
def test_intervals_of_a_judge_of_known_error_hold_the_true_gap_at_their_nominal_rate(dials: Dials) -> None:
    study = coverage_study(dials, num_studies=400, n_boot=500)
    # 95 % +- three standard errors of 400 studies
    assert all(0.917 < share < 0.983 for share in held(study)), held(study)


@pytest.mark.slow
def test_a_bias_is_in_no_interval_and_a_fixed_order_is_a_bias() -> None:
    by_length = coverage_study(Dials(length=0.3), num_studies=100, n_boot=500)
    assert by_length.score_difference.mean - by_length.score_difference.truth < -3
    drawn = coverage_study(Dials(position=0.4), num_studies=100, n_boot=500)
    fixed = coverage_study(Dials(position=0.4), order="first", num_studies=100, n_boot=500)
    assert abs(drawn.reward.mean - drawn.reward.truth) < 3
    assert fixed.reward.mean - fixed.reward.truth > 10
    assert fixed.reward.held.high < 0.8 < drawn.reward.held.low


def test_studies_need_a_judge_whose_error_is_known() -> None:
    result = CliRunner().invoke(app, ["calibrate", "--judge", "openai:gpt", "--studies", "10"])
    assert "whose error is known" in str(result.exception)
