"""Published and measured figures, recomputed from real verdicts of judges."""

from __future__ import annotations

import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from agora.core.agreement import cohen_kappa
from agora.core.ranking import Battle, bradley_terry
from agora.core.stats import kendall, paired_bootstrap, pearson, spearman, standard_error

GPT4T, GPT4O = "gpt-4-turbo-2024-04-09.v2.0522", "gpt-4o-2024-05-13.v2.0522"
NINE = {
    "Arena-Hard": "AH",
    "AlpacaEval2-LC": "LC",
    "AlpacaEval2": "WR",
    "WB-Score": "score",
    "WB-Reward mix K=inf": "mix",
}


def judged(shared: Path, judge: str, model: str) -> list[dict[str, Any]]:
    path = shared / "data" / "wildbench" / "judged" / judge / f"{model}.jsonl.zst"
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        return [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8")]


def scores(shared: Path, judge: str, model: str) -> dict[str, int]:
    return {row["session_id"]: int(row["score"]) for row in judged(shared, judge, model)}


@pytest.mark.parametrize(
    ("model", "error"), [("gemma-2b-it", 1.26), ("Qwen1.5-72B-Chat-greedy", 0.85), ("gpt-3.5-turbo-0125", 1.04)]
)
def test_standard_error_of_a_wb_score(shared_dir: Path, model: str, error: float) -> None:
    assert 20 * standard_error(scores(shared_dir, GPT4T, model).values()) == pytest.approx(error, abs=0.01)


def test_two_judges_of_the_same_answers(shared_dir: Path) -> None:
    first, second = (scores(shared_dir, judge, "Phi-3-mini-128k-instruct") for judge in (GPT4T, GPT4O))
    common = sorted(first.keys() & second.keys())
    a, b = [first[k] for k in common], [second[k] for k in common]
    assert len(common) == 1022
    assert pearson(a, b).estimate == pytest.approx(0.8150, abs=5e-5)
    assert spearman(a, b).estimate == pytest.approx(0.7960, abs=5e-5)
    assert cohen_kappa(a, b, "quadratic") == pytest.approx(0.7652, abs=5e-5)
    assert paired_bootstrap(a, b).estimate == pytest.approx(6.9061 - 6.2838, abs=1e-4)


@pytest.mark.parametrize("metric", list(NINE))
def test_correlations_of_the_paper_with_human_elo(shared_dir: Path, metric: str) -> None:
    folder = shared_dir / "data" / "wildbench"
    table = json.loads((folder / "paper_table2.json").read_text())
    published = json.loads((folder / "paper_table3.json").read_text())
    column = NINE[metric]
    everyone = [row for row in table.values() if None not in (row["elo"], row["AH"], row["LC"], row["WR"])]
    top = [table[name] for name in published["top6"]]
    x, elo = [row[column] for row in everyone], [row["elo"] for row in everyone]
    ours = (
        pearson([row[column] for row in top], [row["elo"] for row in top]).estimate,
        pearson(x, elo).estimate,
        spearman(x, elo).estimate,
        kendall(x, elo).estimate,
    )
    assert len(everyone) == 14
    assert ours == pytest.approx(published["rows"][metric], abs=0.0011)  # the table's inputs are rounded


@pytest.mark.parametrize(
    ("column", "low", "high"),
    [("score", 0.64, 0.995), ("AH", 0.37, 0.990), ("LC", 0.29, 0.988), ("mix", 0.86, 0.998)],
)
def test_six_models_leave_wide_intervals(shared_dir: Path, column: str, low: float, high: float) -> None:
    folder = shared_dir / "data" / "wildbench"
    table = json.loads((folder / "paper_table2.json").read_text())
    top = [table[name] for name in json.loads((folder / "paper_table3.json").read_text())["top6"]]
    ours = pearson([row[column] for row in top], [row["elo"] for row in top])
    assert ours.n == 6
    assert ours.low == pytest.approx(low, abs=0.01)
    assert ours.high == pytest.approx(high, abs=0.001)


def votes(shared: Path) -> list[Battle]:
    """One battle a task and pair: a difference of 2 wins, less is a tie; empty and cut answers are left out."""
    verdicts = {}
    for path in sorted((shared / "data" / "wildbench" / "judged" / GPT4T).iterdir()):
        model = path.name.removesuffix(".jsonl.zst")
        whole = [(row, row["output"].strip()) for row in judged(shared, GPT4T, model)]
        verdicts[model] = {
            row["session_id"]: int(row["score"]) for row, text in whole if text and not text.endswith("... (truncated)")
        }
    battles = []
    for a, b in combinations(verdicts, 2):
        for task in sorted(verdicts[a].keys() & verdicts[b].keys()):
            gap = verdicts[a][task] - verdicts[b][task]
            battles.append(Battle(a, b, 1.0 if gap >= 2 else 0.0 if gap <= -2 else 0.5, 1.0, task))
    return battles


@pytest.mark.slow
def test_ratings_from_twelve_judged_models(shared_dir: Path) -> None:
    battles = votes(shared_dir)
    assert len(battles) == 64_032
    assert sum(battle.outcome != 0.5 for battle in battles) == 22_735
    ranking = bradley_terry(battles, n_boot=1000)
    ratings = ranking.ratings(anchor="gpt-3.5-turbo-0125")
    expected = {
        "Qwen1.5-72B-Chat-greedy": 1064.3,
        "reka-flash-20240226": 1027.5,
        "Phi-3-mini-128k-instruct": 985.4,
        "Llama-3-8B-WildChat": 942.8,
        "gemma-7b-it": 910.9,
        "gemma-2b-it": 824.2,
    }
    assert {name: ratings[name].estimate for name in expected} == pytest.approx(expected, abs=0.5)
    assert not ranking.separated
    assert ranking.separated_share == 0
    loose = bradley_terry([b._replace(task=None) for b in battles], n_boot=1000).ratings(anchor="gpt-3.5-turbo-0125")
    widths = [
        np.mean([interval.high - interval.low for name, interval in r.items() if name in expected])
        for r in (ratings, loose)
    ]
    assert widths[0] > 1.5 * widths[1]  # votes on one task are not independent
