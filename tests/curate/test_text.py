"""Texts are compared by one normal form."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.curate.text import normalize, repeated_share, shingles, words


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


def test_repeated_share_counts_word_runs() -> None:
    assert repeated_share("one two three") == 0.0
    assert repeated_share(" ".join(map(str, range(50)))) == 0.0
    assert repeated_share("go on " * 20, n=2) == pytest.approx(1 - 2 / 39)


@given(st.text() | st.text(st.characters(max_codepoint=127)))
def test_words_are_runs_of_word_characters_in_lower_case(text: str) -> None:
    assert words(text) == re.findall(r"\w+", text.lower())
