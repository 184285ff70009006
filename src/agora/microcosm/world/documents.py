"""Plain-text documents whose salient facts are known: what the base model of the microcosm reads."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agora.microcosm.world import passages, workbook

#: Share of workbook pages. They run longer than the others, so that about half of all words are theirs.
_WORKBOOK_SHARE = 0.4

if TYPE_CHECKING:
    from agora.microcosm.world.passages import Passage
    from agora.microcosm.world.world import World


@dataclass(frozen=True, slots=True)
class Document:
    """A text with known content.

    `id` is the BLAKE2b hash (16 hex digits) of the text; `salient` are the facts worth keeping, as sentences;
    `summary` is one sentence; `topic` is the kind of text; `country` is the country it is about, if any.
    """

    id: str
    text: str
    salient: tuple[str, ...]
    summary: str
    topic: str
    country: str | None


def write_documents(world: World, rng: random.Random, n: int) -> Iterator[Document]:
    """Write n documents of 30 to 160 words, about half of them workbook pages."""
    for _ in range(n):
        if rng.random() < _WORKBOOK_SHARE:
            yield _as_document(workbook.write_page(world, rng))
        else:
            yield _as_document(passages.write_passage(world, rng))


def _as_document(passage: Passage) -> Document:
    digest = hashlib.blake2b(passage.text.encode(), digest_size=8).hexdigest()
    return Document(digest, passage.text, passage.salient, passage.summary, passage.topic, passage.country)
