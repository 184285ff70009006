"""The microcosm's suite: twelve tests in five categories, right by its own checkers."""

from __future__ import annotations

from pathlib import Path

import pytest

from agora.core.errors import ConfigError
from agora.engines import open_engine
from agora.microcosm.world import CATEGORIES, GROUPS, is_held_out
from agora.rooms.preferences.suite.microcosm import MicrocosmTest, microcosm_suite, slug
from agora.rooms.preferences.suite.run import run_suite
from tests.rooms.preferences.suite.support import FunctionEngine, answered


def test_suite_has_every_kind_in_its_group() -> None:
    suite = microcosm_suite()
    assert [test.name for test in suite] == [f"microcosm/{slug(kind)}" for kind in CATEGORIES]
    assert {test.category for test in suite} == set(GROUPS)


@pytest.mark.parametrize("kind", CATEGORIES)
def test_items_are_distinct_held_out_and_the_same_for_a_seed(kind: str) -> None:
    test = MicrocosmTest(kind, n=20)
    items = test.items(seed=1)
    assert len({item.id for item in items}) == 20
    assert all(is_held_out(item.messages[0].content) for item in items)
    assert items == MicrocosmTest(kind, n=20).items(seed=1) != test.items(seed=2)
    assert test.items(seed=1, limit=5) == items[:5]


@pytest.mark.parametrize("kind", CATEGORIES)
def test_reference_answers_are_right(kind: str) -> None:
    test = MicrocosmTest(kind, n=5)
    for item in test.items():
        result = test.score(answered(item, item.target or "", shape="chat"))
        assert result.score == 1.0 and result.meta["grade"] == 10
        assert test.score(answered(item, "", shape="chat")).score == 0.0


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="Math"):
        MicrocosmTest("Maths")


def test_shipped_chat_model_is_measured_with_lengths_and_ends(tmp_path: Path) -> None:
    engine = open_engine("microcosm:chat")
    tests = microcosm_suite(n=4)
    report = run_suite(engine, tests, tmp_path / "run")
    engine.close()
    assert set(report.categories) == set(GROUPS)
    assert report.average.value is not None and report.average.value > 50
    assert report.average.low is not None and report.average.low <= report.average.value <= (report.average.high or 0)
    for test in report.by_test.values():
        assert test.mean_tokens is not None and 2 < test.mean_tokens < 96
        assert test.stopped is not None and test.stopped > 50
        assert test.more["grade"] is not None
    assert len(report.results()) == 48
    assert (tmp_path / "run/report.html").stat().st_size > 10_000


def test_every_reference_gives_a_hundred(tmp_path: Path) -> None:
    tests = microcosm_suite(n=3)
    right = {item.messages[0].content: item.target or "" for test in tests for item in test.items()}
    report = run_suite(FunctionEngine(right.__getitem__), tests, tmp_path / "run")
    assert report.average.value == 100.0
    assert report.average.low is not None and report.average.low < 100.0  # 36 right answers are not certainty
