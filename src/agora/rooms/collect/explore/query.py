"""What may be asked: words that must all be in a message, "phrases in quotation marks", and -words that must not.

Nothing of a query reaches a database but words and their order, so no query is an error of syntax or does anything else
than look.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from agora.core.errors import UsageError
from agora.rooms.collect.explore.words import tokens

Part = Literal["prompt", "reply"]
Phrase = tuple[str, ...]


def part_of(role: str) -> Part:
    """Where a message of a role is looked for: what a model said is a reply, all else a prompt."""
    return "reply" if role == "assistant" else "prompt"


_TERM = re.compile(r'(?P<minus>-?)(?:["“”„«»](?P<phrase>[^"“”„«»]*)["“”„«»]?|(?P<word>[^\s"“”„«»]+))')
_MOST_CHARS, _MOST_TERMS, _MOST_WORDS = 1000, 32, 64


@dataclass(frozen=True, slots=True)
class Query:
    """Phrases (a word is a phrase of one) that a message must all hold, and those it must not hold."""

    wanted: tuple[Phrase, ...] = ()
    unwanted: tuple[Phrase, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.wanted)

    def as_fts5(self, part: Part | None = None) -> str:
        """The query in the language of SQLite's FTS5; ``part`` looks at prompts or replies alone."""
        found = " AND ".join(_quoted(phrase) for phrase in self.wanted)
        if self.unwanted:
            found = f"({found}) NOT ({' OR '.join(_quoted(phrase) for phrase in self.unwanted)})"
        return f"{part} : ({found})" if part else found

    def as_tsquery(self, part: Part | None = None) -> str:
        """The query in the language of PostgreSQL's ``tsquery``."""
        label = {None: "", "prompt": ":A", "reply": ":B"}[part]
        wanted = [_followed(phrase, label) for phrase in self.wanted]
        return " & ".join(wanted + [f"!{_followed(phrase, label)}" for phrase in self.unwanted])


def parse_query(text: str) -> Query:
    """Read a query; whatever is in it is a word, or is passed over.

    Raises:
        UsageError: there are only words to leave out, or the query is far too long.
    """
    if len(text) > _MOST_CHARS:
        raise UsageError(f"the query has {len(text):,} characters, at most {_MOST_CHARS:,} fit")
    wanted: dict[Phrase, None] = {}
    unwanted: dict[Phrase, None] = {}
    for match in _TERM.finditer(text):
        phrase = tuple(tokens(match["phrase"] if match["phrase"] is not None else match["word"])[:_MOST_WORDS])
        if phrase:
            (unwanted if match["minus"] else wanted)[phrase] = None
    if len(wanted) + len(unwanted) > _MOST_TERMS:
        raise UsageError(f"the query has {len(wanted) + len(unwanted)} words, at most {_MOST_TERMS} fit")
    if unwanted and not wanted:
        raise UsageError("a query needs a word to find beside those to leave out", hint="add a word without -")
    if text.strip() and not wanted:
        raise UsageError("there is no word in the query", hint="write letters or digits")
    return Query(tuple(wanted), tuple(unwanted))


def _quoted(phrase: Phrase) -> str:
    return '"' + " ".join(phrase) + '"'  # a folded word holds letters, digits and marks alone


def _followed(phrase: Phrase, label: str) -> str:
    return "(" + " <-> ".join(f"'{word}'{label}" for word in phrase) + ")"
