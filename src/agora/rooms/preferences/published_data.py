"""Readers of published preference data, and the statistics that were published on it."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.files import open_plain, require_file
from agora.core.records import Message, PreferencePair, Provenance
from agora.core.stats import Interval
from agora.core.tables import read_rows
from agora.rooms.preferences.comparisons import JudgeStatistics, WinRate, judge_statistics, longer_wins, win_rate
from agora.rooms.preferences.human_study import HumanComparison, StudyResult, study_results, without_repeats
from agora.rooms.preferences.pair_accuracy import Accuracy, PairTable
from agora.rooms.preferences.pair_scores import score_pairs
from agora.rooms.preferences.paired_tests import PairedTest, compare_by_dataset
from agora.rooms.preferences.scorers import length_scorer

CATEGORIES = ("factuality", "reasoning", "coding", "truthfulness", "safety", "instruction_following")
#: LLMBar proper; its other subsets come from earlier collections.
LLMBAR = ("natural", "adver_neighbor", "adver_gptinst", "adver_gptout", "adver_manual")

_OUTCOMES = {"a-is-better": 2, "a-is-slightly-better": 1, "tie": 0, "b-is-slightly-better": -1, "b-is-better": -2}


def read_llmbar(path: Path) -> Iterator[PreferencePair]:
    """LLMBar's rows (input, output_1, output_2, label 1 or 2) as pairs; the subset is kept in ``meta``."""
    for number, row in read_rows(path):
        try:
            outputs, label = (row["output_1"], row["output_2"]), int(row["label"])
            subset, prompt = str(row["subset"]), (Message("user", row["input"]),)
        except KeyError as missing:
            raise DataError(f"the column {missing} is missing", where=f"{path}:{number}") from None
        if label not in (1, 2):
            raise DataError(f"the label must be 1 or 2, got {label}", where=f"{path}:{number}")
        chosen, rejected = (Message("assistant", outputs[i]) for i in (label - 1, 2 - label))
        source = Provenance("LLMBar", str(row["id"]), licence="MIT", path=str(path), line=number)
        yield PreferencePair(
            str(row["id"]),
            prompt,
            (chosen,),
            (rejected,),
            label_kind="human",
            provenance=source,
            meta={"subset": subset},
        )


def llmbar_longer_wins(path: Path) -> dict[str, Accuracy]:
    """Accuracy of "the longer output wins" by subset, ties wrong; ``LLMBar`` is its five subsets together."""
    scored = list(score_pairs(read_llmbar(path), length_scorer))
    table = PairTable(scored)
    found = {group.name: group for group in table.by_subset()}
    proper = [i for i, row in enumerate(scored) if row.subset in LLMBAR]
    adversarial = [i for i, row in enumerate(scored) if row.subset.startswith("adver_")]
    return found | {
        "LLMBar": table.accuracy("LLMBar", proper),
        "adversarial": table.accuracy("adversarial", adversarial),
    }


def llmbar_judges(folder: Path) -> dict[str, JudgeStatistics]:
    """Statistics of each ``subset|evaluator`` of the stored verdicts, by LLMBar's own rules."""
    gold = {str(row["id"]): int(row["label"]) for _, row in read_rows(folder / "llmbar_pairs.jsonl.gz")}
    labels: dict[str, list[int]] = defaultdict(list)
    verdicts: dict[str, tuple[list[int | None], list[int | None]]] = defaultdict(lambda: ([], []))
    for row in read_csv(folder / "llmbar_judge_verdicts.csv.gz"):
        key = f"{row['subset']}|{row['evaluator']}"
        labels[key].append(gold[f"{row['subset']}/{row['index']}"])
        for column, name in zip(verdicts[key], ("winner_original_order", "winner_swapped_order"), strict=True):
            column.append(int(row[name]) if row[name] else None)
    return {key: judge_statistics(labels[key], *verdicts[key], unparsed_agree=True) for key in labels}


def read_human_study(path: Path) -> Iterator[HumanComparison]:
    """The rows of the Tülu human study."""
    for number, row in read_rows(path):
        if row.get("preference") not in _OUTCOMES:
            raise DataError(f"unknown preference {row.get('preference')!r}", where=f"{path}:{number}")
        yield HumanComparison(
            item=str(row["instance_index"]),
            task=str(row["instance_id"]),
            rater=row["rater"],
            order=row["order"],
            first=row["model_a"],
            second=row["model_b"],
            outcome=_OUTCOMES[row["preference"]],
            first_acceptable=row["a_acceptable"] == "yes",
            second_acceptable=row["b_acceptable"] == "yes",
        )


def human_study(path: Path) -> list[StudyResult]:
    """Results of the study: latest comparison a person and item, then the earliest a task."""
    return study_results(without_repeats(read_human_study(path)))


@dataclass(frozen=True, slots=True)
class AlpacaEvalResult:
    """A model's win rate against text_davinci_003, and how often the longer output is the judge's winner."""

    win: WinRate
    longer: Interval


def alpaca_eval(path: Path) -> dict[str, AlpacaEvalResult]:
    """Win rates by model; output 2 is the model's, and a tie counts half."""
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for _, row in read_rows(path):
        rows[row["model"]].append(row)
    found = {}
    for model, of_model in rows.items():
        preferences = [row["preference"] for row in of_model]
        lengths = [[len(row[name] or "") for row in of_model] for name in ("output_1", "output_2")]
        found[model] = AlpacaEvalResult(win_rate(preferences), longer_wins(preferences, *lengths))
    return found


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file, plain or compressed."""
    require_file(path)
    with open_plain(path) as source:
        yield from csv.DictReader(io.StringIO(source.read().decode("utf-8"), newline=""))


def ppo_against_dpo(path: Path, columns: Sequence[str] = (*CATEGORIES, "average")) -> list[PairedTest]:
    """PPO minus DPO over the data sets of table 2, by column, Holm-corrected together."""
    by_algorithm: dict[str, dict[str, dict[str, float | None]]] = defaultdict(dict)
    for row in read_csv(path):
        by_algorithm[row["algorithm"]][row["dataset"]] = {name: float(row[name]) for name in columns}
    return compare_by_dataset(by_algorithm["dpo"], by_algorithm["ppo"], columns)


def category_averages(path: Path) -> Iterator[tuple[str, float, float]]:
    """(row, published average, mean of the six categories) of a table, for rows that have all of them."""
    for row in read_csv(path):
        if row["average"]:
            name = " ".join(row[key] for key in ("source", "dataset", "algorithm") if key in row)
            yield name, float(row["average"]), sum(float(row[c]) for c in CATEGORIES) / len(CATEGORIES)
