"""What WildBench's stored verdicts and leaderboards say about rankings, recomputed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agora.core.records import Verdict
from agora.core.stats import bootstrap, spearman
from agora.rooms.judge import read_judged, read_judged_answers
from agora.rooms.judge.ranking.separability import separability
from agora.rooms.judge.ranking.strengths import length_strengths, strengths
from agora.rooms.judge.ranking.votes import ScoreMatrix, Votes, score_votes
from agora.rooms.judge.scoring.legacy import PublishedBoard, dropped_by_name
from agora.rooms.judge.trust.meta import Rated, correlate
from agora.rooms.judge.trust.meta_files import read_metrics
from agora.rooms.judge.trust.power import subset_stability

TURBO = "gpt-4-turbo-2024-04-09.v2.0522"
ANCHOR = "gpt-3.5-turbo-0125"
SNAPSHOTS = ("final_2024-08-01", "snapshot_2024-06-18")
FOURTEEN = [
    "gpt-4-turbo-2024-04-09",
    "claude-3-opus-20240229",
    "Meta-Llama-3-70B-Instruct",
    "Qwen1.5-72B-Chat",
    "claude-3-sonnet-20240229",
    "mistral-large-2402",
    "dbrx-instruct@together",
    "Mixtral-8x7B-Instruct-v0.1",
    "Meta-Llama-3-8B-Instruct",
    "tulu-2-dpo-70b",
    "Llama-2-70b-chat-hf",
    "Llama-2-7b-chat-hf",
    "gemma-7b-it",
    "gemma-2b-it",
]


@pytest.fixture(scope="module")
def data(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "wildbench"
    if not folder.is_dir():
        pytest.skip(f"WildBench data not found: {folder}")
    return folder


@pytest.fixture(scope="module")
def verdicts(data: Path) -> dict[str, list[Verdict]]:
    """The 12 models; lengths of stripped answers, as the reference's votes have them."""
    out = {}
    for path in sorted((data / "judged" / TURBO).iterdir()):
        lengths = {a.task_id: len(a.output.strip()) for a in read_judged_answers(path)}
        rows = [replace(v, n_chars=lengths[v.task_id]) for v in read_judged(path).verdicts]
        out[rows[0].model] = rows
    return out


@pytest.fixture(scope="module")
def matrix(verdicts: dict[str, list[Verdict]]) -> ScoreMatrix:
    return ScoreMatrix.of(verdicts)


@pytest.fixture(scope="module")
def votes(matrix: ScoreMatrix) -> Votes:
    return score_votes(matrix, tie_margin=2)


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_separable_pairs_and_common_tasks(matrix: ScoreMatrix) -> None:
    found = separability(matrix.values_TM, matrix.models, scale=20, shift=-100)
    assert (len(found.pairs), found.num_paired, found.num_unpaired, found.num_common) == (66, 61, 53, 1010)
    assert found.ranks["Qwen1.5-72B-Chat-greedy"] == (1, 1)
    assert found.ranks["gemma-7b-it"][0] < found.ranks["gemma-7b-it"][1]


def test_votes_and_what_the_length_rule_does_to_them(votes: Votes) -> None:
    long = np.abs(votes.gap_N) > 1500
    assert (len(votes), int(votes.decisive.sum()), int(long.sum())) == (64_032, 22_735, 8_659)
    assert (int((long & votes.decisive).sum()), int((long & votes.shorter_won).sum())) == (4_733, 972)
    kept = votes.without_long_gaps(1500)
    assert int(kept.decisive.sum()) == 22_735 - 4_733


def test_ratings_relative_to_one_model(votes: Votes) -> None:
    ratings = strengths(votes, anchor=ANCHOR, n_boot=200).ratings
    expected = {
        "Qwen1.5-72B-Chat-greedy": 1064.3,
        "reka-flash-20240226": 1027.5,
        "Phi-3-mini-128k-instruct": 985.4,
        "Llama-3-8B-WildChat": 942.8,
        "gemma-7b-it": 910.9,
        "gemma-2b-it": 824.2,
    }
    assert {name: ratings[name].estimate for name in expected} == pytest.approx(expected, abs=0.5)


def test_ratings_at_equal_length(votes: Votes) -> None:
    found = length_strengths(votes, anchor=ANCHOR, n_boot=200)
    assert found.coefficients["length"].estimate == pytest.approx(0.328, abs=0.005)
    assert found.ratings["Qwen1.5-72B-Chat-greedy"].estimate == pytest.approx(1037.4, abs=0.5)
    assert found.ratings["gemma-2b-it"].estimate == pytest.approx(839.5, abs=0.5)


