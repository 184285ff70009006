"""A funnel adds up: each step takes in what the one before let out, and each lost row has a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.core.report import Report
from agora.curate.funnel import Funnel

counts = st.dictionaries(st.text(min_size=1, max_size=5), st.integers(0, 50), max_size=4)


def three_steps() -> Funnel:
    funnel = Funnel()
    funnel.start("drawn", 100)
    funnel.step("clean", {"too short": 4, "empty": 1})
    funnel.step("new", {"near duplicate": 20, "never": 0})
    return funnel


def test_rows_are_what_the_report_draws() -> None:
    funnel = three_steps()
    assert funnel.rows() == [
        ("drawn", 100, {}),
        ("clean", 95, {"empty": 1, "too short": 4}),
        ("new", 75, {"near duplicate": 20}),
    ]
    assert "near duplicate" in Report("r").section("s").funnel(funnel.rows()).html()


def test_summary_counts_everything() -> None:
    told = three_steps().summary()
    assert (told["in"], told["kept"]) == (100, 75)
    assert told["reasons"] == {"empty": 1, "too short": 4, "near duplicate": 20}
    assert len(told["steps"]) == 3


@given(st.lists(counts, max_size=5), st.integers(0, 50))
def test_any_funnel_survives_json_and_adds_up(losses: list[dict[str, int]], rest: int) -> None:
    funnel = Funnel()
    funnel.start("all", rest + sum(sum(c.values()) for c in losses))
    for number, reasons in enumerate(losses):
        funnel.step(str(number), reasons)
    assert funnel.n_out == rest
    assert funnel.n_in - sum(funnel.reasons().values()) == funnel.n_out
    assert all(a.n_out == b.n_in for a, b in zip(funnel.steps, funnel.steps[1:], strict=False))
    again = Funnel.from_json(json.loads(json.dumps(funnel.to_json())))
    assert again.steps == funnel.steps


def test_a_new_unit_starts_a_new_count() -> None:
    mined = Funnel()
    mined.start("paths", 30)
    mined.step("requests", {"no request": 2})
    whole = Funnel.from_json([{"step": "rows read", "kept": 10, "reasons": {"not valid JSON": 3}}, *mined.to_json()])
    assert [s.n_in for s in whole.steps] == [13, 30, 30]
    assert whole.n_out == 28


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"step": "a", "kept": 5}, {"step": "b", "kept": 4}], "4 rows come in, the step before let 5 out"),
        ([{"step": "a", "kept": 5}, {"step": "b", "kept": 4, "in": 5}], "5 in - 0 lost is not 4 out"),
        ([{"step": "a"}], "step 1 of a funnel cannot be read: KeyError"),
        ([{"step": "a", "kept": "x"}], "cannot be read"),
        ([{"step": "a", "kept": -1}], "negative"),
        ([{"step": "a", "kept": 1, "reasons": {"r": -1}}], "negative"),
        ([{"step": "a", "kept": 1, "reasons": [1]}], "cannot be read"),
    ],
)
def test_counts_that_contradict_each_other_are_refused(steps: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Funnel.from_json(steps)


def test_losing_more_than_there_is_or_before_the_start_is_refused() -> None:
    funnel = Funnel()
    with pytest.raises(DataError, match="begins with start"):
        funnel.step("a", {})
    funnel.start("rows", 3)
    with pytest.raises(DataError, match="4 rows are lost of 3"):
        funnel.step("a", {"r": 4})
