"""What preference files hold beside pairs: ranked groups, and answers that are labelled one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from agora.core.records import JsonMap, Message, Provenance


@dataclass(frozen=True, slots=True)
class Response:
    """One of several answers to a prompt.

    ``score`` is the overall one, the higher the better; ``rank`` is 1 for the best; ``aspects`` are scores by name.
    """

    messages: tuple[Message, ...]
    score: float | None = None
    rank: int | None = None
    model: str = ""
    aspects: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RankedGroup:
    """The answers to one prompt. A :class:`agora.curate.pairs.rules.PairRule` makes pairs of it.

    ``mean_of`` names the aspects that a plain mean is taken over (all when empty).
    """

    SCHEMA: ClassVar[str] = "ranked_group/1"
    id: str
    prompt: tuple[Message, ...]
    responses: tuple[Response, ...]
    label_kind: str = "unknown"  # human | ai | votes | rule | unknown
    annotator: str | None = None
    mean_of: tuple[str, ...] = ()
    provenance: Provenance | None = None
    meta: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnpairedExample:
    """One answer that is good or bad by itself, as KTO takes it."""

    SCHEMA: ClassVar[str] = "unpaired_example/1"
    id: str
    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    label: bool
    provenance: Provenance | None = None
    meta: JsonMap = field(default_factory=dict)
