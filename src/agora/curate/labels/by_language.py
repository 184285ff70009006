"""The language of an instruction, by lingua: offline, all its 75 languages, loaded once, a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

from agora.core.errors import MissingError
from agora.core.records import JsonMap
from agora.curate.rows import instruction_of, with_tag

NAME = "lingua"
_BATCH = 512
_MAX_CHARS = 1000  # longer texts do not become clearer, only slower
_SHORT_CHARS = 120  # below, trigrams alone err too often; above, they are as good and load in a tenth of the time
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


def label_language(rows: Iterable[JsonMap]) -> Iterator[JsonMap]:
    """The rows in order, each with a tag ``language``: ISO 639-1 code in upper case, and the confidence, 0 to 1.

    Fenced code is left out of account. A row without letters gets status ``failed``. A tag that is ``ok`` stays.

    Raises:
        MissingError: lingua-language-detector is not installed.
    """
    iterator = iter(rows)
    while batch := list(islice(iterator, _BATCH)):
        todo = [i for i, row in enumerate(batch) if not _has(row)]
        tags = dict(zip(todo, detect_languages([instruction_of(batch[i]) for i in todo]), strict=True))
        for i, row in enumerate(batch):
            yield with_tag(row, "language", tags[i]) if i in tags else row


def detect_languages(texts: list[str]) -> list[JsonMap]:
    """One tag a text; see :func:`label_language`."""
    shown = [_shown(text) for text in texts]
    tags = [_tag([]) for _ in texts]
    for accurate in (False, True):
        chosen = [i for i, t in enumerate(shown) if any(map(str.isalpha, t)) and (len(t) < _SHORT_CHARS) == accurate]
        if chosen:
            found = _detector(accurate).compute_language_confidence_values_in_parallel([shown[i] for i in chosen])
            for i, confidences in zip(chosen, found, strict=True):
                tags[i] = _tag(confidences)
    return tags


def _shown(text: str) -> str:
    without = _CODE.sub(" ", text)
    return (without if without.strip() else text)[:_MAX_CHARS]


def _tag(confidences: Any) -> JsonMap:
    if not confidences or confidences[0].value <= 0:
        return {"value": None, "generator": NAME, "status": "failed", "error": "no language in it"}
    best = confidences[0]
    code = best.language.iso_code_639_1.name.upper()
    return {"value": code, "confidence": round(best.value, 4), "generator": NAME, "status": "ok"}


def _has(row: JsonMap) -> bool:
    tag: Any = (row.get("tags") or {}).get("language")
    return isinstance(tag, dict) and tag.get("status") == "ok"


@cache
def _detector(accurate: bool) -> Any:
    try:
        from lingua import LanguageDetectorBuilder
    except ImportError as error:
        hint = "pip install lingua-language-detector"
        raise MissingError("labels of language need lingua-language-detector", hint=hint) from error
    builder = LanguageDetectorBuilder.from_all_languages()
    return builder.build() if accurate else builder.with_low_accuracy_mode().build()
