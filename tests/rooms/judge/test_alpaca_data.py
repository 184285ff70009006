"""AlpacaEval 2's leaderboard, recomputed from its annotations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agora.core.csv_table import CsvTable
from agora.core.length_control import LengthControlled
from agora.core.logistic import sigmoid
from agora.core.records import Verdict
from agora.rooms.judge import Leaderboard, leaderboard, read_judged
from agora.rooms.judge.formats.alpaca_files import token_preference
from agora.rooms.judge.ranking.board import LengthControl
from agora.rooms.judge.scoring.bias import difficulty_by_order, order_bias
from agora.rooms.judge.scoring.length_control import length_control, read_difficulty, read_gamed

JUDGE, BASELINE = "weighted_alpaca_eval_gpt4_turbo", "gpt4_1106_preview"
CONSTANT = "NullModel"


@pytest.fixture(scope="module")
def data(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "alpaca_eval"
    if not folder.is_dir():
        pytest.skip(f"AlpacaEval data not found: {folder}")
    return folder


@pytest.fixture(scope="module")
def verdicts(data: Path) -> dict[str, list[Verdict]]:
    file = read_judged(data / "annotations_compact.csv.zst", judge=JUDGE, baseline=BASELINE)
    out: dict[str, list[Verdict]] = {}
    for verdict in file.verdicts:
        out.setdefault(verdict.model, []).append(verdict)
    return out


@pytest.fixture(scope="module")
def published(data: Path) -> dict[str, dict[str, float]]:
    return table(data / f"leaderboard_{JUDGE}.csv")


@pytest.fixture(scope="module")
def control(data: Path) -> LengthControl:
    difficulty = read_difficulty(data / "instruction_difficulty_recovered.csv")
    return LengthControl(difficulty, read_gamed(data / "gamed_rows_reconstructed.csv", difficulty))


@pytest.fixture(scope="module")
def board(data: Path, control: LengthControl) -> Leaderboard:
    files = [data / "annotations_compact.csv.zst"]
    return leaderboard(files, judge=JUDGE, baseline=BASELINE, control=control, n_boot=100)


def table(path: Path) -> dict[str, dict[str, float]]:
    found = CsvTable.read(path)
    name = found.columns[0]
    return {
        row[name]: {key: float(value) for key, value in row.items() if key not in (name, "mode") and value}
        for row in found.rows
    }


def test_win_rates_errors_wins_and_lengths_equal_the_leaderboard(
    board: Leaderboard, verdicts: dict[str, list[Verdict]], published: Mapping[str, Mapping[str, float]]
) -> None:
    (judged,) = board.tables
    compared = 0
    for row in judged.rows:
        if row.name not in published or row.name == BASELINE:
            continue
        ours, theirs = row.reward.baselines[BASELINE], published[row.name]  # type: ignore[union-attr]
        assert ours.win_rate == pytest.approx(theirs["win_rate"], abs=1e-9)
        assert ours.se is not None and ours.se / 2 == pytest.approx(theirs["standard_error"], abs=1e-9)
        assert ours.discrete_win_rate == pytest.approx(theirs["discrete_win_rate"], abs=1e-9)
        assert ours.counts.win + ours.counts.win_much == theirs["n_wins"]
        assert ours.counts.lose + ours.counts.lose_much == theirs["n_wins_base"]
        assert ours.n == theirs["n_total"]
        if ours.n == 805:
            # theirs counts empty answers in; ours leaves them out, as WildBench does
            assert int(sum(v.n_chars or 0 for v in verdicts[row.name]) / 805) == theirs["avg_length"]
        compared += 1
    assert compared == 50
    assert {row.name for row in judged.rows} - set(published) == {"text_davinci_003"}


def test_published_weights_give_the_published_rates(data: Path, published: Mapping[str, Mapping[str, float]]) -> None:
    weights = table(data / "lc_glm_weights.csv")
    difficulty = np.array(list(read_difficulty(data / "instruction_difficulty_recovered.csv").values()))
    apart = {}
    for model, row in weights.items():
        theirs = published.get(model, {}).get("length_controlled_winrate")
        if theirs is not None:
            _, by_difficulty, constant = row.values()
            # the reference joins by row, so a model with missing rows has the difficulties of the first n instructions
            rows = difficulty[: int(published[model]["n_total"])]
            apart[model] = abs(100 * float(sigmoid(by_difficulty * rows + constant).mean()) - theirs)
    assert len(apart) == 199
    assert {model for model, gap in apart.items() if gap > 1e-6} == {
        "NullModel",
        "Snorkel-Mistral-PairRM-DPO",
        "dbrx-instruct",
        "Meta-Llama-3.1-8B-Instruct-Turbo",
        "Qwen1.5-1.8B-Chat",
    }


def refitted(
    data: Path, verdicts: Mapping[str, list[Verdict]], *, by_row: bool, gamed: bool, control: LengthControl
) -> dict[str, LengthControlled]:
    """LC of every model; with the reference's join, a task's difficulty is that of its row's number."""
    difficulty = dict(control.difficulty or {})
    out = {}
    for model, rows in verdicts.items():
        if model == BASELINE:
            continue
        if by_row:
            difficulty = {v.task_id: (control.difficulty or {})[str(row)] for row, v in enumerate(rows)}
        found = length_control(rows, difficulty=difficulty, gamed=control.gamed if gamed else None)
        out[model] = found[model][BASELINE]
    return out


