"""What goes into an engine and what comes out: four verbs, one set of small frozen values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Capability = Literal["chat", "complete", "token_prompt", "score", "embed"]
FinishReason = Literal["stop_token", "stop_string", "length", "empty", "error"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. ``temperature`` 0 is greedy; ``seed`` is this item's own, so batches never matter.

    ``first_token_temperature`` divides the logits of position 0 (Magpie's flat first token); ``banned_first_ids`` may
    not be drawn there.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    seed: int = 0
    first_token_temperature: float = 1.0
    banned_first_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to be answered. ``messages`` are role/content mappings, the last one the user's.

    ``schema`` is a JSON schema that the answer should obey: a server that can decode by it does, one that cannot is
    asked for any JSON object, and if it refuses that too, as any other engine for a free answer; so the reader must
    check all the same. What it was asked for in place of the schema is then in the generation's ``meta["format"]``.
    """

    id: str
    messages: tuple[dict[str, str], ...]
    sampling: Sampling = Sampling()
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CompleteRequest:
    """A raw prefix to be continued: token ids where the engine takes them, else text. Exactly one is given."""

    id: str
    prompt_ids: tuple[int, ...] | None = None
    prompt: str | None = None
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Log-probability of ``continuation`` after ``prompt`` (text; tokenized apart so that the boundary is a token)."""

    id: str
    prompt: str
    continuation: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens paid for, and money where the engine has a price."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Generation:
    """What came back for one request. With ``finish_reason == "error"`` the text is empty and ``error`` says why."""

    id: str
    text: str
    finish_reason: FinishReason
    stopped_by: str | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None  # nats, of the sampled tokens, at temperature 1
    usage: Usage = Usage()
    error: str | None = None
    cached: bool = False
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probabilities in nats, one per continuation token."""

    id: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]

    @property
    def total(self) -> float:
        """log p(continuation | prompt)."""
        return float(sum(self.logprobs))


@runtime_checkable
class Engine(Protocol):
    """One way to talk to any model. Results stream back as they finish, in any order, matched by ``id``.

    One failing item becomes a Generation with ``finish_reason == "error"``; it never ends the stream. A missing
    capability raises :class:`agora.core.errors.CapabilityError` before any work.
    """

    @property
    def uri(self) -> str:
        """The URI this engine was opened with, e.g. ``microcosm:chat`` or ``http://host:8000/v1#name``."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the engine can do, found out before the work begins."""

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        """Answer conversations with the model's own chat template."""

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        """Continue raw prefixes; no template is applied."""

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Score]:
        """Exact log-probabilities of given continuations."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text."""

    def close(self) -> None:
        """Release memory, connections and files. Safe to call twice."""
