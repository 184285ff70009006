"""The words of moderation: why a conversation waits, and what a person may say of a reply."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a conversation waits, the most urgent first."""

    REPORT = "report"
    SECRET = "secret"
    TOX = "tox"
    AUTOMATION = "automation"
    PII = "pii"
    NEW = "new"  # everything waits: nobody has looked at what was said last

    @property
    def priority(self) -> int:
        """Place in the queue; the smallest first."""
        return list(Reason).index(self)


class Why(StrEnum):
    """What a person says is wrong with a reply."""

    HARMFUL = "harmful"
    PERSONAL = "personal"
    WRONG = "wrong"
    OTHER = "other"
