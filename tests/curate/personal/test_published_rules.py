"""The published sets' exemptions, one by one: what stays in the text there and what does not."""

from __future__ import annotations

import pytest

from agora.curate.personal import Span
from agora.curate.personal.published_rules import is_replaced


def replaced(text: str, value: str, kind: str, language: str = "English") -> bool:
    start = text.index(value)
    return is_replaced(text, Span(kind, start, start + len(value), 0.9, "test"), language)


@pytest.mark.parametrize(
    ("text", "value", "yes"),
    [
        ("Hello, my name is Ada Quist and I sail.", "Ada Quist", True),
        ("Best regards,\nAda Quist", "Ada Quist", True),
        ("The ship was built by Ada Quist.", "Ada Quist", False),  # no cue
        ("I am Ada", "Ada", False),  # one word
        ('I am "Ada Quist', "Ada Quist", False),  # quoted
        ("I am ada Quist", "ada Quist", False),
        ("I am Ada Quist2", "Ada Quist2", False),
        ("I am Ada\nQuist", "Ada\nQuist", False),
        ("I am Ada Qu.", "Ada Qu.", False),
        ("I am Ada the Quist", "Ada the Quist", False),
        ("Write a story. I am Ada Quist", "Ada Quist", False),
        ("[System] I am Ada Quist", "Ada Quist", False),
    ],
)
def test_a_name(text: str, value: str, yes: bool) -> None:
    assert replaced(text, value, "PERSON") is yes
    assert not replaced(text, value, "PERSON", "German")


@pytest.mark.parametrize(
    ("text", "value", "yes"),
    [
        ("Tel: 202 555 0147", "202 555 0147", True),
        ("\u5fae\u4fe1 13800138000", "13800138000", True),
        ("reach me at +1 202 555 0147", "+1 202 555 0147", True),
        ("m: 202-555-0147", "202-555-0147", True),
        ("the serial is 202 555 0147", "202 555 0147", False),  # no cue
        ("tel 5550147", "5550147", False),  # eight characters or fewer
        ("tel 202  5550147", "202  5550147", False),
        ("tel 202.555.0147", "202.555.0147", False),
        ("tel 192 168 10 20 30", "192 168 10 20 30", False),
        ("tel '202 555 0147", "202 555 0147", False),
    ],
)
def test_a_telephone_number(text: str, value: str, yes: bool) -> None:
    assert replaced(text, value, "PHONE_NUMBER") is yes


@pytest.mark.parametrize(
    ("text", "value", "kind", "yes"),
    [
        ("write to zoe@northwind.org", "zoe@northwind.org", "EMAIL_ADDRESS", True),
        ('"zoe@northwind.org"', "zoe@northwind.org", "EMAIL_ADDRESS", False),
        ("write to info@northwind.org", "info@northwind.org", "EMAIL_ADDRESS", False),
        ("write to zoe@example.com", "zoe@example.com", "EMAIL_ADDRESS", False),
        ("zoe@northwind.org/path", "zoe@northwind.org/path", "EMAIL_ADDRESS", False),
        ("my card is 4539578763621486", "4539578763621486", "CREDIT_CARD", True),
        ("the number 4539578763621486", "4539578763621486", "CREDIT_CARD", False),
        ("see https://www.linkedin.com/in/zoe-quist", "https://www.linkedin.com/in/zoe-quist", "URL", True),
        ("see https://github.com/zoe", "https://github.com/zoe", "URL", False),
        ("my SSN is 536-22-1234", "536-22-1234", "US_SSN", False),  # never replaced there
    ],
)
def test_the_other_types(text: str, value: str, kind: str, yes: bool) -> None:
    assert replaced(text, value, kind) is yes