def gaps(found: Mapping[str, LengthControlled], published: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {
        model: abs(one.rate - published[model]["length_controlled_winrate"])
        for model, one in found.items()
        if model in published and one.rate is not None
    }


def test_refitting_gives_the_published_rates_and_the_gamed_rows_matter(
    data: Path, verdicts: dict[str, list[Verdict]], published: dict[str, dict[str, float]], control: LengthControl
) -> None:
    with_rows = refitted(data, verdicts, by_row=True, gamed=True, control=control)
    errors = gaps(with_rows, published)
    assert len(errors) == 50
    assert np.mean(list(errors.values())) <= 0.06 and max(errors.values()) <= 0.2
    without = refitted(data, verdicts, by_row=True, gamed=False, control=control)
    assert np.mean(list(gaps(without, published).values())) == pytest.approx(1.42, abs=0.02)
    assert with_rows["gpt4_gamed"].rate == pytest.approx(12.3, abs=0.1)
    assert without["gpt4_gamed"].rate == pytest.approx(25.4, abs=0.1)


def test_difficulties_joined_by_row_shift_after_a_missing_row(
    data: Path, verdicts: dict[str, list[Verdict]], published: dict[str, dict[str, float]], control: LengthControl
) -> None:
    model = "gpt35_turbo_instruct"
    _, by_difficulty, constant = table(data / "lc_glm_weights.csv")[model].values()
    difficulty = control.difficulty or {}
    rows = verdicts[model]
    by_row = np.array([difficulty[str(row)] for row in range(len(rows))])
    by_index = np.array([difficulty[v.task_id] for v in rows])
    rates = [100 * float(sigmoid(by_difficulty * column + constant).mean()) for column in (by_row, by_index)]
    assert len(rows) == 804
    assert rates[0] == pytest.approx(published[model]["length_controlled_winrate"], abs=1e-6)
    assert rates[1] - rates[0] == pytest.approx(-0.039, abs=5e-4)
    # our join is by index: refitting a model that lacks rows gives another rate than the reference's
    ours = refitted(data, {model: rows}, by_row=False, gamed=True, control=control)[model].rate
    theirs = refitted(data, {model: rows}, by_row=True, gamed=True, control=control)[model].rate
    assert ours is not None and theirs is not None and abs(ours - theirs) > 1


def test_the_report_finds_the_order_bias_and_that_the_difficulty_holds_it(
    board: Leaderboard, verdicts: dict[str, list[Verdict]], control: LengthControl
) -> None:
    bias = order_bias([v for rows in verdicts.values() for v in rows])
    assert (len(bias.by_model), bias.models_better_second) == (47, 47)
    second, first = (np.mean([50 + pair[i] / 2 for pair in bias.by_model.values()]) / 100 for i in (1, 0))
    assert (second, first) == (pytest.approx(0.114, abs=5e-4), pytest.approx(0.037, abs=5e-4))
    shift = difficulty_by_order([v for rows in verdicts.values() for v in rows], control.difficulty or {})
    assert shift.estimate == pytest.approx(0.634 + 0.736, abs=1e-3)
    se = (shift.high - shift.low) / (2 * 1.96)
    assert shift.estimate / se == pytest.approx(15, abs=1)
    assert any(
        "47 of 47 models do better when shown second" in note and "hold this bias" in note for note in board.notes
    )


def test_difficulty_means_by_place(verdicts: dict[str, list[Verdict]], control: LengthControl) -> None:
    places: dict[str, set[str]] = {}
    for rows in verdicts.values():
        for v in rows:
            if v.order and v.model != BASELINE:
                places.setdefault(v.task_id, set()).add(v.order)
    means: dict[str, list[float]] = {}
    for task, found in places.items():
        (order,) = found  # one place a task, the same for every model: the design flaw
        means.setdefault(order, []).append((control.difficulty or {})[task])
    assert {order: (len(v), round(float(np.mean(v)), 3)) for order, v in means.items()} == {
        "candidate_second": (399, 0.634),
        "candidate_first": (406, -0.736),
    }


def test_log_probabilities_give_the_stored_preferences(data: Path) -> None:
    checked = 0
    for row in CsvTable.read(data / "annotations_compact.csv.zst").rows:
        if row["logprob_m"] and row["logprob_M"] and row["is_switched"]:
            ours = token_preference(
                float(row["logprob_m"]), float(row["logprob_M"]), switched=row["is_switched"] == "1"
            )
            assert ours == pytest.approx(float(row["preference"]), abs=1e-6)
            checked += 1
    assert checked == 37_679


def test_a_constant_answer_is_flagged_and_varied_ones_are_not(
    board: Leaderboard, verdicts: dict[str, list[Verdict]]
) -> None:
    flagged = {note.split(" by ")[0] for note in board.notes if "answers are the same text" in note}
    assert flagged == {CONSTANT}
    assert len({v.meta["answer"] for v in verdicts[CONSTANT]}) == 1
    distinct = {m: len({v.meta["answer"] for v in verdicts[m]}) for m in ("gpt4_gamed", "gemma-2b-it")}
    assert distinct == {"gpt4_gamed": 653, "gemma-2b-it": 784}


def test_length_controlled_rates_have_intervals(board: Leaderboard) -> None:
    rows: dict[str, Any] = {m["name"]: m for m in board.to_json()["models"]}
    for name, row in rows.items():
        against = row["wb_reward"][BASELINE]
        if name == BASELINE:
            assert against["win_rate"] == 50.0 and against["length_controlled_win_rate"] is None
            continue
        low, high = against["length_controlled_ci"]
        assert low < against["length_controlled_win_rate"] < high
        assert not math.isnan(low)
