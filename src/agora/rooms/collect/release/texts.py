"""The messages of a batch of conversations as a release holds them: read, redacted, with what is known of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import zstandard
from sqlalchemy import Connection, Select, func, select

from agora.curate.personal import Span, redact, redact_fully, residual
from agora.curate.personal.published_rules import is_replaced
from agora.rooms.collect.release.asked import Asked, value_key
from agora.rooms.collect.release.found import Findings, Reader, Result, annotations_column, parsed
from agora.rooms.collect.release.imported import fill_from_import
from agora.rooms.collect.release.paths import Node, choose
from agora.rooms.collect.tables import CONVERSATIONS, FEEDBACK, MESSAGES

_NONE: Result = {}
_BY_PERSON = "person"  # what an operator marked is replaced by any rules


@dataclass(slots=True)
class Utterance:
    """One message of a release. ``at_us`` is when it was whole, microseconds since 1970, UTC."""

    id: str
    parent: str | None
    role: str
    status: str
    at_us: int
    model: str | None
    params: Mapping[str, Any]
    usage: Mapping[str, Any]
    finish_reason: str | None
    rating: int | None
    found: Findings
    text: str
    toxic: bool
    redacted: bool = False


@dataclass(slots=True)
class Taken:
    """What redaction did in a batch; spans that only came to light afterwards are counted apart."""

    spans: Counter[str] = field(default_factory=Counter)
    late: int = 0
    exempt: Counter[str] = field(default_factory=Counter)  # left by the published rules
    residual: Counter[str] = field(default_factory=Counter)
    residual_ids: list[str] = field(default_factory=list)


def read_utterances(
    connection: Connection, asked: Asked, batch: Sequence[Mapping[str, Any]], reader: Reader
) -> dict[str, list[Utterance]]:
    """The chosen messages of each conversation of a batch, parents first; erased conversations are missing.

    Args:
        connection: to the store.
        asked: decides which messages.
        batch: rows of the plan.
        reader: of annotations.
    """
    ids = [row["conversation_id"] for row in batch]
    rows: dict[str, dict[str, Any]] = {i: {} for i in ids}
    for row in connection.execute(_MESSAGES.where(MESSAGES.c.conversation_id.in_(ids))).all():
        rows[row[0]][row[1]] = row
    imports = _imports(connection, ids) if asked.settings.selection.sources else {}
    rating = _ratings(connection, ids) if asked.settings.profile == "native" else {}
    unpack = zstandard.ZstdDecompressor().decompress
    threshold = asked.settings.selection.toxicity_threshold
    read: dict[str, list[Utterance]] = {}
    for planned in batch:
        conversation_id = planned["conversation_id"]
        held = rows[conversation_id]
        if planned["leaf"] not in held:
            continue
        brought: dict[str, Findings] = {}
        if imported := imports.get(conversation_id):
            brought = {i: reader.read_anew(held[i][12]) for i in sorted(held)}
            fill_from_import(imported, list(brought.values()))
        said = read[conversation_id] = []
        for i in _chosen(asked, planned, held):
            _, message, parent, role, status, _, done_us, model, params, usage, reason, content, told = held[i]
            findings = brought[i] if brought else reader.read_anew(told)
            text = unpack(content).decode("utf-8")
            said.append(
                Utterance(
                    message,
                    parent,
                    role,
                    status,
                    done_us,
                    model,
                    parsed(params) if params else _NONE,
                    parsed(usage) if usage else _NONE,
                    reason,
                    rating.get(message),
                    findings,
                    text,
                    text != "" and findings.is_toxic(threshold),
                )
            )
    return read


def _messages() -> Select[Any]:
    m = MESSAGES.c
    return select(
        m.conversation_id,
        m.message_id,
        m.parent_id,
        m.role,
        m.status,
        m.created_us,
        func.coalesce(m.completed_us, m.created_us),
        m.model,
        m.params_json,
        m.usage_json,
        m.finish_reason,
        m.content_zstd,
        annotations_column(scores=True),
    )


_MESSAGES = _messages()


def _chosen(asked: Asked, planned: Mapping[str, Any], held: Mapping[str, Any]) -> Sequence[str]:
    if asked.linear:
        at, path = planned["leaf"], []
        while at is not None:
            row = held[at]
            if row[3] != "system" or not asked.strict:
                path.append(at)
            at = row[2]
        path.reverse()
        return path
    nodes = [Node(i, row[2], row[3], row[4], row[5], row[6]) for i, row in held.items()]
    frozen = [node for node in nodes if node.at_us <= asked.as_of_us and node.done_us <= planned["until_us"]]
    return choose(frozen, asked.settings.selection.statuses).tree


def _imports(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """What imported conversations brought along."""
    c = CONVERSATIONS.c
    query = select(c.conversation_id, c.imported_zstd).where(
        c.conversation_id.in_(ids), c.subject_id.is_(None), c.imported_zstd.is_not(None)
    )
    return {row.conversation_id: row.imported_zstd for row in connection.execute(query)}


def _ratings(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    query = (
        select(FEEDBACK.c.message_id, FEEDBACK.c.rating)
        .join(MESSAGES, MESSAGES.c.message_id == FEEDBACK.c.message_id)
        .where(MESSAGES.c.conversation_id.in_(ids))
    )
    return {row.message_id: row.rating for row in connection.execute(query)}


def redact_conversation(
    asked: Asked, conversation_id: str, said: Sequence[Utterance], public: Collection[bytes], taken: Taken
) -> None:
    """Put tokens in place of personal data and secrets, in place; what is still found afterwards is counted."""
    settings = asked.settings.redaction
    texts = [u.text for u in said]
    if settings.on:
        rules = _Rules(asked, said, public)
        spans = [list(rules.replaced(u)) for u in said]
        if settings.residual_scan:
            may_stay = rules.may_stay if asked.by_published_rules else None
            texts, late = redact_fully(
                texts, spans, style=asked.settings.tokens, threshold=settings.threshold, may_stay=may_stay
            )
            taken.late += late
        elif any(spans):
            texts = redact(texts, spans, style=asked.settings.tokens, threshold=settings.threshold)
        taken.exempt.update(rules.exempt)
        for u, text, found in zip(said, texts, spans, strict=True):
            if text is not u.text and text != u.text:
                u.redacted, u.text = True, text
                taken.spans.update(span.type for span in found if span.score >= settings.threshold)
    elif settings.residual_scan:
        left = residual(texts, threshold=settings.threshold)
        if any(left):
            taken.residual.update(span.type for found in left for span in found)
            taken.residual_ids.append(conversation_id)


class _Rules:
    """Which spans of a conversation are replaced."""

    def __init__(self, asked: Asked, said: Sequence[Utterance], public: Collection[bytes]) -> None:
        self.asked, self.said, self.public = asked, said, public
        self.exempt: Counter[str] = Counter()

    def replaced(self, u: Utterance) -> Iterator[Span]:
        """The spans of a message that are replaced; the others are counted."""
        for row in u.found.spans:
            span = Span.from_json(row)
            if not self._stays(u, u.text, span):
                yield span
            elif self.asked.by_published_rules and span.score >= self.asked.settings.redaction.threshold:
                self.exempt[span.type] += 1

    def may_stay(self, i: int, text: str, span: Span) -> bool:
        """Whether what a second look finds in a redacted text is left by the published rules."""
        return self._stays(self.said[i], text, span)

    def _stays(self, u: Utterance, text: str, span: Span) -> bool:
        counted = self.public and self.asked.subjects_that_make_public(span.type)
        if counted and value_key(span.type, text[span.start : span.end]) in self.public:
            return True
        if not self.asked.by_published_rules or span.is_secret or span.by == _BY_PERSON:
            return False
        return not is_replaced(text, span, u.found.lang.get("name"))
