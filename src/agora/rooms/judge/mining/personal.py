"""Personal data in a text, by the rules of :mod:`agora.curate.personal`; and turns without a common word.

A first look, for people to go on from: other people's names and street addresses have no shape.
"""

from __future__ import annotations

import re

from agora.curate.personal import residual

# what a dropped row's reason says of each type; a type that is not listed is called personal data
_KINDS = {
    "EMAIL_ADDRESS": "e-mail address",
    "PHONE_NUMBER": "telephone number",
    "CREDIT_CARD": "card number",
    "IBAN_CODE": "account number",
    "US_SSN": "social security number",
    "NATIONAL_ID": "national number",
    "IP_ADDRESS": "IP address",
    "CRYPTO": "wallet address",
    "URL": "personal link",
}
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
    """What kind of personal data or secret stands first in the text, in words; None when none is found.

    What would stop a release stops a task: all that has a shape, at the same threshold.
    """
    found = residual([text])[0]
    if not found:
        return None
    return "access key" if found[0].is_secret else _KINDS.get(found[0].type, "personal data")


def lacks_common_words(text: str) -> bool:
    """Whether an English text of three words or more has no common word in it: a sign of nonsense, not a proof."""
    words = [word.lower() for word in _WORD.findall(text)]
    return len(words) >= 3 and text.isascii() and not any(word in COMMON_WORDS for word in words)
