"""The records that pass between rooms.

Every record is frozen, typed and versioned. A row on disk is the record's fields plus ``"schema": "NAME/VERSION"``
(JSON Lines) or the same string under the ``agora.schema`` key of the file (Parquet); see :mod:`agora.core.schemas`.
Missing is ``None``, never a number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, ClassVar, Literal

import orjson

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = ("system", "user", "assistant", "tool")
VerdictStatus = Literal["ok", "unparsed", "refused", "missing"]
JsonMap = dict[str, Any]


def stable_id(*parts: object, size: int = 8) -> str:
    """A hex id of ``2 * size`` digits that depends on the parts alone (order and type included)."""
    try:
        spelled = _spelled(parts)
    except TypeError:  # lone surrogates
        spelled = _spelled_slowly(parts).encode("utf-8", "surrogatepass")
    return blake2b(spelled, digest_size=size).hexdigest()


def _spelled(value: object) -> bytes:
    """What :func:`_spelled_slowly` gives, at a tenth of its cost for lists of texts."""
    if type(value) is str:
        return orjson.dumps(value)
    if type(value) is tuple or type(value) is list:
        # texts are written here and not by a call for each: most of what is spelled are lists of them
        return b"[%b]" % b", ".join([orjson.dumps(v) if type(v) is str else _spelled(v) for v in value])
    return _spelled_slowly(value).encode("utf-8", "surrogatepass")


def _spelled_slowly(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


@dataclass(frozen=True, slots=True)
class Message:
    """One utterance. ``id`` and ``parent`` make the tree; a linear conversation is a chain."""

    role: Role
    content: str
    id: str = ""
    parent: str | None = None
    meta: JsonMap = field(default_factory=dict)

    def as_chat(self) -> dict[str, str]:
        """The ``{"role", "content"}`` pair that chat templates and chat endpoints take."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a record came from and what may be done with it."""

    source: str
    source_id: str = ""
    licence: str = "unknown"
    consent: str = "unknown"
    language: str | None = None
    created: str | None = None  # UTC, ISO 8601
    path: str | None = None
    line: int | None = None  # 1-based line or row of `path`


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as a tree of messages, in the order they were first seen (parents before children)."""

    SCHEMA: ClassVar[str] = "conversation/1"
    id: str
    messages: tuple[Message, ...]
    provenance: Provenance
    tags: JsonMap = field(default_factory=dict)
    meta: JsonMap = field(default_factory=dict)

    @classmethod
    def linear(
        cls, turns: Sequence[tuple[str, str]] | Sequence[Mapping[str, str]], provenance: Provenance, **more: Any
    ) -> Conversation:
        """Chain ``(role, content)`` turns; the id is that of the content and the source id."""
        pairs = [(t["role"], t["content"]) if isinstance(t, Mapping) else t for t in turns]
        messages = tuple(
            Message(role, content, id=str(i), parent=str(i - 1) if i else None)  # type: ignore[arg-type]
            for i, (role, content) in enumerate(pairs)
        )
        given = more.pop("id", None)
        return cls(given or stable_id(provenance.source, provenance.source_id, pairs), messages, provenance, **more)

    def paths(self) -> Iterator[tuple[Message, ...]]:
        """Every root-to-leaf path, leaves in message order."""
        by_id = {m.id: m for m in self.messages}
        inner = {m.parent for m in self.messages}
        for leaf in (m for m in self.messages if m.id not in inner):
            path = [leaf]
            while (parent := path[-1].parent) is not None:
                path.append(by_id[parent])
            yield tuple(reversed(path))

    @property
    def is_linear(self) -> bool:
        """True when no message has a sibling."""
        parents = [m.parent for m in self.messages]
        return len(parents) == len(set(parents))


@dataclass(frozen=True, slots=True)
class Sample:
    """One synthesized instruction with its answer (specs of the data: Magpie, arXiv:2406.08464).

    Append-only: each stage returns a copy with more fields (``dataclasses.replace``) and never rewrites ``raw_text``.
    """

    SCHEMA: ClassVar[str] = "sample/1"
    id: str
    run_id: str
    slice: str
    index: int
    seed: int
    messages: tuple[Message, ...]
    raw_text: str
    finish_reason: str  # stop_token | stop_string | length | empty | error
    stopped_by: str | None = None
    prefix_ref: str | None = None
    clean_ops: tuple[JsonMap, ...] = ()
    flags: tuple[str, ...] = ()
    gen: JsonMap = field(default_factory=dict)
    answer_gen: JsonMap = field(default_factory=dict)
    tags: JsonMap = field(default_factory=dict)
    scores: JsonMap = field(default_factory=dict)
    kept: bool = True
    reason: str | None = None

    @property
    def instruction(self) -> str:
        """The first user turn after cleaning; empty when there is none."""
        return next((m.content for m in self.messages if m.role == "user"), "")

    @property
    def answer(self) -> str | None:
        """The last assistant turn; None while unanswered."""
        return next((m.content for m in reversed(self.messages) if m.role == "assistant"), None)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two completions of one prompt, the first preferred. The prompt ends with a user (or tool) turn."""

    SCHEMA: ClassVar[str] = "preference_pair/1"
    id: str
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    chosen_score: float | None = None
    rejected_score: float | None = None
    margin: float | None = None
    annotator: str | None = None
    label_kind: str = "rule"  # human | ai | votes | rule
    tie: bool = False
    provenance: Provenance | None = None
    meta: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PromptItem:
    """A prompt to sample answers for; it ends with a user (or tool) turn.

    ``answer`` and ``checker`` (its name) are what a rule reward compares an answer with; ``domain`` names the mix it
    belongs to (``math``, ``code``, ...).
    """

    SCHEMA: ClassVar[str] = "prompt_item/1"
    id: str
    prompt: tuple[Message, ...]
    domain: str = ""
    answer: str | None = None
    checker: str | None = None
    provenance: Provenance | None = None
    meta: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """One benchmark task: everything up to a user turn, with its own checklist (WildBench, arXiv:2406.04770)."""

    SCHEMA: ClassVar[str] = "task/1"
    id: str
    benchmark: str
    version: str
    messages: tuple[Message, ...]
    checklist: tuple[str, ...] = ()
    intent: str = ""
    primary_tag: str = "Others"
    secondary_tags: tuple[str, ...] = ()
    difficulty: str | None = None
    reference: str | None = None
    provenance: Provenance | None = None
    split: str = "public"
    meta: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to a task. ``output`` is the full text, never cut; empty is allowed and counted."""

    SCHEMA: ClassVar[str] = "answer/1"
    task_id: str
    model: str
    output: str
    finish_reason: str | None = None
    n_tokens: int | None = None
    params: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement. A score never travels alone: raw text, parsed value, status, judge and prompt go with it.

    ``kind`` is ``score`` (value 1..10) or ``pair`` (value -1, -0.5, 0, 0.5 or 1 from the candidate's side). ``value``
    is None unless ``status`` is ``ok``.
    """

    SCHEMA: ClassVar[str] = "verdict/1"
    id: str
    kind: str
    task_id: str
    model: str
    judge: str
    status: VerdictStatus
    value: float | None
    raw_text: str
    prompt_name: str
    prompt_hash: str
    baseline: str | None = None
    order: str | None = None  # candidate_first | candidate_second
    parsed: JsonMap = field(default_factory=dict)
    n_chars: int | None = None  # of the candidate's answer
    baseline_n_chars: int | None = None
    usage: JsonMap = field(default_factory=dict)
    meta: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with its n, interval and method; what the agenda reads as evidence."""

    SCHEMA: ClassVar[str] = "measure/1"
    name: str
    value: float | None
    n: int
    ci_low: float | None = None
    ci_high: float | None = None
    level: float = 0.95
    method: str = ""
    unit: str = ""
    subject: str = ""  # the model, data set or filter measured
    meta: JsonMap = field(default_factory=dict)
