"""Find personal data in a conversation file, count it, and write the file with tokens in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from agora.core.errors import UsageError
from agora.core.progress import progress
from agora.core.records import JsonMap
from agora.curate.curation import CurateReport, curate
from agora.curate.personal.engines import Finder, find_engine
from agora.curate.personal.find import VERSION, Hints
from agora.curate.personal.redact import redact_fully
from agora.curate.personal.spans import THRESHOLD, Span, in_order
from agora.curate.rows import with_tag

How = Literal["numbered", "compat", "none"]
WAYS: tuple[str, ...] = get_args(How)
_TEXTS = ("raw_text", "instruction", "answer")  # of a sample: copies of what its messages say


def personal_file(
    path: Path,
    out: Path,
    *,
    how: How = "numbered",
    engine: str = "patterns",
    threshold: float = THRESHOLD,
    format: str = "auto",
) -> CurateReport:
    """Find personal data in every message of a file.

    Each row gets the tag ``personal``: how many spans of which type it held. With ``none`` the texts stay and every
    message's ``meta`` gets its spans (places, no values); else tokens replace the values, in all messages of a row.

    Args:
        path: any readable file of conversations or samples.
        out: all its rows.
        how: ``numbered`` (``<EMAIL_1>``), ``compat`` (the published WildChat's tokens) or ``none``.
        engine: see :func:`agora.curate.personal.engines.find_engine`.
        threshold: spans that score less stay; at least what the release's residual scan takes.
        format: of the input.

    Raises:
        UsageError: no such way.
        MissingError: the engine's package or model is not on this machine.
    """
    if how not in WAYS:
        raise UsageError(f"--redact is {', '.join(WAYS)}, got {how!r}")
    if not 0 < threshold <= 1:
        raise UsageError(f"a threshold lies above 0 and up to 1, got {threshold:g}")
    finder = find_engine(engine)
    types, below, rules, rows_with = Counter[str](), Counter[str](), Counter[str](), 0
    config = {"redact": how, "engine": engine, "threshold": threshold, "patterns": VERSION}
    with curate(path, out, verb="personal", steps=[], config=config, format=format) as work:

        def done() -> Iterator[JsonMap]:
            nonlocal rows_with
            with progress(None, "personal", "rows") as bar:
                for row in work.rows():
                    spans = _spans(row, finder)
                    counted = Counter(s.type for of_text in spans for s in of_text if s.score >= threshold)
                    types.update(counted)
                    below.update(s.type for of_text in spans for s in of_text if s.score < threshold)
                    rules.update(s.by for of_text in spans for s in of_text if s.score >= threshold)
                    rows_with += bool(counted)
                    bar.advance()
                    tag = {"value": sum(counted.values()), "types": dict(sorted(counted.items())), "status": "ok"}
                    yield with_tag(_rewritten(row, spans, how, threshold), "personal", {**tag, "generator": engine})

        work.write(done())
        work.facts |= {"types": dict(types.most_common()), "below_threshold": dict(below.most_common())}
        work.facts |= {"rules": dict(rules.most_common()), "rows_with_personal_data": rows_with, "redacted": how}
    return work.report


def hints_of(row: JsonMap, message: JsonMap) -> Hints:
    """What a row and a message tell of where it was written: language, country, accept-language where they are kept."""
    meta: Any = message.get("meta") or {}
    header = meta.get("header")
    language = meta.get("language") or (row.get("provenance") or {}).get("language")
    accept = header.get("accept-language") if isinstance(header, dict) else None
    country = meta.get("country_iso")
    return Hints(
        accept if isinstance(accept, str) else None,
        country if isinstance(country, str) else None,
        language.lower() if isinstance(language, str) and len(language) == 2 else None,
    )


def _spans(row: JsonMap, finder: Finder) -> list[list[Span]]:
    messages = row["messages"]
    own = [hints_of(row, message) for message in messages]
    # a reply speaks of numbers as the person before it does
    first = next((h for h in own if h.accept_language or h.country), None)
    hints = [replace(first, language=h.language) if first and not h.accept_language else h for h in own]
    return [in_order(finder(str(m["content"]), h)) for m, h in zip(messages, hints, strict=True)]


def _rewritten(row: JsonMap, spans: list[list[Span]], how: How, threshold: float) -> JsonMap:
    messages = row["messages"]
    if how == "none":
        marked = [
            {**m, "meta": {**(m.get("meta") or {}), "personal": [s.as_json() for s in found]}} if found else m
            for m, found in zip(messages, spans, strict=True)
        ]
        return {**row, "messages": marked}
    texts = [str(m["content"]) for m in messages]
    # a sample says its instruction and answer again in fields of their own
    extra = [name for name in _TEXTS if isinstance(row.get(name), str)]
    copies = [str(row[name]) for name in extra]
    known = [_copied(copy, texts, spans) for copy in copies]
    new, _ = redact_fully([*texts, *copies], [*spans, *known], style=how, threshold=threshold)
    changed = [{**m, "content": text} for m, text in zip(messages, new, strict=False)]
    return {**row, "messages": changed, **dict(zip(extra, new[len(texts) :], strict=True))}


def _copied(copy: str, texts: list[str], spans: list[list[Span]]) -> list[Span]:
    """The spans of the messages' texts, where a field repeats one of them."""
    found = []
    for text, of_text in zip(texts, spans, strict=True):
        at = copy.find(text) if of_text else -1
        if at >= 0:
            found += [s._replace(start=s.start + at, end=s.end + at) for s in of_text]
    return found
