"""Published figures on preference data against those recomputed from the stored rows.

The folder holds ``llmbar/``, ``tulu_human_eval/``, ``alpaca_eval_v1/`` and ``tables/``. What was published is a
constant here or a file there; what is ours comes from :mod:`agora.rooms.preferences.published_data`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agora.core.tables import read_json
from agora.rooms.preferences.human_study import StudyResult, study_results, without_repeats
from agora.rooms.preferences.published_data import (
    alpaca_eval,
    category_averages,
    llmbar_judges,
    llmbar_longer_wins,
    ppo_against_dpo,
    read_human_study,
)

# accuracy in percent of "the longer output wins", to the decimals of the data's own description
_LLMBAR_LONGER = {
    "natural": 56.0, "adver_neighbor": 11.9, "adver_gptinst": 13.0, "adver_gptout": 44.7, "adver_manual": 17.4,
    "prior_fair_eval": 59.1, "prior_llmeval2": 60.5, "prior_mt_bench": 68.0,
}  # fmt: skip
_ALPACA_LONGER = {"tulu-2-dpo-7b": 85.1, "tulu-2-dpo-13b": 88.4, "tulu-2-dpo-70b": 95.1, "pairrm-tulu-2-13b": 91.8}
# mean of PPO minus DPO over five data sets, and its two-sided p-value (arXiv:2406.09279, table 2)
_PPO_MINUS_DPO = {
    "factuality": (-0.08, 0.71), "reasoning": (1.30, 0.30), "coding": (2.92, 0.054), "truthfulness": (-2.50, 0.20),
    "safety": (2.26, 0.41), "instruction_following": (0.12, 0.83), "average": (0.68, 0.040),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """One published number and ours; ``tolerance`` is half a unit of the last published digit, or what was allowed."""

    group: str
    name: str
    published: float
    ours: float
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether ours is within the tolerance."""
        return abs(self.ours - self.published) <= self.tolerance * (1 + 1e-9)

    def as_json(self) -> dict[str, Any]:
        """The figure as plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"equal": self.equal}


def check_published(folder: Path) -> list[Figure]:
    """Recompute every figure of the folder.

    Raises:
        MissingError: a file is not there.
        DataError: a file does not have the expected columns.
    """
    folder = Path(folder)
    return [
        *_llmbar_figures(folder / "llmbar"),
        *_study_figures(folder / "tulu_human_eval"),
        *_alpaca_figures(folder / "alpaca_eval_v1"),
        *_table_figures(folder / "tables"),
    ]


def _llmbar_figures(folder: Path) -> Iterator[Figure]:
    longer = llmbar_longer_wins(folder / "llmbar_pairs.jsonl.gz")
    for name, published in {**_LLMBAR_LONGER, "adversarial": 17.9}.items():
        yield Figure("LLMBar, longer wins (%)", name, published, 100 * longer[name].accuracy.estimate, 0.05)
    yield Figure("LLMBar, longer wins (%)", "LLMBar", 26.97, 100 * longer["LLMBar"].accuracy.estimate, 0.005)
    judges = llmbar_judges(folder)
    for key, published in read_json(folder / "llmbar_judge_published_stats.json").items():
        ours = judges[key]
        values = {
            "correct_False": ours.original.estimate,
            "correct_True": ours.swapped.estimate,
            "correct_average": ours.average,
            "correct_both": ours.both.estimate,
            "equal": ours.consistent.estimate,
        }
        for name, text in published.items():
            percent = float(text.rpartition("= ")[2].rstrip("%"))
            yield Figure("LLMBar, judges (%)", f"{key} {name}", percent, 100 * values[name], 1e-9)


def _study_figures(folder: Path) -> Iterator[Figure]:
    group = "Tülu human study"
    rows = list(read_human_study(folder / "annotations.jsonl.gz"))
    yield Figure(group, "annotations", 1150, len(rows), 0)
    yield Figure(group, "after removing repeats", 1141, len(without_repeats(rows)), 0)
    expected = read_json(folder / "expected_stats.json")
    for result in study_results(without_repeats(rows)):
        pair = f"{result.first} vs {result.second}"
        counts = dict(zip(_count_names(result), result.counts, strict=True))
        ours = counts | {
            "n": result.n,
            "annotations": result.num_annotations,
            "double": result.num_double,
            "agreement": result.agreement.exact.estimate,
            "relaxed": result.agreement.relaxed.estimate,
            **{f"acceptance {model}": share.estimate for model, share in result.acceptance.items()},
        }
        published = {k: v for k, v in expected[pair].items() if k != "acceptance"}
        published |= {f"acceptance {model}": share for model, share in expected[pair]["acceptance"].items()}
        for name, value in published.items():
            yield Figure(group, f"{pair}: {name}", value, ours[name], 0 if isinstance(value, int) else 5e-5)


def _count_names(result: StudyResult) -> list[str]:
    a, b = result.first, result.second
    return [f"{a} clearly", f"{a} slightly", "tie", f"{b} slightly", f"{b} clearly"]


def _alpaca_figures(folder: Path) -> Iterator[Figure]:
    expected = read_json(folder / "expected_win_rates.json")
    for model, result in alpaca_eval(folder / "pairs.jsonl.gz").items():
        group = "AlpacaEval 1"
        leaderboard = float(expected[model]["leaderboard"])
        yield Figure(group, f"{model}: win rate (%)", leaderboard, 100 * result.win.rate.estimate, 1e-9)
        yield Figure(group, f"{model}: judged", expected[model]["n"], result.win.rate.n, 0)
        longer = 100 * result.longer.estimate
        yield Figure(group, f"{model}: longer output is the winner (%)", _ALPACA_LONGER[model], longer, 0.05)


def _table_figures(folder: Path) -> Iterator[Figure]:
    for file in ("table1_preference_data_dpo.csv", "table2_dpo_vs_ppo.csv"):
        for name, published, ours in category_averages(folder / file):
            yield Figure("Tables 1-2, average of six categories", name, published, ours, 0.06)
    for test in ppo_against_dpo(folder / "table2_dpo_vs_ppo.csv"):
        mean, p = _PPO_MINUS_DPO[test.name]
        yield Figure("PPO minus DPO", f"{test.name}: mean", mean, test.difference.estimate, 0.005)
        yield Figure("PPO minus DPO", f"{test.name}: p", p, test.p, 0.0005 if p < 0.1 else 0.005)
        if test.name == "average":
            yield Figure("PPO minus DPO", "average: t", 3.00, test.t, 0.005)
