"""Prompts that a test asks: found by equal text and by shared runs of words, removed and counted.

Word runs find copies and near copies; they are blind to paraphrases and to other languages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agora.core.errors import ConfigError, DataError
from agora.core.records import JsonMap, PreferencePair
from agora.curate.pairs.sources import open_source, source_name
from agora.curate.text import normalize

NGRAM_WORDS = 8
_WORD = re.compile(r"\w+")
_COLUMNS = ("prompt", "instruction", "question", "problem", "input", "original", "text", "query", "messages")
_EXAMPLES = 20


class Hit(NamedTuple):
    """A training prompt and the test text that it meets; ``shared`` is the run of words, or the whole text."""

    pair_id: str
    test: str
    kind: Literal["exact", "ngram"]
    shared: str


class TestTexts:
    """The texts of one or several tests, ready to be met.

    Args:
        n: words in a run. A text of fewer words is only compared whole.

    Raises:
        ConfigError: ``n`` is under 2.
    """

    __test__ = False  # not a test case

    def __init__(self, n: int = NGRAM_WORDS) -> None:
        if n < 2:
            raise ConfigError(f"a run must have at least 2 words, got {n}")
        self.n = n
        self.num_texts = 0
        self._whole: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    def add(self, text: str, name: str) -> None:
        """Take in a text; ``name`` says in hits where it is from."""
        self.num_texts += 1
        if whole := normalize(text):
            self._whole.setdefault(whole, name)
        for run in _runs(text, self.n):
            self._runs.setdefault(run, name)

    def add_file(self, path: Path) -> None:
        """Take in the prompts of a table.

        Raises:
            MissingError: no such file.
            DataError: no column with a prompt; names the columns.
        """
        name = source_name(path)
        for _, row in open_source(path):
            text = _text_of(row.data)
            if text is None:
                columns = ", ".join(map(repr, list(row.data)[:12]))
                hint = f"a test has its prompts in one of {', '.join(_COLUMNS)}"
                raise DataError(f"no column with a prompt; the columns are {columns}", where=f"{path}", hint=hint)
            self.add(text, f"{name}:{row.line}")

    def meet(self, text: str, pair_id: str = "") -> Hit | None:
        """The first test text that a prompt equals or shares a run of words with."""
        whole = normalize(text)
        if whole in self._whole:
            return Hit(pair_id, self._whole[whole], "exact", whole)
        for run in _runs(text, self.n):
            if run in self._runs:
                return Hit(pair_id, self._runs[run], "ngram", run)
        return None


def _runs(text: str, n: int) -> Iterable[str]:
    words = _WORD.findall(text.lower())
    return (" ".join(words[i : i + n]) for i in range(len(words) - n + 1))


def _text_of(row: Mapping[str, Any]) -> str | None:
    for column in _COLUMNS:
        value = row.get(column)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(isinstance(m, Mapping) for m in value):
            turns = [m.get("content", m.get("value")) for m in value if m.get("role", m.get("from")) in _ASKERS]
            if turns and all(isinstance(t, str) for t in turns):
                return "\n".join(turns)
    return None


_ASKERS = ("user", "human")


class Decontaminated(NamedTuple):
    """The pairs whose prompts no test asks; how many were removed, by kind; the first of the removed."""

    pairs: list[PreferencePair]
    removed: Counter[str]
    hits: list[Hit]

    def to_json(self) -> JsonMap:
        """Counts and examples, without the pairs."""
        return {"removed": dict(self.removed), "examples": [hit._asdict() for hit in self.hits]}


def decontaminate(pairs: Iterable[PreferencePair], tests: TestTexts) -> Decontaminated:
    """Remove the pairs in which a user turn is, or shares a run of words with, a text of a test."""
    kept: list[PreferencePair] = []
    removed: Counter[str] = Counter()
    hits: list[Hit] = []
    for pair in pairs:
        asked = [m.content for side in (pair.prompt, pair.chosen, pair.rejected) for m in side if m.role == "user"]
        hit = next((found for text in asked if (found := tests.meet(text, pair.id))), None)
        if hit is None:
            kept.append(pair)
            continue
        removed[f"{'equals' if hit.kind == 'exact' else f'{tests.n} words of'} {hit.test.rpartition(':')[0]}"] += 1
        if len(hits) < _EXAMPLES:
            hits.append(hit)
    return Decontaminated(kept, removed, hits)
