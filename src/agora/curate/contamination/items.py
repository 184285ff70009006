"""The items of a test, read from any table: what is asked, and the answer where the table has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agora.core.errors import DataError
from agora.curate.sources import open_source, source_name

Part = Literal["instruction", "answer", "both"]
_PROMPTS = ("prompt", "instruction", "question", "problem", "input", "original", "text", "query", "messages")
_ANSWERS = ("answer", "canonical_solution", "solution", "response", "output", "reference", "completion", "target")
_ASKERS, _ANSWERERS = ("user", "human"), ("assistant", "gpt")


@dataclass(frozen=True, slots=True)
class TestItem:
    """One item: the name of its test, its line there, what it asks, and its answer (None where there is none)."""

    __test__ = False  # not a test case

    source: str
    line: int
    prompt: str
    answer: str | None = None

    @property
    def name(self) -> str:
        """``SOURCE:LINE``."""
        return f"{self.source}:{self.line}"

    def texts(self, part: Part) -> tuple[str, ...]:
        """What others are compared with. Of both parts also where the prompt runs over into the answer."""
        if part == "instruction" or self.answer is None:
            return (self.prompt,) if part != "answer" else ()
        return (self.answer,) if part == "answer" else (self.prompt, self.answer, f"{self.prompt}\n{self.answer}")


def read_items(path: Path) -> Iterator[TestItem]:
    """Stream the items of a table, a folder or a hub's data set.

    Raises:
        MissingError: no such file.
        DataError: no column with a prompt; names the columns.
    """
    name = source_name(path)
    for _, row in open_source(path):
        prompt = _text_of(row.data, _PROMPTS, _ASKERS)
        if prompt is None:
            columns = ", ".join(map(repr, list(row.data)[:12]))
            hint = f"a test has its prompts in one of {', '.join(_PROMPTS)}"
            raise DataError(f"no column with a prompt; the columns are {columns}", where=f"{path}", hint=hint)
        answer = _text_of(row.data, (*_ANSWERS, "messages"), _ANSWERERS)
        yield TestItem(name, row.line, "\n".join([prompt, *_choices(row.data)]), answer)


def _choices(row: Mapping[str, Any]) -> list[str]:
    """The options of a multiple-choice question: they are part of what is asked."""
    found = row.get("choices", row.get("options"))
    return found if isinstance(found, list) and all(isinstance(choice, str) for choice in found) else []


def _text_of(row: Mapping[str, Any], columns: tuple[str, ...], roles: tuple[str, ...]) -> str | None:
    for column in columns:
        value = row.get(column)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(isinstance(m, Mapping) for m in value):
            turns = [m.get("content", m.get("value")) for m in value if m.get("role", m.get("from")) in roles]
            if turns and all(isinstance(t, str) for t in turns):
                return "\n".join(turns)
    return None
