"""The microcosm's visitors at the real service: consent, conversation, a rating, and what each went away with.

They speak HTTP like anyone else, so they are a load generator too; and since the world knows what each wanted and what
was planted, everything after (enrichment, mining, release) can be measured against the truth. Some agree to the terms
and decline publication, some erase what they wrote before they leave, some withdraw.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import httpx

from agora.core.errors import EngineError, UsageError
from agora.core.progress import progress
from agora.microcosm.world.visitors import Visitor
from agora.rooms.collect.stream_parser import EventStream

_MOST_ROUNDS = 12
_PATIENCE_S = 120.0
_RATES = 0.6  # share of visitors who rate the replies they get
_ENDS = {"kept": 0.88, "declined": 0.05, "erased": 0.05, "withdrawn": 0.02}
End = Literal["kept", "declined", "erased", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Visit:
    """One visitor's stay.

    ``answered`` counts the goals to which some answer was right, as the world judges; ``end`` is what became of the
    conversation: kept for publication, never held because publication was declined, erased with the receipt, or
    withdrawn.
    """

    visitor: str
    conversation_id: str
    plant: str | None
    rounds: int
    goals: int
    answered: int
    refused: str | None = None
    end: End = "kept"
    liked: int = 0
    disliked: int = 0

    def as_json(self) -> dict[str, Any]:
        """For a file of visits."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VisitReport:
    """What all visitors came to."""

    visits: tuple[Visit, ...] = field(repr=False)

    @property
    def rounds(self) -> int:
        """Messages answered."""
        return sum(visit.rounds for visit in self.visits)

    def as_json(self) -> dict[str, Any]:
        """Counts for programs."""
        return {
            "visitors": len(self.visits),
            "rounds": self.rounds,
            "goals": sum(visit.goals for visit in self.visits),
            "answered": sum(visit.answered for visit in self.visits),
            "liked": sum(visit.liked for visit in self.visits),
            "disliked": sum(visit.disliked for visit in self.visits),
            "ends": dict(sorted(Counter(visit.end for visit in self.visits).items())),
            "planted": dict(sorted(Counter(visit.plant for visit in self.visits if visit.plant).items())),
            "refused": sum(visit.refused is not None for visit in self.visits),
        }


def send_visitors(url: str, visitors: Sequence[Visitor], *, concurrency: int = 16, seed: int = 0) -> VisitReport:
    """Let visitors chat with the service at a URL, some at a time.

    Args:
        url: where ``agora serve`` listens.
        visitors: who comes.
        concurrency: how many are there at once.
        seed: of the sampled replies' message ids, so that a second run of the same visitors is told apart.

    Raises:
        UsageError: not a URL.
        EngineError: nobody listens there.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"not the URL of a service: {url!r}", hint="write http://127.0.0.1:8080")
    return asyncio.run(_send_all(url, visitors, concurrency, seed))


async def _send_all(url: str, visitors: Sequence[Visitor], concurrency: int, seed: int) -> VisitReport:
    gate = asyncio.Semaphore(concurrency)
    with progress(len(visitors), "visitors", "visitor") as bar:

        async def one(visitor: Visitor) -> Visit:
            async with gate, httpx.AsyncClient(base_url=url, timeout=_PATIENCE_S, trust_env=False) as http:
                visit = await _visit(http, visitor, seed)
            bar.advance(1)
            return visit

        try:
            visits = await asyncio.gather(*(one(visitor) for visitor in visitors))
        except httpx.ConnectError as err:
            raise EngineError("nobody listens there", where=url, hint="start it with: agora serve") from err
    return VisitReport(tuple(visits))


async def _visit(http: httpx.AsyncClient, visitor: Visitor, seed: int) -> Visit:
    """Who they are decides what they do, whatever the order in which they come."""
    rng = random.Random(f"visit/{visitor.seed}")
    end: End = rng.choices(tuple(_ENDS), tuple(_ENDS.values()))[0]  # type: ignore[assignment]
    rates = rng.random() < _RATES
    receipt = await _consent(http, publish=end != "declined")
    if receipt is None:
        return Visit(visitor.id, "", visitor.plant, 0, len(visitor.goals), 0, None, "declined")
    conversation = (await _ok(http.post("/api/v1/conversations")))["id"]
    history: list[dict[str, str]] = []
    parent, refused = None, None
    rated: Counter[int] = Counter()
    while len(history) < 2 * _MOST_ROUNDS and (text := visitor.next_message(history)) is not None:
        body = {"content": text, "client_msg_id": f"{seed}-{len(history)}", "parent_id": parent}
        answer = await http.post(f"/api/v1/conversations/{conversation}/messages", json=body)
        if answer.status_code != 200:
            refused = str(answer.json()["error"]["code"])
            break
        before = sum(visitor.answered(history))
        parent, reply = _read_reply(answer.content)
        history += [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
        if rates and any(text.endswith(question) for question in visitor.questions):
            rating = 1 if sum(visitor.answered(history)) > before else -1
            await _ok(http.post("/api/v1/feedback", json={"message_id": parent, "rating": rating}))
            rated[rating] += 1
    if end == "erased":
        await _ok(http.post("/api/v1/receipts/delete", json={"receipt": receipt}))
    elif end == "withdrawn":
        await _ok(http.post("/api/v1/consent/withdraw"))
    answered = sum(visitor.answered(history))
    rounds, goals = len(history) // 2, len(visitor.goals)
    return Visit(visitor.id, conversation, visitor.plant, rounds, goals, answered, refused, end, rated[1], rated[-1])


async def _consent(http: httpx.AsyncClient, *, publish: bool) -> str | None:
    """Take both steps; the receipt, or None after declining publication."""
    now = await _ok(http.get("/api/v1/consent/current"))
    terms = {"version": now["version"], "sha256": now["sha256"], "accepted": True, "age_confirmed": True}
    token = (await _ok(http.post("/api/v1/consent/terms", json=terms)))["visit"]
    http.headers["authorization"] = f"Bearer {token}"  # a secure cookie would not travel over plain HTTP
    decision = {"version": now["version"], "decision": "publish" if publish else "decline"}
    receipt = (await _ok(http.post("/api/v1/consent/publication", json=decision)))["receipt"]
    return str(receipt) if receipt else None


async def _ok(request: Any) -> dict[str, Any]:
    answer: httpx.Response = await request
    if answer.is_error:
        what = f"the service refused: HTTP {answer.status_code}"
        raise EngineError(what, where=str(answer.url), hint="is it agora serve?")
    found: dict[str, Any] = answer.json()
    return found


def _read_reply(raw: bytes) -> tuple[str, str]:
    """The reply's id and text from a whole stream."""
    stream = EventStream()
    reply_id, parts = "", []
    for data in [*stream.feed(raw), *stream.end()]:
        event = json.loads(data)
        reply_id = event.get("message_id", reply_id)
        parts.append(event.get("text", ""))
    return reply_id, "".join(parts)
