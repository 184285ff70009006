"""Secrets out of everything that is written: by the key's name, by the value's shape, by the environment.

Numbers are never secrets and ``max_tokens`` or ``eos_token`` are no keys to anything, so a run's configuration stays
comparable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from agora.core.secret_shapes import SECRET_SHAPES

REDACTED = "[redacted]"

_ALWAYS = re.compile("secrets?|passwords?|passwd|passphrase|authorization|credentials?|bearer|cookie|apikey")
_WHEN_LAST = re.compile("key|token")
_PLURAL = re.compile("keys|tokens")
_OPENS = re.compile("api|auth|access|refresh|private|hf|openai|session")
# what turns "token" and "key" into the vocabulary of language models and tables
_HARMLESS = re.compile(
    "bos|eos|pad|unk|sep|cls|mask|stop|end|start|special|image|first|last|next|prev|per|added|flat|banned|chat|user"
    "|assistant|system|prefix|suffix|decoder|forced|sort|group|id|primary|foreign|dict|field|column|text|message|prompt"
    "|row|join|cache|model|label|order|task|conversation"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_USERINFO = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@?#]+@")
_VALUE = r"(?:'[^']*'|\"[^\"]*\"|[^\s&]+)"
_ASSIGNED = re.compile(rf"((?<![\w.])(?P<name>[A-Za-z][\w.-]*)=){_VALUE}")  # name=VALUE, also in a URL's query
_OPTION = re.compile(rf"(--?(?P<name>[A-Za-z][\w-]*)\s+)(?!-){_VALUE}")  # --name VALUE
# each shape apart: their named groups may not meet in one pattern
_SHAPES = [re.compile(shape.pattern) for shape in SECRET_SHAPES]
_BEARER = re.compile(r"(?<=[Bb]earer )[\w.~+/=-]{8,}")


def is_secret_key(key: str) -> bool:
    """True when a value under this key would open something: ``api_key``, ``hfToken``, ``password``."""
    words = [word.lower() for word in _WORD.findall(key)]
    if not words:
        return False
    before = words[-2] if len(words) > 1 else ""
    if _WHEN_LAST.fullmatch(words[-1]):
        return not _HARMLESS.fullmatch(before)
    plural = _PLURAL.fullmatch(words[-1]) and _OPENS.fullmatch(before)
    return bool(plural) or any(_ALWAYS.fullmatch(word) for word in words)


def redact(value: Any) -> Any:
    """A copy of a JSON-like value without its secrets.

    Strings under a secret's key become ``[redacted]``; everywhere else passwords in URLs, ``--api-key VALUE``,
    tokens of a known shape, and the values of secret environment variables are cut out of strings.
    """
    return _redact(value, False, _environment_secrets())


def _redact(value: Any, hide: bool, known: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return (REDACTED if value else value) if hide else _redact_text(value, known)
    if isinstance(value, Mapping):
        return {k: _redact(v, hide or (isinstance(k, str) and is_secret_key(k)), known) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_redact(v, hide, known) for v in value]
    return value


def _redact_text(text: str, known: tuple[str, ...]) -> str:
    for secret in known:
        text = text.replace(secret, REDACTED)
    text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    text = _OPTION.sub(_redact_setting, _ASSIGNED.sub(_redact_setting, text))
    for shape, pattern in zip(SECRET_SHAPES, _SHAPES, strict=True):
        if any(needle in text for needle in shape.needles):
            text = pattern.sub(_redact_value, text)
    return _BEARER.sub(REDACTED, text)


def _redact_value(found: re.Match[str]) -> str:
    if "value" not in found.re.groupindex:
        return REDACTED
    start, end = found.start("value") - found.start(), found.end("value") - found.start()
    return found[0][:start] + REDACTED + found[0][end:]


def _redact_setting(found: re.Match[str]) -> str:
    return found[1] + REDACTED if is_secret_key(found["name"]) else found[0]


def _environment_secrets() -> tuple[str, ...]:
    return tuple(v for k, v in os.environ.items() if len(v) >= 8 and is_secret_key(k))
