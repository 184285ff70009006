"""Tokens stand where personal data stood, nothing else changes, and nothing is left to be found."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import UsageError
from agora.curate.personal import STYLES, Span, Style, find, merged, redact, redact_fully, residual
from tests.examples import examples

PIECES = [
    "ada@lovelace.org",
    "Ada@Lovelace.org",
    "4111 1111 1111 1111",
    "3598899323053410",
    "card",
    "phone:",
    "467 3395",
    "202-555-0143",
    "+49 30 901820",
    "GB56HXDO88167774656119",
    "078-05-1121",
    "86.121.97.248",
    "AKIAQWERTYUIOPASDFGH",
    "https://u:p4ss@host.org/x",
    "password: hunter22",
    "My name is Ada Lovelace.",
    "and then",
    "\n",
    "<EMAIL_7>",
    "https://example.org/" + "a/" * 30,
    "RSSMRA85T10A562S",
    "Cyberdyne, 12 34",
]
conversations = st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join), min_size=1, max_size=4)


def redacted(*texts: str, style: Style = "numbered") -> list[str]:
    return redact(texts, [find(text) for text in texts], style=style)


@given(conversations, st.sampled_from(STYLES))
@settings(max_examples=examples(150), deadline=None)
def test_nothing_is_found_in_what_was_redacted(texts: list[str], style: Style) -> None:
    done, _ = redact_fully(texts, [find(text) for text in texts], style=style)
    assert residual(done) == [[] for _ in texts]
    assert redact_fully(done, [find(text) for text in done], style=style) == (done, 0)  # tokens are not found again


@given(st.text(max_size=200), st.lists(st.tuples(st.integers(0, 200), st.integers(1, 40)), max_size=6))
def test_what_no_span_covers_stays_as_it_was(text: str, places: list[tuple[int, int]]) -> None:
    spans = [Span("URL", a, min(a + n, len(text)), 0.9, "test") for a, n in places if a < len(text)]
    covered = {i for span in spans for i in range(span.start, span.end)}
    [done] = redact([text], [spans], style="compat")
    assert done.replace("<PRESIDIO_ANONYMIZED_URL>", "") == "".join(c for i, c in enumerate(text) if i not in covered)


def test_the_same_value_has_the_same_number_in_a_whole_conversation() -> None:
    told = redacted(
        "I am ada@lovelace.org or bob@boole.org", "Hello ADA@lovelace.org", "phone 202-555-0143", "(202) 555-0143"
    )
    assert told == ["I am <EMAIL_1> or <EMAIL_2>", "Hello <EMAIL_1>", "phone <PHONE_1>", "<PHONE_1>"]


def test_a_value_is_replaced_where_no_word_gives_it_away() -> None:
    told = redacted("my phone: 467 3395. My name is Ada Lovelace.", "I noted 467 3395, Ada Lovelace; not 1467 33955.")
    assert told == ["my phone: <PHONE_1>. My name is <PERSON_1>.", "I noted <PHONE_1>, <PERSON_1>; not 1467 33955."]


def test_numbers_that_a_text_already_holds_are_left_free() -> None:
    assert redacted("<EMAIL_1> wrote to ada@lovelace.org") == ["<EMAIL_1> wrote to <EMAIL_2>"]


def test_the_longest_span_wins_and_takes_what_the_others_covered() -> None:
    spans = [Span("PHONE_NUMBER", 4, 10, 0.9, "a"), Span("URL", 0, 6, 0.5, "b"), Span("PERSON", 12, 14, 0.6, "c")]
    assert merged(spans) == [Span("PHONE_NUMBER", 0, 10, 0.9, "a"), spans[2]]


def test_compat_tokens_are_those_of_the_published_data() -> None:
    text = "ada@lovelace.org has AKIAQWERTYUIOPASDFGH"
    assert redacted(text, style="compat") == ["<PRESIDIO_ANONYMIZED_EMAIL_ADDRESS> has <TRUFFLEHOG_REDACTED_AWS>"]


def test_role_addresses_and_public_pages_stay() -> None:
    text = "Ask support@python.org or see https://docs.python.org/3/library/re.html"
    assert redacted(text) == [text]


def test_spans_of_another_text_are_refused() -> None:
    with pytest.raises(UsageError, match="does not lie in its text"):
        redact(["short"], [[Span("PERSON", 2, 60, 0.9, "x")]])
    with pytest.raises(UsageError, match="style"):
        redact(["short"], [[]], style="black")  # type: ignore[arg-type]
