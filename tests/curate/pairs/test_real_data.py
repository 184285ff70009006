"""Published files, with the figures that the specification of the data (section 9.4) recomputed from them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from agora.core.records import PreferencePair
from agora.core.tables import read_rows
from agora.curate.importers.base import RowError
from agora.curate.pairs import PairRule, read_groups
from agora.curate.pairs.card import data_card
from agora.curate.pairs.dialogue import parse_dialogue
from agora.curate.pairs.export import export_pairs, export_rows
from agora.curate.pairs.layouts import EXPORTS, LAYOUTS
from agora.curate.pairs.rules import choose
from agora.curate.pairs.split import prompt_key, split_by_prompt

from .rows import read_all, texts


@pytest.fixture(scope="module")
def preference(shared_dir: Path) -> Path:
    return shared_dir / "data/preference"


@pytest.fixture(scope="module")
def magpie(shared_dir: Path) -> Path:
    return shared_dir / "data/magpie"


@pytest.fixture(scope="module")
def demo(preference: Path) -> list[PreferencePair]:
    return read_all(preference / "llama_factory/dpo_en_demo.json.gz")[0]


def test_hh_harmless(preference: Path) -> None:
    path = preference / "hh_rlhf/harmless_base_test.jsonl.gz"
    pairs, rejects, tally = read_all(path)
    assert (tally.rows, len(pairs), dict(rejects.by_reason)) == (2312, 2308, {"empty answer": 4})
    sizes = Counter((len(p.chosen), len(p.rejected)) for p in pairs)
    assert sizes == {(1, 1): 2303, (2, 1): 4, (1, 2): 1}
    longer = data_card(pairs).longer_wins
    assert (longer.longer, longer.equal, longer.interval.n) == (1025, 11, 2308)
    assert {p.label_kind for p in pairs} == {"human"}


def test_hh_by_the_last_turn_alone(preference: Path) -> None:
    rows = [row.data for row in read_rows(preference / "hh_rlhf/harmless_base_test.jsonl.gz")]
    last = [[len(parse_dialogue(row[side])[-1].content) for side in ("chosen", "rejected")] for row in rows]
    assert len(last) == 2312
    assert (sum(c > r for c, r in last), sum(c == r for c, r in last)) == (1023, 11)


def test_hh_joined_turns_leave_single_answers(preference: Path) -> None:
    pairs = read_all(preference / "hh_rlhf/harmless_base_test.jsonl.gz", merge_turns=True)[0]
    assert len(pairs) == 2308 and all(len(p.chosen) == len(p.rejected) == 1 for p in pairs)


def test_llama_factory_demo(demo: list[PreferencePair]) -> None:
    card = data_card(demo)
    assert card.n == 300
    assert card.prompt_messages == {1: 114, 2: 80, 3: 1, 5: 57, 7: 46, 9: 1, 13: 1}
    assert (card.longer_wins.longer, card.longer_wins.equal) == (131, 1)
    assert round(card.lengths["chosen"].mean) == 1448 and round(card.lengths["rejected"].mean) == 1534


# How many of the 300 a layout has room for: one question for the single-turn ones, and no system turn in a dialogue.
ROOM = {"hh": 220, **dict.fromkeys(("rewardbench", "alpaca-judged", "ultrafeedback", "magpie"), 114)}


@pytest.mark.parametrize("format", [name for name in EXPORTS if name == "agora" or LAYOUTS[name].whole])
def test_llama_factory_demo_round_trip(format: str, demo: list[PreferencePair], tmp_path: Path) -> None:
    """Every pair that a layout can hold comes back equal; the others are counted by reason."""
    report = export_pairs(demo, tmp_path / "demo.jsonl", format)
    rule = PairRule(name="best_vs_worst", score="overall") if format in ("trl-unpaired", "ultrafeedback") else None
    back = read_all(tmp_path / "demo.jsonl", format=format, rule=rule)[0]
    assert (report.written, sum(report.skipped.values())) == (ROOM.get(format, 300), 300 - ROOM.get(format, 300))
    if format == "trl-unpaired":  # a prompt that occurs twice gives one group of its four answers
        assert len(back) == len({repr(p.prompt) for p in demo})
        assert {repr(texts(p)) for p in back} <= {repr(texts(p)) for p in demo}
    else:
        assert [texts(p) for p in back] == [texts(p) for p in demo if format == "agora" or _fits(p, format)]


def _fits(pair: PreferencePair, format: str) -> bool:
    with suppress(RowError):
        return bool(export_rows(pair, format))
    return False


def test_release_split_sizes(preference: Path) -> None:
    with (preference / "tables/release_splits.csv").open() as file:
        splits = {row["split"]: int(row["rows"]) for row in csv.DictReader(file)}
    assert len(splits) == 28 and sum(splits.values()) == 2_122_287
    sixty = [splits[name] for name in ("hh_rlhf_60k", "nectar_60k", "stack_exchange_60k", "ultrafeedback_mean_aspects")]
    assert set(sixty) == {60_908}
    assert splits["preference_big_mixture"] == sum(sixty) + splits["helpsteer"] + splits["prm800k_pairs_phase2"]


def test_llmbar_and_the_tulu_raters(preference: Path) -> None:
    pairs, rejects, _ = read_all(preference / "llmbar/llmbar_pairs.jsonl.gz")
    assert len(pairs) + rejects.count == 885
    natural = [p for p in pairs if p.meta["subset"] == "natural"]
    assert data_card(natural).longer_wins.longer == 56
    soft = PairRule(tie_policy="soft")
    pairs, rejects, tally = read_all(preference / "tulu_human_eval/annotations.jsonl.gz", rule=soft)
    assert tally.rows == 1150 and dict(rejects.by_reason) == {"identical sides": 39}
    assert len(pairs) == 1111 and len(pairs) - data_card(pairs).ties == 774


def test_alpaca_eval_win_rates(preference: Path) -> None:
    """Wins and half of the ties over the judged pairs; pairs of equal outputs are ties that teach nothing."""
    folder = preference / "alpaca_eval_v1"
    expected = json.loads((folder / "expected_win_rates.json").read_text())
    pairs, rejects, _ = read_all(folder / "pairs.jsonl.gz", rule=PairRule(tie_policy="soft"))
    assert dict(rejects.by_reason) == {"identical sides": 8, "no verdict": 1}
    for model, published in expected.items():
        mine = [p for p in pairs if model in (p.meta["chosen_model"], p.meta["rejected_model"])]
        wins = sum(p.meta["chosen_model"] == model for p in mine if not p.tie)
        losses = sum(p.meta["rejected_model"] == model for p in mine if not p.tie)
        assert published["wins"] - 8 <= wins <= published["wins"], model
        assert published["losses"] - 8 <= losses <= published["losses"], model


def test_magpie_example_pairs(magpie: Path) -> None:
    path = magpie / "po_example_5res_armorm.json"
    groups = list(read_groups(path))
    rule = PairRule(name="best_vs_worst", score="overall")
    choices = [choose(group, rule).pairs[0] for group in groups]
    places = [tuple(g.responses.index(r) for r in c[:2]) for g, c in zip(groups, choices, strict=True)]
    assert places == [(3, 1), (2, 3), (4, 2), (0, 3), (2, 0)]


def test_scored_answers_of_six_models_make_pairs(magpie: Path) -> None:
    """1,012 tasks with six answers, 58 of them all equal: 954 choices, two of which are the same text twice."""
    rule = PairRule(name="best_vs_worst", score="overall", min_responses=6)
    pairs, rejects, tally = read_all(magpie / "wildbench_sft6_scored.jsonl.gz", rule=rule)
    assert dict(tally.set_aside) == {"tie": 58, "fewer than 6 answers with a score": 12}
    assert len(pairs) + rejects.by_reason["identical sides"] == 954
    longer = data_card(pairs).longer_wins
    assert longer.interval.low > 0.5 and longer.interval.estimate == pytest.approx(0.64, abs=0.01)
    margins = [p.margin for p in pairs if p.margin is not None]
    assert 436 - rejects.by_reason["identical sides"] <= sum(m >= 3 for m in margins) <= 436
    winners = Counter(str(p.meta["chosen_model"]) for p in pairs)
    assert max(winners.values()) < 0.30 * len(pairs)


def test_a_split_of_real_pairs_shares_no_prompt(preference: Path, magpie: Path) -> None:
    for path in (preference / "hh_rlhf/harmless_base_test.jsonl.gz", magpie / "wildbench_sft6_scored.jsonl.gz"):
        split = split_by_prompt(read_all(path)[0], 0.2, seed=0)
        train, held = ({prompt_key(p.prompt) for p in part} for part in split)
        assert not train & held and 0.15 < len(held) / (len(train) + len(held)) < 0.25
