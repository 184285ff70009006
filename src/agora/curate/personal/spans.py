"""A found piece of personal data: what it is, where it stands, how sure that is, and which rule found it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from agora.core.secret_shapes import SECRET_SHAPES

THRESHOLD = 0.4  # spans below it are look-alikes: kept on record, not redacted, and no reason to stop a release

# type -> word in a numbered token (<EMAIL_1>); a type that is not listed here is its own word
SHORT_NAMES: Mapping[str, str] = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "US_SSN": "SSN",
    "CRYPTO": "WALLET",
    "NATIONAL_ID": "ID",
    "DOMAIN_NAME": "URL",
}

# type -> the name of TruffleHog's detector, for compat tokens
SECRET_TYPES: Mapping[str, str] = {
    "AWS": "AWS",
    "AWS_SECRET": "AWS",
    "GITHUB": "Github",
    "GITLAB": "Gitlab",
    "SLACK": "Slack",
    "STRIPE": "Stripe",
    "ANTHROPIC": "Anthropic",
    "OPENAI": "OpenAI",
    "HUGGINGFACE": "HuggingFace",
    "GOOGLE": "GoogleApiKey",
    "SENDGRID": "SendGrid",
    "NPM": "NpmToken",
    "PYPI": "PyPi",
    "DIGITALOCEAN": "DigitalOceanToken",
    "TELEGRAM": "TelegramBotToken",
    "JWT": "JWT",
    "PRIVATE_KEY": "PrivateKey",
    "AZURE": "AzureStorage",
    "URL_PASSWORD": "URI",
    "PASSWORD": "Generic",
}
assert {shape.name for shape in SECRET_SHAPES} <= SECRET_TYPES.keys()


class Span(NamedTuple):
    """``text[start:end]`` is personal data of a ``type``; ``score`` in 0..1; ``by`` names the rule."""

    type: str
    start: int
    end: int
    score: float
    by: str

    def as_json(self) -> dict[str, Any]:
        """Plain JSON; holds no value, only its place."""
        return self._asdict()

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Span:
        """The inverse of :meth:`as_json`.

        Raises:
            KeyError: a member is missing.
        """
        return cls(str(row["type"]), int(row["start"]), int(row["end"]), float(row["score"]), str(row["by"]))

    @property
    def is_secret(self) -> bool:
        """Whether it opens something, rather than tells of somebody."""
        return self.type in SECRET_TYPES


def in_order(spans: Iterable[Span]) -> list[Span]:
    """Spans by place, the longer first where two begin together; exact repeats of type and place once."""
    best: dict[tuple[str, int, int], Span] = {}
    for span in spans:
        key = span[:3]
        if key not in best or best[key].score < span.score:
            best[key] = span
    return sorted(best.values(), key=lambda s: (s.start, -s.end, -s.score, s.type))


def merged(spans: Sequence[Span]) -> list[Span]:
    """What is to be replaced: spans that overlap become one, under the type of the longest of them.

    The longest wins and takes what the others covered, so that no half of a shorter one is left standing.
    """
    groups: list[list[Span]] = []
    end = -1
    for span in in_order(spans):
        if span.start < end:
            groups[-1].append(span)
            end = max(end, span.end)
        else:
            groups.append([span])
            end = span.end
    found = []
    for group in groups:
        winner = max(group, key=lambda s: (s.end - s.start, s.score))
        found.append(winner._replace(start=group[0].start, end=max(s.end for s in group)))
    return found