def test_a_quarter_of_the_tasks_keeps_the_ranking(matrix: ScoreMatrix) -> None:
    found = {row.num_tasks: row.mean for row in subset_stability(matrix.values_TM, (64, 128, 256, 512))}
    assert found[256] == pytest.approx(0.986, abs=0.004)
    assert found == pytest.approx({64: 0.953, 128: 0.973, 256: 0.986, 512: 0.993}, abs=0.006)


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
@pytest.mark.parametrize("margin", [None, 500])
def test_the_published_tables_are_rebuilt(data: Path, snapshot: str, margin: int | None) -> None:
    folder = data / "leaderboard" / snapshot
    published = load(folder / f"all_stat_wildbench.{-1 if margin is None else margin}.json")
    ours = PublishedBoard.read(folder, margin).table(legacy=True)
    assert list(ours) == list(published)
    for model, row in published.items():
        assert ours[model].keys() == row.keys()
        for column, value in row.items():
            found = ours[model][column]
            assert found == (value if isinstance(value, str) else pytest.approx(value, abs=1e-9))


@pytest.mark.parametrize("margin", [None, 500])
def test_what_was_never_compared_is_missing_and_makes_no_mix(data: Path, margin: int | None) -> None:
    folder = data / "leaderboard" / "final_2024-08-01"
    table, k = PublishedBoard.read(folder, margin).table(), -1 if margin is None else margin
    cells = [(m, name, row[f"{name}_reward.K={k}"]) for m, row in table.items() for name in ("haiku", "llama", "gpt4t")]
    assert sum(value is None for *_, value in cells) == 36
    assert sum(row[f"mixture_of_rewards.K={k}"] is None for row in table.values()) == 12
    assert sorted((m, name) for m, name, value in cells if value == 0) == [
        ("Llama-2-70b-chat-hf", "llama"),
        ("claude-3-haiku-20240307", "haiku"),
        ("gpt-4-turbo-2024-04-09", "gpt4t"),
    ]
    assert table["gpt-4o-mini-2024-07-18"]["Rank_TaskMacroReward.K"] is None


def test_rewards_over_counted_comparisons_are_larger_than_published(data: Path) -> None:
    folder = data / "leaderboard" / "final_2024-08-01"
    right, published = (PublishedBoard.read(folder).table(legacy=legacy) for legacy in (False, True))
    column = "haiku_reward.K=-1"
    assert published["gpt-4o-2024-05-13"][column] == pytest.approx(43.26, abs=5e-3)
    assert right["gpt-4o-2024-05-13"][column] == pytest.approx(49.06, abs=5e-3)
    shrunk = [
        abs(row[f"{name}_reward.K=-1"]) - abs(published[model][f"{name}_reward.K=-1"])
        for model, row in right.items()
        for name in ("haiku", "llama", "gpt4t")
        if row[f"{name}_reward.K=-1"] is not None
    ]
    assert min(shrunk) >= 0 and max(shrunk) == pytest.approx(8.1, abs=0.05)


def test_models_with_a_number_in_their_name_are_missing_from_the_final_scores(data: Path) -> None:
    scores = load(data / "leaderboard" / "final_2024-08-01" / "score.json")
    assert not any(dropped_by_name(model) for model in scores)
    assert dropped_by_name("Phi-3-mini-128k-instruct") and dropped_by_name("Phi-3-medium-128k-instruct")
    # we judge a file by its rows
    path = data / "judged" / TURBO / "Phi-3-mini-128k-instruct.jsonl.zst"
    assert len(read_judged(path).verdicts) == 1023


@pytest.mark.parametrize(
    ("column", "top", "everyone"),
    [
        ("WB_score", 0.959, 0.950),
        ("WB_score.task_macro", 0.966, 0.966),
        ("mixture_of_rewards.K=-1", 0.981, 0.968),
        ("task_macro_reward.K=-1", 0.979, 0.980),
        ("Length", 0.490, 0.561),
        ("WB_Elo", 1.000, 1.000),  # circular: it starts from the ratings it is compared with
    ],
)
def test_correlations_of_the_june_snapshot(data: Path, column: str, top: float, everyone: float) -> None:
    folder = data / "leaderboard" / "snapshot_2024-06-18"
    metrics = read_metrics(folder / "all_stat_wildbench.-1.json")
    human = metrics["Arena Elo (hard) - 2024-05-20"]
    ratings = {model: metrics[column][model] for model in FOURTEEN}
    paper = load(data / "paper_table3.json")["top6"]
    (row,) = correlate({column: ratings}, human).correlations
    (six,) = correlate({column: {model: ratings[model] for model in paper}}, human).correlations
    assert (row.n, six.n) == (14, 6)
    assert row.pearson.estimate == pytest.approx(everyone, abs=6e-4)
    assert six.pearson.estimate == pytest.approx(top, abs=6e-4)


