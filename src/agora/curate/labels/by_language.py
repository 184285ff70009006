"""The language of an instruction: offline, told by :mod:`agora.curate.language`, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from agora.core.records import JsonMap
from agora.curate.language import UNKNOWN, VERSION, Language, detect
from agora.curate.rows import instruction_of, with_tag

_BATCH = 512


def label_language(rows: Iterable[JsonMap]) -> Iterator[JsonMap]:
    """The rows in order, each with a tag ``language``: ISO 639 code in upper case, and the confidence, 0 to 1.

    The language of program text is that of the words in it. A row without letters gets status ``failed``. A tag that is
    ``ok`` stays.

    Raises:
        MissingError: a detector is not installed; names it.
    """
    iterator = iter(rows)
    while batch := list(islice(iterator, _BATCH)):
        todo = [i for i, row in enumerate(batch) if not _has(row)]
        tags = dict(zip(todo, detect_languages([instruction_of(batch[i]) for i in todo]), strict=True))
        for i, row in enumerate(batch):
            yield with_tag(row, "language", tags[i]) if i in tags else row


def detect_languages(texts: list[str]) -> list[JsonMap]:
    """One tag a text; see :func:`label_language`."""
    return [_tag(language) for language in detect(texts)]


def _tag(language: Language) -> JsonMap:
    if language.words_code == UNKNOWN:
        return {"value": None, "generator": VERSION, "status": "failed", "error": "no language in it"}
    code, confidence = language.words_code.upper(), language.score
    return {"value": code, "confidence": confidence, "generator": VERSION, "status": "ok"}


def _has(row: JsonMap) -> bool:
    tag: Any = (row.get("tags") or {}).get("language")
    return isinstance(tag, dict) and tag.get("status") == "ok"
