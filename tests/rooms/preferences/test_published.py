"""Every published figure is recomputed from the stored rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agora.core.errors import DataError, MissingError
from agora.rooms.preferences.published import check_published
from agora.rooms.preferences.published_data import (
    alpaca_eval,
    category_averages,
    human_study,
    llmbar_judges,
    llmbar_longer_wins,
    ppo_against_dpo,
    read_human_study,
    read_llmbar,
)


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "data/preference"


def test_all_1725_published_figures_are_ours_too(folder: Path) -> None:
    figures = check_published(folder)
    assert [figure for figure in figures if not figure.equal] == []
    assert Counter(figure.group for figure in figures) == {
        "LLMBar, longer wins (%)": 10,
        "LLMBar, judges (%)": 5 * 325,
        "Tülu human study": 38,
        "AlpacaEval 1": 12,
        "Tables 1-2, average of six categories": 25,
        "PPO minus DPO": 15,
    }


def test_length_alone_on_llmbar(folder: Path) -> None:
    found = llmbar_longer_wins(folder / "llmbar/llmbar_pairs.jsonl.gz")
    shown = {name: (round(100 * g.accuracy.estimate, 1), g.accuracy.n) for name, g in found.items()}
    assert shown == {
        "natural": (56.0, 100),
        "adver_neighbor": (11.9, 134),
        "adver_gptinst": (13.0, 92),
        "adver_gptout": (44.7, 47),
        "adver_manual": (17.4, 46),
        "prior_fair_eval": (59.1, 66),
        "prior_llmeval2": (60.5, 200),
        "prior_mt_bench": (68.0, 200),
        "LLMBar": (27.0, 419),
        "adversarial": (17.9, 319),
    }


def test_a_judge_of_llmbar_in_both_orders(folder: Path) -> None:
    judge = llmbar_judges(folder / "llmbar")["natural|GPT-4/Vanilla"]
    assert [round(100 * judge[i].estimate) for i in (0, 1, 3, 4)] == [95, 96, 93, 95]  # type: ignore[union-attr]
    assert judge.original.low < 0.95 < judge.original.high


def test_people_on_chatgpt_against_tulu(folder: Path) -> None:
    path = folder / "tulu_human_eval/annotations.jsonl.gz"
    result = human_study(path)[0]
    assert (result.first, result.second, result.n, result.counts) == ("chatgpt", "tulu_65B", 332, (66, 64, 110, 68, 24))
    assert result.agreement.exact.n == result.num_double == 63
    assert round(result.agreement.exact.estimate, 4) == 0.5556
    assert round(result.agreement.relaxed.estimate, 4) == 0.6825
    assert {model: round(share.estimate, 4) for model, share in result.acceptance.items()} == {
        "chatgpt": 0.9006,
        "tulu_65B": 0.7922,
    }
    assert len(list(read_human_study(path))) == 1150


def test_alpaca_eval_counts_what_was_judged(folder: Path) -> None:
    found = alpaca_eval(folder / "alpaca_eval_v1/pairs.jsonl.gz")
    rates = {model: (round(100 * r.win.rate.estimate, 4), r.win.rate.n, r.win.missing) for model, r in found.items()}
    assert rates == {
        "tulu-2-dpo-7b": (84.2236, 805, 0),
        "tulu-2-dpo-13b": (88.1219, 804, 1),
        "tulu-2-dpo-70b": (95.0311, 805, 0),
        "pairrm-tulu-2-13b": (91.0559, 805, 0),
    }
    assert [round(100 * r.longer.estimate, 1) for r in found.values()] == [85.1, 88.4, 95.1, 91.8]


def test_every_published_average_is_the_mean_of_six_categories(folder: Path) -> None:
    rows = [
        row
        for file in ("table1_preference_data_dpo.csv", "table2_dpo_vs_ppo.csv")
        for row in category_averages(folder / "tables" / file)
    ]
    assert len(rows) == 25
    assert max(abs(published - ours) for _, published, ours in rows) < 0.06


def test_only_the_average_of_ppo_over_dpo_is_significant_and_not_after_correction(folder: Path) -> None:
    tests = {test.name: test for test in ppo_against_dpo(folder / "tables/table2_dpo_vs_ppo.csv")}
    average = tests["average"]
    assert (round(average.difference.estimate, 2), round(average.t, 2), round(average.p, 3)) == (0.68, 3.0, 0.04)
    assert average.difference.n == 5 and average.difference.excludes(0)
    assert [name for name, test in tests.items() if test.p < 0.05] == ["average"]
    assert [name for name, test in tests.items() if test.p_holm < 0.05] == []


def test_a_missing_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="llmbar_pairs"):
        check_published(tmp_path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"id": "a/0", "input": "q", "output_1": "x", "output_2": "y", "label": 1}', "subset"),
        ('{"id": "a/0", "subset": "a", "input": "q", "output_1": "x", "output_2": "y", "label": 3}', "1 or 2, got 3"),
    ],
)
def test_broken_llmbar_rows_are_named(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "pairs.jsonl").write_text(row + "\n")
    with pytest.raises(DataError, match=rf"pairs.jsonl:1: .*{said}"):
        list(read_llmbar(tmp_path / "pairs.jsonl"))