@pytest.mark.parametrize(
    ("column", "n", "p", "s"),
    [
        ("WB_score", 35, 0.928, 0.933),
        ("WB_score.task_macro", 35, 0.953, 0.961),
        ("mixture_of_rewards.K=-1", 32, 0.951, 0.961),
        ("task_macro_reward.K=-1", 32, 0.964, 0.969),
        ("AE2.0 LC", 16, 0.947, 0.946),
        ("Arena-Hard v0.1", 23, 0.927, 0.969),
    ],
)
def test_correlations_of_the_final_leaderboard(data: Path, column: str, n: int, p: float, s: float) -> None:
    board = PublishedBoard.read(data / "leaderboard" / "final_2024-08-01")
    there, table = board.table(), board.table(legacy=True)  # published values, without the zeros of what is missing
    human = floats(table, "Arena Elo (hard-en) - latest")
    ratings = {
        model: Rated(value) for model, value in floats(table, column).items() if there[model][column] is not None
    }
    (row,) = correlate({column: ratings}, {m: Rated(v) for m, v in human.items()}).correlations
    assert row.n == n
    assert (row.pearson.estimate, row.spearman.estimate) == (pytest.approx(p, abs=6e-4), pytest.approx(s, abs=6e-4))


def test_rewards_over_counted_comparisons_follow_people_a_little_better(data: Path) -> None:
    board = PublishedBoard.read(data / "leaderboard" / "final_2024-08-01")
    right, published = board.table(), board.table(legacy=True)
    column = "mixture_of_rewards.K=-1"
    human = {m: Rated(v) for m, v in floats(right, "Arena Elo (hard-en) - latest").items()}
    models = floats(right, column)
    metrics = {
        "right": {m: Rated(v) for m, v in models.items()},
        "published": {m: Rated(published[m][column]) for m in models},
        "with zeros": {m: Rated(row[column]) for m, row in published.items()},
    }
    found = {row.metric: (row.n, round(row.pearson.estimate, 3)) for row in correlate(metrics, human).correlations}
    assert found == {"right": (32, 0.954), "published": (32, 0.951), "with zeros": (35, 0.933)}


@pytest.mark.parametrize(("column", "low", "high"), [("WB_score", 0.85, 0.97), ("WB_score.task_macro", 0.90, 0.985)])
def test_bootstrap_intervals_over_models(data: Path, column: str, low: float, high: float) -> None:
    table = PublishedBoard.read(data / "leaderboard" / "final_2024-08-01").table()
    human, ours = floats(table, "Arena Elo (hard-en) - latest"), floats(table, column)
    models = sorted(human.keys() & ours.keys())
    columns = [ours[m] for m in models], [human[m] for m in models]
    found = bootstrap(lambda x, y: spearman(x, y).estimate, *columns, n_boot=1000)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.015), pytest.approx(high, abs=0.015))


def floats(table: dict[str, dict[str, Any]], column: str) -> dict[str, float]:
    """A column without its gaps ("-", missing)."""
    return {m: float(row[column]) for m, row in table.items() if row.get(column) not in (None, "-")}


def test_the_papers_metrics_cannot_be_told_apart_by_six_models(data: Path) -> None:
    table = load(data / "paper_table2.json")
    six = load(data / "paper_table3.json")["top6"]
    columns = {"WB-Score": "score", "Arena-Hard": "AH", "AlpacaEval2-LC": "LC", "mix": "mix"}
    metrics = {name: {m: Rated(table[m][column]) for m in six} for name, column in columns.items()}
    report = correlate(metrics, {m: Rated(table[m]["elo"]) for m in six})
    assert [row.metric for row in report.correlations] == ["mix", "WB-Score", "Arena-Hard", "AlpacaEval2-LC"]
    assert not any(gap.separable for gap in report.gaps)
    by_elo = {m: row["elo"] for m, row in table.items() if None not in (row["elo"], row["AH"], row["LC"], row["WR"])}
    whole = {name: {m: Rated(table[m][column]) for m in by_elo} for name, column in columns.items()}
    picked = correlate(whole, {m: Rated(v) for m, v in by_elo.items()}, top=6)
    assert {row.metric: row.pearson.estimate for row in picked.correlations} == pytest.approx(
        {row.metric: row.pearson.estimate for row in report.correlations}
    )
