from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.rooms.collect.release.anonymity import QUASI, Anonymous, Column, class_sizes, generalize, histogram
from agora.rooms.collect.release.coarser import browser_and_system, month_of, primary_tag, region_of, week_of
from tests.examples import examples

ISO = {"Germany": "DE", "France": "FR", "Japan": "JP"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
ROWS = st.lists(
    st.tuples(
        st.integers(0, 7),  # subject
        st.sampled_from(["Germany", "France", "Japan", "Atlantis", None]),
        st.sampled_from(["A", "B", None]),
        st.sampled_from(["English", "French"]),
        st.sampled_from([FIREFOX.format(n) for n in range(3)] + [None]),
        st.sampled_from(["de-DE,de;q=0.9", "de", "en-US", None]),
        st.integers(date(2026, 1, 1).toordinal(), date(2026, 2, 20).toordinal()),
    ),
    min_size=1,
    max_size=60,
)


def columns_of(rows: list[tuple[Any, ...]]) -> tuple[dict[str, Column], Any]:
    made = {name: Column.of([row[i + 1] for row in rows]) for i, name in enumerate(QUASI[:-1])}
    made["day"] = Column.of([(row[6], "day") for row in rows])
    return made, np.array([row[0] for row in rows])


def published(found: Anonymous, i: int) -> tuple[Any, ...]:
    return tuple(found.columns[name].published(i) for name in QUASI)


def brute_force(found: Anonymous, subjects: Any) -> dict[int, int]:
    classes: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    for i in np.flatnonzero(found.kept):
        classes[published(found, i)].add(int(subjects[i]))
    return {int(i): len(classes[published(found, i)]) for i in np.flatnonzero(found.kept)}


@settings(max_examples=examples(150), deadline=None)
@given(rows=ROWS, k=st.integers(1, 6))
def test_every_class_after_the_ladder_has_k_subjects_as_a_count_by_hand_finds(rows: list[Any], k: int) -> None:
    columns, subjects = columns_of(rows)
    found = generalize(columns, subjects, k, ISO)
    by_hand = brute_force(found, subjects)
    assert {int(i): int(found.sizes[i]) for i in np.flatnonzero(found.kept)} == by_hand
    assert found.k == (min(by_hand.values()) if by_hand else None)
    assert found.k is None or found.k >= k
    assert sum(found.after.values()) == int(found.kept.sum())
    assert sum(found.before.values()) == len(rows)


@settings(max_examples=examples(80), deadline=None)
@given(rows=ROWS, k=st.integers(1, 6))
def test_a_row_whose_class_is_large_enough_is_not_touched(rows: list[Any], k: int) -> None:
    columns, subjects = columns_of(rows)
    large = class_sizes(columns, subjects) >= k
    found = generalize(columns, subjects, k, ISO)
    for i in np.flatnonzero(large):
        assert found.kept[i]
        assert published(found, i) == tuple(columns[name].published(i) for name in QUASI)


@settings(max_examples=examples(80), deadline=None)
@given(rows=ROWS, k=st.integers(2, 6))
def test_rows_are_dropped_only_where_even_the_rest_has_too_few_subjects(rows: list[Any], k: int) -> None:
    columns, subjects = columns_of(rows)
    found = generalize(columns, subjects, k, ISO)
    dropped = np.flatnonzero(~found.kept)
    if len(dropped):
        # the language is a quasi-identifier that only the last step takes away, so all of the rest shares one class
        assert len({int(subjects[i]) for i in dropped}) < k
        assert all(published(found, i) == (None,) * len(QUASI) for i in dropped)


def test_one_person_with_many_rows_is_one_person() -> None:
    rows = [(0, "Germany", "A", "English", None, None, 738_000 + i % 2) for i in range(100)]
    columns, subjects = columns_of(rows)
    found = generalize(columns, subjects, 2, ISO)
    assert not found.kept.any() and found.k is None


def test_a_profile_without_a_column_is_judged_without_it() -> None:
    columns, subjects = columns_of([(i, None, None, "English", FIREFOX.format(i), None, 738_000) for i in range(5)])
    assert generalize({"language": columns["language"]}, subjects, 5).k == 5
    assert generalize(columns, subjects, 5, ISO).rungs == {"user agent to browser family and system": 5}


def test_histogram_counts_rows_by_the_size_of_their_class() -> None:
    assert histogram(np.array([1, 1, 2, 4, 5, 9, 100, 5000])) == {
        "1": 2,
        "2": 1,
        "3-4": 1,
        "5-9": 2,
        "10-19": 0,
        "20-49": 0,
        "50-99": 0,
        "100+": 2,
    }


def test_values_become_coarser_step_by_step() -> None:
    chrome = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
    )
    assert browser_and_system(FIREFOX.format(128)) == "Firefox on Linux"
    assert browser_and_system(chrome) == "Chrome on Windows"
    assert browser_and_system(chrome + " Edg/126.0") == "Edge on Windows"
    assert browser_and_system("python-httpx/0.28") == "program"
    assert browser_and_system("???") == "other"
    assert primary_tag("de-CH,de;q=0.9,en;q=0.8") == "de" and primary_tag("*") is None and primary_tag("") is None
    thursday = (date(2026, 4, 30).toordinal(), "day")
    monday = week_of(thursday)
    assert monday == (date(2026, 4, 27).toordinal(), "week")
    assert month_of(monday) == (date(2026, 4, 1).toordinal(), "month") == month_of(thursday)
    assert month_of((date(2026, 3, 30).toordinal(), "week")) == (date(2026, 4, 1).toordinal(), "month")
    assert (region_of("DE"), region_of("JP"), region_of("ZZ"), region_of(None)) == ("Europe", "Asia", None, None)
