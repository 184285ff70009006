from __future__ import annotations

from pathlib import Path

import pytest

from agora.core.errors import DataError
from agora.core.stats import Interval, wilson
from agora.core.tables import read_json
from agora.rooms.preferences.reward_eval import evaluate_rewards
from agora.rooms.preferences.rewardbench import NUM_PAIRS, PRIOR_SETS, SECTIONS, rewardbench
from tests.rooms.preferences.rewards import make_scored


def accuracies(right: dict[str, float], *, prior: bool = True) -> dict[str, Interval]:
    """Every subset at its real number of pairs, right on all of them unless `right` says otherwise."""
    sizes = {name: NUM_PAIRS.get(name, n) for section in SECTIONS.values() for name, n in section.items()}
    sizes |= dict.fromkeys(PRIOR_SETS, 1000) if prior else {}
    return {name: wilson(round(right.get(name, 1.0) * n), n) for name, n in sizes.items()}


LLMBAR_WRONG = {name: 0.0 for name in SECTIONS["Chat Hard"] if name.startswith("llmbar")}


def test_a_model_that_fails_llmbar_alone_gets_the_value_computed_by_hand() -> None:
    found = rewardbench(accuracies(LLMBAR_WRONG))
    chat_hard = 37 / (37 + 100 + 134 + 92 + 47 + 46)
    scores = {section.name: section.score.estimate for section in found.sections if section.score}
    assert scores == pytest.approx({"Chat": 1, "Chat Hard": chat_hard, "Safety": 1, "Reasoning": 1, "Prior Sets": 1})
    assert found.with_prior is not None and found.without_prior is not None
    assert found.with_prior.estimate == pytest.approx((3 + 37 / 456 + 0.5) / 4.5)
    assert found.with_prior.estimate == pytest.approx(0.795809, abs=1e-6)
    assert found.without_prior.estimate == pytest.approx((3 + 37 / 456) / 4)
    assert found.notes == ()


def test_mathematics_weighs_984_with_447_pairs() -> None:
    reasoning = rewardbench(accuracies({"math-prm": 0.0})).sections[3]
    assert reasoning.score is not None
    assert reasoning.score.estimate == pytest.approx(0.5)  # 984 against six times 164
    assert reasoning.score.n == 447 + 6 * 164


def test_prior_sets_are_a_plain_mean() -> None:
    prior = rewardbench(accuracies({"shp": 0.0})).sections[4]
    assert prior.score is not None and prior.score.estimate == pytest.approx(0.75)


def test_without_the_prior_sets_only_the_named_variant_exists() -> None:
    found = rewardbench(accuracies({}, prior=False))
    assert found.with_prior is None
    assert found.without_prior is not None and found.without_prior.estimate == 1.0


def test_a_section_with_a_missing_subset_has_no_score() -> None:
    given = accuracies({})
    del given["hep-rust"]
    found = rewardbench(given)
    assert found.sections[3].score is None
    assert found.sections[3].absent == ("hep-rust",)
    assert found.with_prior is None and found.without_prior is None


def test_other_sizes_and_unknown_subsets_are_told() -> None:
    notes = rewardbench({**accuracies({}), "donotanswer": wilson(1, 2), "my-set": wilson(1, 2)}).notes
    assert notes == (
        "donotanswer: 2 pairs counted of RewardBench's 136",
        "my-set: not a subset of RewardBench, used in no section",
    )


def test_names_are_known_in_any_case_but_once() -> None:
    given = accuracies({})
    given["LLMBar-adver-gptinst"] = given.pop("llmbar-adver-GPTInst")
    assert rewardbench(given).without_prior is not None
    with pytest.raises(DataError, match="twice"):
        rewardbench({**given, "llmbar-adver-GPTInst": wilson(1, 1)})


def test_intervals_hold_the_estimate_and_the_seed_decides_them() -> None:
    given = accuracies(dict.fromkeys((name for s in SECTIONS.values() for name in s), 0.7))
    first, again = rewardbench(given, seed=3), rewardbench(given, seed=3)
    assert first == again
    assert first.with_prior is not None
    assert first.with_prior.low < first.with_prior.estimate < first.with_prior.high
    assert first.with_prior.high - first.with_prior.low < 0.05


def test_an_evaluation_with_rewardbench_subsets_has_its_sections() -> None:
    rows = [make_scored(i, 1.0, 0.0, subset=name) for i, name in enumerate(n for s in SECTIONS.values() for n in s)]
    found = evaluate_rewards(rows, n_boot=100).rewardbench
    assert found is not None and found.without_prior is not None
    assert found.without_prior.estimate == 1.0
    assert evaluate_rewards([make_scored(0, 1.0, 0.0, subset="shp")]).rewardbench is None


def test_the_stored_counts_are_the_weights(shared_dir: Path) -> None:
    stored = read_json(shared_dir / "data/preference/tables/rewardbench_sections.json")
    assert {name: dict(section) for name, section in SECTIONS.items()} == stored["sections"]
    assert dict(NUM_PAIRS) == stored["real_count"]
    assert list(PRIOR_SETS) == stored["prior_sets"]
