"""The published WildBench figures, recomputed from the stored verdicts and leaderboards."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.stats import bootstrap_mean, pearson, spearman
from agora.rooms.judge import (
    Counts,
    Leaderboard,
    ReplayJudge,
    judge_scores,
    leaderboard,
    macro,
    paired_difference,
    read_judged,
    read_judged_answers,
    score_report,
)
from agora.rooms.judge.types import GROUP_WEIGHTS, GROUP_WEIGHTS_JUNE
from tests.rooms.judge.support import make_task

TURBO, OMNI = "gpt-4-turbo-2024-04-09", "gpt-4o-2024-05-13"
WB_SCORES = {
    (TURBO, "Llama-3-8B-OpenHermes-243K"): (17.6644, 1019),
    (TURBO, "Llama-3-8B-ShareGPT-112K"): (25.1322, 1021),
    (TURBO, "Llama-3-8B-Tulu-330K"): (25.4617, 1018),
    (TURBO, "Llama-3-8B-Ultrachat-200K"): (20.3320, 1024),
    (TURBO, "Llama-3-8B-WildChat"): (28.8454, 1022),
    (TURBO, "Llama-3-8B-WizardLM-196K"): (21.5430, 1024),
    (TURBO, "Phi-3-mini-128k-instruct"): (38.1623, 1023),
    (TURBO, "Qwen1.5-72B-Chat-greedy"): (55.9335, 1023),
    (TURBO, "gemma-2b-it"): (6.2109, 1024),
    (TURBO, "gemma-7b-it"): (23.8672, 1024),
    (TURBO, "gpt-3.5-turbo-0125"): (42.1094, 1024),
    (TURBO, "reka-flash-20240226"): (48.2031, 1024),
    (OMNI, "Phi-3-mini-128k-instruct"): (25.6751, 1022),
    (OMNI, "Qwen1.5-72B-Chat"): (44.4074, 1021),
}


@pytest.fixture(scope="module")
def data(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "wildbench"
    if not folder.is_dir():
        pytest.skip(f"WildBench data not found: {folder}")
    return folder


@pytest.fixture(scope="module")
def board(data: Path) -> Leaderboard:
    return leaderboard([data / "judged"])


@pytest.fixture(scope="module")
def turbo(data: Path) -> dict[str, dict[str, float]]:
    """Scores of the 12 models by the paper's judge: model -> task -> score."""
    files = [read_judged(path) for path in sorted((data / "judged" / f"{TURBO}.v2.0522").iterdir())]
    return {f.verdicts[0].model: {v.task_id: v.value or 0.0 for v in f.verdicts} for f in files}


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_all_14_published_scores_and_counts_recompute(board: Leaderboard) -> None:
    models = {(m["judge"], m["name"]): m for m in board.to_json()["models"]}
    assert {key: (round(m["wb_score"], 4), m["n"]) for key, m in models.items()} == WB_SCORES
    assert all(m["coverage"] == m["n"] / 1024 for m in models.values())
    assert all(m["wb_score_ci"][0] < m["wb_score"] < m["wb_score_ci"][1] for m in models.values())
    assert [len(t.rows) for t in board.tables] == [12, 2]


def test_scores_by_the_second_judge_equal_the_june_leaderboard_to_the_last_digit(
    data: Path, board: Leaderboard
) -> None:
    published = load(data / "leaderboard" / "snapshot_2024-06-18" / "score.json")
    rows = {row.name: row.score for row in board.tables[1].rows}
    for name in ("Phi-3-mini-128k-instruct", "Qwen1.5-72B-Chat"):
        assert rows[name] is not None
        assert rows[name].wb_score == pytest.approx(published[name]["adjusted_score"] * 10, abs=1e-12)


def test_the_five_empty_answers_are_found(board: Leaderboard) -> None:
    empty = {row.name: row.score.empty for row in board.tables[0].rows if row.score and row.score.empty}
    assert empty == {"gemma-2b-it": 1, "gemma-7b-it": 1, "reka-flash-20240226": 3}


def test_standard_errors(board: Leaderboard) -> None:
    errors = {row.name: row.score.se for row in board.tables[0].rows if row.score}
    assert errors["gemma-2b-it"] == pytest.approx(1.26, abs=0.01)
    assert errors["Qwen1.5-72B-Chat-greedy"] == pytest.approx(0.85, abs=0.01)
    assert errors["gpt-3.5-turbo-0125"] == pytest.approx(1.04, abs=0.01)


@pytest.mark.parametrize(
    ("first", "second", "value", "se"),
    [
        ("Llama-3-8B-WildChat", "Llama-3-8B-Tulu-330K", 3.60, 0.99),
        ("Llama-3-8B-Tulu-330K", "Llama-3-8B-ShareGPT-112K", 0.10, 0.90),
        ("reka-flash-20240226", "gpt-3.5-turbo-0125", 6.09, 1.08),
    ],
)
def test_paired_differences(
    turbo: dict[str, dict[str, float]], first: str, second: str, value: float, se: float
) -> None:
    found = paired_difference(turbo[first], turbo[second], names=(first, second))
    assert found.value == pytest.approx(value, abs=0.01)
    assert found.se == pytest.approx(se, abs=0.01)
    assert found.interval is not None and found.interval.low < value < found.interval.high


def test_wins_ties_and_losses_on_common_tasks(turbo: dict[str, dict[str, float]]) -> None:
    found = paired_difference(turbo["Llama-3-8B-WildChat"], turbo["Llama-3-8B-Tulu-330K"], names=("a", "b"))
    assert (found.wins, found.ties, found.losses) == (378, 394, 245)
    assert len(set.intersection(*(set(scores) for scores in turbo.values()))) == 1010


