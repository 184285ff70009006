"""Keys, tokens and passwords in a text, by form alone; nobody is asked whether they are live."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from agora.core.secret_shapes import SECRET_SHAPES, SecretShape
from agora.curate.personal.patterns import URL_PASSWORD
from agora.curate.personal.recognizer import Recognizer
from agora.curate.personal.spans import Span

_PASSWORD = re.compile(
    r"\b(?:password|passwd|passcode|passphrase|pwd|passwort|kennwort|contraseña|mot de passe"
    r"|senha|пароль|密码|パスワード|비밀번호)"
    r"[\"']?(?:\s{0,3}[:=：]\s{0,3}|\s(?:is|ist|es|est|é|:)\s{1,3}|[是は]\s?)(?P<quote>[\"'`]?)"
    r"(?P<value>[^\s\"'`<>,;()\[\]{}]{6,64})(?P=quote)",
    re.IGNORECASE,
)
_WORDS = (
    "pass",
    "Pass",
    "PASS",
    "pwd",
    "PWD",
    "ennwort",
    "contraseña",
    "senha",
    "Senha",
    "пароль",
    "Пароль",
    "密码",
    "パスワード",
    "비밀번호",
)
# what stands in manuals where a key would stand
_PLACEHOLDER = re.compile(r"[xX]{5,}|\.\.\.|\*{3,}|your[-_ ]|YOUR[-_ ]|placeholder")


def _secret(name: str, found: re.Match[str]) -> Iterator[Span]:
    group: int | str = "value" if "value" in found.re.groupindex else 0
    value = found[group]
    if name == "OPENAI":
        # a hyphenated phrase or a name in a program has no digits among its letters
        random = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        if not random:
            return
    score = 0.3 if name != "PRIVATE_KEY" and _PLACEHOLDER.search(value) else 0.95
    yield Span(name, found.start(group), found.end(group), score, f"secret_{name.lower()}")


def _password(found: re.Match[str]) -> Iterator[Span]:
    value = found["value"].rstrip(".!?")
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    if len(value) >= 6 and mixed and not _PLACEHOLDER.search(value) and "." not in value[1:-1]:
        start = found.start("value")
        yield Span("PASSWORD", start, start + len(value), 0.6, "secret_password")


def _may(text: str, needles: tuple[str, ...]) -> bool:
    return any(needle in text for needle in needles)


def _recognizer(shape: SecretShape) -> Recognizer:
    may = partial(_may, needles=shape.needles)
    return Recognizer(f"secret_{shape.name.lower()}", re.compile(shape.pattern), partial(_secret, shape.name), may)


SECRETS: tuple[Recognizer, ...] = (
    *(_recognizer(shape) for shape in SECRET_SHAPES),
    URL_PASSWORD,
    Recognizer("secret_password", _PASSWORD, _password, partial(_may, needles=_WORDS)),
)
