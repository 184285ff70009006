"""System prompts that steer what is drawn: a library over the task categories, in any language, chosen by weight.

A system prompt that says what the assistant is for makes the simulated user ask for that (arXiv:2406.08464, section
3.1 and appendix on domains). The paper draws without one by default: it lowers quality and difficulty a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from agora.core.errors import ConfigError
from agora.core.files import nearest
from agora.core.yaml_text import parse_yaml


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """One system prompt and what it asks for.

    Args:
        text: what the model reads; empty takes the library's text of ``category``.
        category: task category that the drawn instructions should have; reported beside the tagged one.
        language: of the user and the answers, by its English name; None says nothing about it.
        weight: relative to the other prompts of a mixture, at least 0.

    Raises:
        ConfigError: neither a text, a known category nor a language is given.
    """

    text: str = ""
    category: str | None = None
    language: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ConfigError(f"the weight of a system prompt must be at least 0, got {self.weight}")
        if not self.text and self.category is not None:
            find_domain(self.category)
        if not self.text and self.category is None and self.language is None:
            raise ConfigError("a system prompt needs a text, a category or a language")

    @property
    def full_text(self) -> str:
        """What the model reads."""
        parts = [self.text]
        if not self.text:
            parts = [find_domain(self.category).text] if self.category is not None else [_GENERAL]
        if self.language is not None:
            parts.append(_LANGUAGE.format(language=self.language))
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Domain:
    """One entry of the library."""

    category: str
    weight: float
    text: str


_FORM = "You are an assistant for {domain}. People come to you with {asks}. Your purpose is to {purpose}."
_GENERAL = "You are a helpful assistant."
_LANGUAGE = (
    "The people who write to you speak {language}: their messages are written in {language}, and so are your answers."
)


@lru_cache(maxsize=1)
def domains() -> tuple[Domain, ...]:
    """The library: the eleven task categories, with the weights of the public magpie-ultra v1.0 set."""
    text = files("agora.rooms.synthesize").joinpath("prompts", "domains.yaml").read_text("utf-8")
    rows, _ = parse_yaml(text, "domains.yaml")
    return tuple(
        Domain(
            row["category"],
            float(row["weight"]),
            _FORM.format(domain=row["domain"], asks=row["asks"].strip(), purpose=row["purpose"]),
        )
        for row in rows
    )


def find_domain(category: str) -> Domain:
    """The library's entry of a category, whatever its case.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    wanted = category.strip().lower()
    for domain in domains():
        if domain.category.lower() == wanted:
            return domain
    known = [domain.category for domain in domains()]
    near = nearest(wanted, [name.lower() for name in known])
    hint = f"did you mean {near}?" if near else f"known categories: {', '.join(known)}; or give a text of your own"
    raise ConfigError(f"the library has no system prompt for {category!r}", hint=hint)


def library_prompts(names: Iterable[str], *, language: str | None = None) -> dict[str, SystemPrompt]:
    """System prompts by key from words such as ``math``, ``coding & debugging=2`` or ``all``.

    Args:
        names: categories with an optional weight; ``all`` is the whole library with its published weights.
        language: of every prompt. Without names, one prompt for the language alone.

    Raises:
        ConfigError: an unknown category or a weight that is no number.
    """
    found: dict[str, SystemPrompt] = {}
    for name in names:
        category, sign, weight = name.partition("=")
        if category.strip().lower() == "all":
            chosen = [(domain.category, domain.weight) for domain in domains()]
        else:
            chosen = [(find_domain(category).category, _weight(weight) if sign else 1.0)]
        for one, share in chosen:
            found[one.lower()] = SystemPrompt(category=one, language=language, weight=share)
    if not found and language is not None:
        found[language.lower()] = SystemPrompt(language=language)
    return found


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"a weight must be a number, got {text!r}", hint="write --domain math=2") from None


def mixture(prompts: Mapping[str, SystemPrompt]) -> tuple[tuple[str, float], ...]:
    """The ``systems`` of a :class:`agora.rooms.synthesize.Slice` that draws from all prompts by their weights."""
    return tuple((key, prompt.weight) for key, prompt in prompts.items())
