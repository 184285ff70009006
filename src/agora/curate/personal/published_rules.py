"""What the published WildChat sets replace, and what they leave (arXiv:2405.01470, appendix and release script).

Five types are ever replaced there, each with exemptions: a person's name in English text beside words that introduce
it, a telephone number beside a word that gives it away, an e-mail address that is nobody's role, a card number near the
word "card", and the address of a LinkedIn profile. Everything else that is found stays.

The published rules also leave what stands in many conversations. Whether a value does is the caller's to say: here
only the text around it is looked at. Secrets are not part of these rules: they are always replaced.
"""

from __future__ import annotations

import re

from agora.curate.personal.spans import Span

#: The types that the published sets replace.
REPLACED = frozenset({"PERSON", "PHONE_NUMBER", "EMAIL_ADDRESS", "CREDIT_CARD", "URL"})
_BEFORE = 20  # characters before a value in which a cue counts
_AROUND_CARD = 50
_SHORT_PHONE = 8
_QUOTES = frozenset("\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb\u300c\u300e")
_STORY = re.compile(
    r"\s*(?:\[[^\]\n]{1,80}\]"
    r"|(?:please\s+|can you\s+|could you\s+)?(?:write|tell|continue|create|generate|make)\b[^\n]{0,60}?"
    r"\b(?:story|stories|scene|script|fan ?fic(?:tion)?|episode|dialogue|novel|chapter)\b"
    r"|(?:meow|woof|moo|quack|oink|neigh|baa)\b)",
    re.IGNORECASE,
)
_INTRODUCED = re.compile(r"\b(?:my name is|my name's|i am|i'm|this is|call me|name\s*:)\s*$", re.IGNORECASE)
_ADDRESSED = re.compile(
    r"\b(?:dear|hi|hello|hey|regards|sincerely|faithfully|truly|wishes|thanks|thank you|cheers|yours|m(?:r|rs|s)\.?)\W",
    re.IGNORECASE,
)
_CALLED = re.compile(
    r"tel|phone|whats\s?app|we\s?chat|\u5fae\u4fe1|\u7535\u8bdd|\u96fb\u8a71|\u624b\u673a|\u624b\u6a5f|(?:^|\n)\s*m:",
    re.IGNORECASE,
)
_PRIVATE_RANGE = re.compile(r"(?:10|127|192[ .-]?168|172[ .-]?(?:1[6-9]|2\d|3[01]))[ .-]")
_PHONE_CHARS = re.compile(r"[\d \-()+]+")
_SAMPLE_MAIL = re.compile(
    r"(?:info|contact|support|sales|admin|help|office|mail|hello|team|service|press|jobs|hr|billing|marketing|test|user"
    r"|name|your\.?name|example|sample|no-?reply|webmaster|postmaster|abuse|feedback|enquiries|inquiries|someone|abc)@"
    r"|.*@(?:[\w-]+\.)*(?:example|test|sample|domain|yourdomain|company|email)\.\w+$",
    re.IGNORECASE,
)
_PROFILE = re.compile(r"(?:https?://)?(?:[a-z]{2,3}\.)?linkedin\.com/in/[^\s/]+", re.IGNORECASE)


def is_replaced(text: str, span: Span, language: str | None) -> bool:
    """Whether the published rules replace what a span marks, as far as its own text tells.

    Args:
        text: the message.
        span: of personal data in it.
        language: of the message, in English (``English``).
    """
    value, before = text[span.start : span.end], text[max(0, span.start - _BEFORE) : span.start]
    if span.type not in REPLACED or (span.type in _UNLESS_QUOTED and text[span.start - 1 : span.start] in _QUOTES):
        return False
    if span.type == "PERSON":
        return language == "English" and not _STORY.match(text) and _is_name(value) and _has_cue(before)
    if span.type == "PHONE_NUMBER":
        return _is_phone(value) and (bool(_CALLED.search(before)) or _leads(text, span))
    if span.type == "EMAIL_ADDRESS":
        return "/" not in value and not _SAMPLE_MAIL.match(value)
    if span.type == "CREDIT_CARD":
        return "card" in text[max(0, span.start - _AROUND_CARD) : span.end + _AROUND_CARD].lower()
    return _PROFILE.match(value) is not None


_UNLESS_QUOTED = frozenset({"PERSON", "PHONE_NUMBER", "EMAIL_ADDRESS"})


def _is_name(value: str) -> bool:
    plain = all(c.isalpha() or c in " .-" for c in value)
    whole = len(value.split()) >= 2 and value[-1] not in ".-" and not value[0].islower()
    return plain and whole and " the " not in value.lower()


def _has_cue(before: str) -> bool:
    return bool(_INTRODUCED.search(before) or _ADDRESSED.search(before))


def _is_phone(value: str) -> bool:
    plain = len(value) > _SHORT_PHONE and "  " not in value and _PHONE_CHARS.fullmatch(value) is not None
    return plain and not _PRIVATE_RANGE.match(value)


def _leads(text: str, span: Span) -> bool:
    """Whether a number begins with a plus after white space."""
    alone = span.start == 0 or text[span.start - 1].isspace()
    return alone and text[span.start] == "+" and text[span.start + 1 : span.start + 2].isdigit()
