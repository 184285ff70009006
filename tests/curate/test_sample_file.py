"""Drawing to a mix: exact quotas, no dependence on order, shortfalls said, prompts never on both sides of a split."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError, UsageError
from agora.curate.sample_file import parse_mix, parse_splits, quotas, sample_file
from tests.curate.labeled import ids, read, talk, write

COUNTS = {"Math": 60, "Planning": 30, "Coding & Debugging": 10}


def rows() -> list[dict[str, Any]]:
    found = [talk(f"{name} {i}?", "A.", id=f"{name}{i}", category=name) for name, n in COUNTS.items() for i in range(n)]
    return [*found, talk("No label?", "A.", id="bare")]


def drawn(path: Path) -> Counter[str]:
    return Counter(row["tags"]["category"]["value"] for row in read(path) if "category" in row["tags"])


def test_a_mix_is_drawn_exactly(tmp_path: Path) -> None:
    mix = parse_mix("category: Math=0.5, Planning=1/2".replace("1/2", "0.5"))
    report = sample_file(write(tmp_path / "in.jsonl", rows()), tmp_path / "out.jsonl", 40, mix=mix)
    assert drawn(report.out) == {"Math": 20, "Planning": 20}
    assert report.reasons == {"not drawn": 50, "in no part of the mix": 11}


def test_the_rest_takes_what_is_not_named(tmp_path: Path) -> None:
    mix = parse_mix("category: coding=0.2, *=0.8")
    report = sample_file(write(tmp_path / "in.jsonl", rows()), tmp_path / "out.jsonl", 50, mix=mix)
    assert drawn(report.out)["Coding & Debugging"] == 10 and report.n_out == 50


def test_the_same_seed_draws_the_same_rows_in_any_order(tmp_path: Path) -> None:
    shuffled = rows()
    random.Random(4).shuffle(shuffled)
    a = sample_file(write(tmp_path / "a.jsonl", rows()), tmp_path / "x.jsonl", 30, seed=7)
    b = sample_file(write(tmp_path / "b.jsonl", shuffled), tmp_path / "y.jsonl", 30, seed=7)
    c = sample_file(write(tmp_path / "b.jsonl", shuffled), tmp_path / "z.jsonl", 30, seed=8)
    assert set(ids(a.out)) == set(ids(b.out)) != set(ids(c.out))
    assert ids(b.out) == [r["id"] for r in shuffled if r["id"] in set(ids(b.out))]


def test_a_larger_draw_holds_the_smaller_one(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", rows())
    small = sample_file(source, tmp_path / "x.jsonl", 10)
    large = sample_file(source, tmp_path / "y.jsonl", 60)
    assert set(ids(small.out)) < set(ids(large.out))


def test_a_value_with_too_few_rows_is_said_and_filled_only_when_asked(tmp_path: Path) -> None:
    source, mix = write(tmp_path / "in.jsonl", rows()), parse_mix("category: Coding=0.5, Math=0.5")
    report = sample_file(source, tmp_path / "a.jsonl", 40, mix=mix)
    assert report.facts["shortfall"] == {"Coding & Debugging": {"asked": 20, "found": 10}} and report.n_out == 30
    filled = sample_file(source, tmp_path / "b.jsonl", 40, mix=mix, fill=True)
    assert drawn(filled.out) == {"Coding & Debugging": 10, "Math": 30}


def test_without_a_number_the_mix_is_kept_as_large_as_it_can_be(tmp_path: Path) -> None:
    mix = parse_mix("category: Coding=0.25, Math=0.75")
    report = sample_file(write(tmp_path / "in.jsonl", rows()), tmp_path / "a.jsonl", mix=mix)
    assert drawn(report.out) == {"Coding & Debugging": 10, "Math": 30} and "shortfall" not in report.facts


def test_splits_lie_in_files_of_their_own_and_share_no_prompt(tmp_path: Path) -> None:
    twins = [talk(f"Question {i % 50}?", f"Answer {i}.", id=f"t{i}") for i in range(200)]
    report = sample_file(
        write(tmp_path / "in.jsonl", twins), tmp_path / "kept.jsonl", splits=parse_splits("test=0.3, valid=0.1")
    )
    parts = [tmp_path / name for name in ("kept.jsonl", "kept.test.jsonl", "kept.valid.jsonl")]
    prompts = [{row["messages"][0]["content"] for row in read(part)} for part in parts]
    assert sum(len(read(part)) for part in parts) == 200
    assert not prompts[0] & prompts[1] and not prompts[0] & prompts[2] and not prompts[1] & prompts[2]
    assert report.n_out == len(read(parts[0])) and all(prompts)
    assert report.funnel.rows()[-1][2]["held out for test"] == len(read(parts[1]))


@settings(deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0.01, 10), min_size=1, max_size=6), st.integers(0, 500)
)
def test_quotas_sum_to_n_and_stay_within_one_of_their_share(weights: dict[str, float], n: int) -> None:
    found, total = quotas(weights, n), sum(weights.values())
    assert sum(found.values()) == n
    assert all(abs(found[name] - n * w / total) < 1 + 1e-9 for name, w in weights.items())


@pytest.mark.parametrize(
    "text", ["", "category", "categry: Math=1", "category: Maths=1", "category: Math", "category: Math=0", "reward: =1"]
)
def test_a_mix_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_mix(text)


@pytest.mark.parametrize("text", ["test", "test=1", "a=0.6,b=0.5", "../x=0.1"])
def test_a_split_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_splits(text)


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        sample_file(write(tmp_path / "in.jsonl", rows()), tmp_path / "o.jsonl")
