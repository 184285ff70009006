"""Who looks for personal data: our patterns alone, or with a model on disk or Presidio beside them.

Layer B (names, places, organizations in running text) needs a model. It is never downloaded: the operator names one
that is installed, as ``spacy:NAME_OR_PATH``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from agora.core.errors import MissingError, UsageError
from agora.curate.personal.find import NO_HINTS, Hints, find
from agora.curate.personal.spans import Span, in_order

Finder = Callable[[str, Hints], list[Span]]
_MODEL_CHARS = 20_000  # a model reads so much at once
_OF_SPACY = {"PERSON": "PERSON", "PER": "PERSON", "PERSNAME": "PERSON", "PS": "PERSON"}


def find_engine(name: str) -> Finder:
    """A finder by its name.

    Args:
        name: ``patterns`` (ours); ``presidio`` (ours and Presidio's recognizers, with a blank language model);
            ``spacy:MODEL`` (ours and the names that a spaCy model on disk finds).

    Raises:
        UsageError: no such engine.
        MissingError: its package or model is not on this machine.
    """
    kind, _, model = name.partition(":")
    if name == "patterns":
        return lambda text, hints: find(text, hints)
    if name == "presidio":
        return _both(_presidio())
    if kind == "spacy" and model:
        return _both(_spacy(model))
    raise UsageError(f"there is no engine {name!r}", hint="choose patterns, presidio or spacy:MODEL")


def engine_version(name: str) -> str:
    """The version of an engine's package, for manifests; empty for our patterns or where it is not installed."""
    try:
        return version({"presidio": "presidio-analyzer", "spacy": "spacy"}[name.partition(":")[0]])
    except (KeyError, PackageNotFoundError):
        return ""


def _both(more: Callable[[str], Iterator[Span]]) -> Finder:
    def finder(text: str, hints: Hints = NO_HINTS) -> list[Span]:
        return in_order([*find(text, hints), *more(text)])

    return finder


def _spacy(model: str) -> Callable[[str], Iterator[Span]]:
    try:
        import spacy

        pipeline = spacy.load(model, exclude=["lemmatizer", "textcat"])
    except ImportError as error:
        raise MissingError("names by a model need spaCy", hint="pip install spacy, and a model of its own") from error
    except OSError as error:
        hint = "install it beside this package, or name its folder; nothing is downloaded"
        raise MissingError(f"there is no spaCy model {model!r} on this machine", hint=hint) from error

    def names(text: str) -> Iterator[Span]:
        for at in range(0, len(text), _MODEL_CHARS):
            for entity in pipeline(text[at : at + _MODEL_CHARS]).ents:
                if entity.label_ in _OF_SPACY and entity.text.strip():
                    yield Span("PERSON", at + entity.start_char, at + entity.end_char, 0.7, f"spacy_{model}"[:40])

    return names


def _presidio() -> Callable[[str], Iterator[Span]]:
    analyzer = blank_presidio()

    def more(text: str) -> Iterator[Span]:
        for found in analyzer.analyze(text, language="en"):
            yield Span(found.entity_type, found.start, found.end, float(found.score), "presidio")

    return more


def blank_presidio() -> Any:
    """Presidio's ``AnalyzerEngine`` over an empty English pipeline: its patterns and checks, no model, no network.

    Raises:
        MissingError: presidio-analyzer is not installed.
    """
    try:
        import spacy
        import tldextract
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
    except ImportError as error:
        hint = "pip install presidio-analyzer (it brings spaCy, 126 MB)"
        raise MissingError("this engine needs presidio-analyzer", hint=hint) from error
    # its e-mail recognizer would fetch a list of domains at first use
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "blank"}])
    engine.nlp = {"en": spacy.blank("en")}
    return AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
