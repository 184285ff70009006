"""Texts are compared by one normal form."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.tables import read_rows
from agora.curate.text import normalize, repeated_share, shingles, words
from tests.shared import SHARED


@pytest.mark.parametrize(
    ("text", "normal"),
    [("  Hello\n\tWorld ", "hello world"), ("Cafe\u0301", "caf\u00e9"), ("", ""), (" \n", ""), ("ÄÖ\u00a0Ü", "äö ü")],
)
def test_normal_form(text: str, normal: str) -> None:
    assert normalize(text) == normal


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@given(st.text() | st.text(min_size=70) | st.text("a\0\ud800😀", min_size=70), st.integers(1, 8))
def test_shingles_are_the_runs_of_n_characters(text: str, n: int) -> None:
    found = shingles(text, n)
    assert len(found) == (max(len(text) - n + 1, 1) if text else 0)
    assert found == [text[i : i + n] for i in range(len(found))]


def test_answers_in_circles_are_the_published_number_and_spoil_the_longest_third() -> None:
    """Acceptance check H."""
    file = SHARED / "data/magpie/wildbench_sft6_scored.jsonl.gz"
    if not file.exists():
        pytest.skip(f"{file} is not on this machine")
    rows = [row.data for row in read_rows(file)]
    circles = [repeated_share(row["response"]) >= 0.5 for row in rows]
    assert (sum(circles), len(rows)) == (177, 6128)
    assert sum(r["score"] for r, c in zip(rows, circles, strict=True) if c) / 177 == pytest.approx(3.57, abs=0.005)

    def score_of_longest(some: list[Any]) -> float:
        return sum(r["score"] for r in sorted(some, key=lambda r: -len(r["response"]))[:2042]) / 2042

    assert score_of_longest(rows) == pytest.approx(6.32, abs=0.005)
    assert score_of_longest([r for r, c in zip(rows, circles, strict=True) if not c]) == pytest.approx(6.58, abs=0.005)


@given(st.text(alphabet="ab ", max_size=200), st.integers(1, 12))
def test_repeated_share_lies_between_zero_and_one(text: str, n: int) -> None:
    assert 0.0 <= repeated_share(text, n) < 1.0


def test_repeated_share_counts_word_runs() -> None:
    assert repeated_share("one two three") == 0.0
    assert repeated_share(" ".join(map(str, range(50)))) == 0.0
    assert repeated_share("go on " * 20, n=2) == pytest.approx(1 - 2 / 39)


@given(st.text() | st.text(st.characters(max_codepoint=127)))
def test_words_are_runs_of_word_characters_in_lower_case(text: str) -> None:
    assert words(text) == re.findall(r"\w+", text.lower())
