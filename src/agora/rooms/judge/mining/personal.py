"""Personal data in a text, as far as its shape alone gives it away; and turns without a common word.

A first look, for people to go on from: names and street addresses have no shape.
"""

from __future__ import annotations

import re

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})*\.[a-zA-Z]{2,24}\b")
# an international number, or three groups as they are written in North America
_PHONE = re.compile(
    r"(?<![\w.+])(?:\+\d{1,3}[\s.-]?(?:\(\d{1,4}\)[\s.-]?)?\d{1,4}(?:[\s.-]?\d{2,4}){2,4}"
    r"|(?:\(\d{3}\)\s?|\d{3}[.-])\d{3}[.-]\d{4}|\d{3} \d{3} \d{4})(?!\w)(?!\.\d)"
)
_CARD = re.compile(r"(?<![\w.])(?:\d[ -]?){12,18}\d(?![\w.])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_SECRET = re.compile(
    r"\b(?:sk-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,})"
)
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON_WORDS = (
    "a about after all also am an and any are as at be because been but by can could create describe did do does each "
    "explain find for from get give had has have he hello help her hi his how i if in into is it its just like list "
    "make many may me more most much my new no not now of on one only or other our out over please say she should show "
    "so some such tell than thank thanks that the their them then there these they this those to two up us use was we "
    "were what when where which who why will with would write you your good morning"
)
COMMON_WORDS = frozenset(_COMMON_WORDS.split())


def personal_data(text: str) -> str | None:
    """What kind of personal data the text holds, in words; None when no shape is found."""
    if "@" in text and _EMAIL.search(text):
        return "e-mail address"
    if not _DIGIT.search(text):
        return None
    if _SECRET.search(text):
        return "access key"
    if _SSN.search(text):
        return "social security number"
    if any(_is_card(found[0]) for found in _CARD.finditer(text)):
        return "card number"
    if any(_is_iban(found[0]) for found in _IBAN.finditer(text)):
        return "account number"
    if _PHONE.search(text):
        return "telephone number"
    if any(_is_public(found[0]) for found in _IPV4.finditer(text)):
        return "IP address"
    return None


def _is_card(text: str) -> bool:
    """Luhn's check, on numbers that begin as cards do."""
    digits = [int(c) for c in text if c.isdigit()]
    if digits[0] not in (3, 4, 5, 6) or len(set(digits)) < 3:
        return False
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """ISO 13616: rearranged and read as a number, 1 modulo 97."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _is_public(text: str) -> bool:
    from ipaddress import AddressValueError, IPv4Address

    try:
        return IPv4Address(text).is_global
    except AddressValueError:
        return False


def lacks_common_words(text: str) -> bool:
    """Whether an English text of three words or more has no common word in it: a sign of nonsense, not a proof."""
    words = [word.lower() for word in _WORD.findall(text)]
    return len(words) >= 3 and text.isascii() and not any(word in COMMON_WORDS for word in words)