def test_61_of_66_pairs_are_separable_paired_and_53_unpaired(turbo: dict[str, dict[str, float]]) -> None:
    pairs = list(itertools.combinations(turbo, 2))
    paired = [paired_difference(turbo[a], turbo[b], names=(a, b), n_boot=None) for a, b in pairs]
    assert (len(pairs), sum(d.separable for d in paired)) == (66, 61)
    bounds = {name: bootstrap_mean(list(scores.values())) for name, scores in turbo.items()}
    apart = [bounds[a].low > bounds[b].high or bounds[b].low > bounds[a].high for a, b in pairs]
    assert sum(apart) == 53


def test_the_board_shows_which_neighbors_are_separable(board: Leaderboard) -> None:
    marks = {(d.first, d.second): d.separable for d in board.tables[0].neighbors}
    assert marks["reka-flash-20240226", "gpt-3.5-turbo-0125"]
    assert not marks["Llama-3-8B-Tulu-330K", "Llama-3-8B-ShareGPT-112K"]
    assert sum(marks.values()) == 7


def test_two_judges_on_the_same_answers_agree_as_measured(data: Path) -> None:
    from agora.core.agreement import cohen_kappa

    name = "Phi-3-mini-128k-instruct.jsonl.zst"
    by_judge = [
        {v.task_id: v.value for v in read_judged(data / "judged" / f"{judge}.v2.0522" / name).verdicts}
        for judge in (TURBO, OMNI)
    ]
    common = [task for task in by_judge[0] if task in by_judge[1]]
    a, b = ([float(scores[task] or 0) for task in common] for scores in by_judge)
    gaps = [abs(x - y) for x, y in zip(a, b, strict=True)]
    assert len(common) == 1022
    assert sum(a) / len(a) == pytest.approx(6.9061, abs=5e-5)
    assert sum(b) / len(b) == pytest.approx(6.2838, abs=5e-5)
    assert pearson(a, b).estimate == pytest.approx(0.8150, abs=5e-5)
    assert spearman(a, b).estimate == pytest.approx(0.7960, abs=5e-5)
    assert sum(gap == 0 for gap in gaps) / len(gaps) == pytest.approx(0.402, abs=5e-4)
    assert sum(gap <= 1 for gap in gaps) / len(gaps) == pytest.approx(0.829, abs=5e-4)
    assert cohen_kappa(a, b, weights="quadratic") == pytest.approx(0.7652, abs=5e-5)


@pytest.mark.parametrize(
    ("snapshot", "weights", "num_models"),
    [("final_2024-08-01", GROUP_WEIGHTS, 61), ("snapshot_2024-06-18", GROUP_WEIGHTS_JUNE, 47)],
)
def test_macro_scores_of_the_leaderboards_recompute(
    data: Path, snapshot: str, weights: dict[str, float], num_models: int
) -> None:
    models = load(data / "leaderboard" / snapshot / "score.json")
    assert len(models) == num_models
    for model in models.values():
        ours = macro(model["task_categorized_scores"], weights)
        assert ours == pytest.approx(model["task_macro_score"], abs=1e-12)


@pytest.mark.parametrize(
    ("snapshot", "weights"), [("final_2024-08-01", GROUP_WEIGHTS), ("snapshot_2024-06-18", GROUP_WEIGHTS_JUNE)]
)
def test_rewards_and_macro_rewards_of_the_leaderboards_recompute(
    data: Path, snapshot: str, weights: dict[str, float]
) -> None:
    differing = 0
    for path in sorted((data / "leaderboard" / snapshot).glob("pairwise-*.json")):
        for model in load(path).values():
            counts = Counts(*(model[name] for name in Counts._fields))
            assert counts.reward(model["total"]) == pytest.approx(model["reward"], abs=1e-12)
            assert macro(model["task_categorized_rewards"], weights) == pytest.approx(
                model["task_macro_reward"], abs=1e-12
            )
            # what was skipped there counts as a tie; over the counted comparisons the reward is never smaller in size
            ours = counts.reward()
            assert ours is not None and abs(ours) >= abs(model["reward"])
            differing += ours != model["reward"]
    assert differing


def test_the_margin_moves_slight_outcomes_into_ties_in_the_published_counts(data: Path) -> None:
    folder = data / "leaderboard" / "final_2024-08-01"
    for baseline in ("haiku", "gpt4t", "llama"):
        off, k500 = (load(folder / f"pairwise-{baseline}-K={k}.json") for k in (-1, 500))
        for name, a in off.items():
            b = k500[name]
            assert (a["win_much"], a["lose_much"]) == (b["win_much"], b["lose_much"])
            assert b["tie"] - a["tie"] == (a["win"] - b["win"]) + (a["lose"] - b["lose"])


def test_replaying_a_judged_file_gives_the_same_score_and_is_never_asked_twice(data: Path, tmp_path: Path) -> None:
    path = data / "judged" / f"{TURBO}.v2.0522" / "Llama-3-8B-WizardLM-196K.jsonl.zst"
    answers = read_judged_answers(path)
    tasks = [make_task(answer.task_id) for answer in answers]

    class Counted(ReplayJudge):
        asked = 0

        def score(self, items: Any) -> Any:
            for item in items:
                Counted.asked += 1
                if Counted.asked == 500:
                    raise KeyboardInterrupt
                yield from super().score([item])

    judge = Counted(read_judged(path).verdicts)
    with pytest.raises(KeyboardInterrupt):
        judge_scores(tasks, answers, judge, tmp_path / "v.jsonl")
    verdicts = judge_scores(tasks, answers, judge, tmp_path / "v.jsonl")
    report = score_report(verdicts)
    assert report.wb_score is not None and round(report.wb_score, 4) == 21.5430
    assert Counted.asked == 1024 + 1
