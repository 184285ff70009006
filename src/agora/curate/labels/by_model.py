"""Ask a model for labels: any number of kinds over any number of rows, in one stream, a few rows in memory."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agora.core.errors import CapabilityError, EngineError
from agora.core.records import JsonMap, stable_id
from agora.curate.labels.kinds import LabelKind
from agora.curate.labels.prompting import MAX_CHARS, Question, ask, fields_of, parse_label, reminder
from agora.curate.rows import with_tag
from agora.engines.probe import can
from agora.engines.types import ChatRequest, Engine, Generation, Sampling

_RETRIES = 2
_KEPT_RAW_CHARS = 2000
_FIRST_LABELS = 60  # looked at before more is paid for
_HOPELESS_SHARE = 0.9


@dataclass(slots=True)
class _Call:
    """One label of one row on its way."""

    place: int
    kind: LabelKind
    question: Question
    attempts: int = 0
    max_tokens: int = 0
    last: str = ""
    error: str | None = None


@dataclass(slots=True)
class _Waiting:
    """A row that still waits for labels."""

    row: JsonMap
    left: int = 0
    tags: dict[str, JsonMap] = field(default_factory=dict)

    def labeled(self, kinds: Sequence[LabelKind]) -> JsonMap:
        """The row with its tags, in the order of the kinds and not in that of the replies."""
        row = self.row
        for kind in kinds:
            row = with_tag(row, kind.name, self.tags[kind.name]) if kind.name in self.tags else row
        return row


@dataclass(slots=True)
class Spent:
    """Tokens and money of all calls, also of those whose reply was of no use; ``cached`` ones cost nothing."""

    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def add(self, reply: Generation) -> None:
        """Count one reply."""
        self.calls += 1
        if reply.cached:
            self.cached += 1
            return
        self.prompt_tokens += reply.usage.prompt_tokens
        self.completion_tokens += reply.usage.completion_tokens
        self.cost_usd += reply.usage.cost_usd


@dataclass(slots=True)
class ModelLabeler:
    """Labels by a chat model: temperature 0, the reply's schema checked, an unreadable reply asked for again twice (the
    last time at temperature 0.3), then status ``failed``. No row is ever lost for it.

    Args:
        engine: any engine that can chat; a schema is sent along for those that decode by it.
        seed: of the prompts' codes.
        max_tokens: longest reply; doubled once when a reply was cut off.
        max_chars: longest text shown whole.

    Raises:
        CapabilityError: the engine cannot chat.
        EngineError: nine in ten of the first labels cannot be read.
    """

    engine: Engine
    seed: int = 0
    max_tokens: int = 512
    max_chars: int = MAX_CHARS
    spent: Spent = field(default_factory=Spent)
    name: str = ""
    _settled: int = 0
    _unread: int = 0

    def __post_init__(self) -> None:
        if not can(self.engine, "chat"):
            raise CapabilityError(f"{self.engine.uri} cannot chat", hint="choose a chat model to label with")
        self.name = self.name or re.sub(r"//[^/@]*@", "//", self.engine.uri)

    def label(self, rows: Iterable[JsonMap], kinds: Sequence[LabelKind]) -> Iterator[JsonMap]:
        """The rows in their order, each with a tag a kind.

        A row comes out when all its labels and those of the rows before it are there, so memory holds only rows in
        flight. A label that a row has with status ``ok`` is not asked for again.
        """
        waiting: dict[int, _Waiting] = {}
        retries: deque[_Call] = deque()
        fresh = self._calls(rows, kinds, waiting)
        flying: dict[str, _Call] = {}
        out = 0

        def requests() -> Iterator[ChatRequest]:
            for call in _first_retries(retries, fresh):
                request = self._request(call)
                flying[request.id] = call
                yield request

        while True:
            for reply in self.engine.chat(requests()):
                call = flying.pop(reply.id)
                tag = self._settle(call, reply)
                if tag is None:
                    retries.append(call)
                    continue
                self._put(waiting, call, tag)
                while out in waiting and not waiting[out].left:
                    yield waiting.pop(out).labeled(kinds)
                    out += 1
            for call in flying.values():  # the engine lost these
                call.error = "the engine gave no reply"
                self._put(waiting, call, self._failed(call))
            flying.clear()
            if not retries:
                break
        while out in waiting:
            yield waiting.pop(out).labeled(kinds)
            out += 1

    def _calls(
        self, rows: Iterable[JsonMap], kinds: Sequence[LabelKind], waiting: dict[int, _Waiting]
    ) -> Iterator[_Call]:
        for place, row in enumerate(rows):
            waiting[place] = _Waiting(row)
            calls = []
            for kind in kinds:
                if _has(row, kind):
                    continue
                text = kind.text(row)
                if text is None or not text.strip():
                    tag = {"value": None, "status": "failed", "error": "nothing to label", "attempts": 0}
                    waiting[place].tags[kind.name] = tag
                    continue
                question = ask(kind, text, str(self.seed), max_chars=self.max_chars)
                calls.append(_Call(place, kind, question, max_tokens=self.max_tokens))
            waiting[place].left = len(calls)
            yield from calls

    def _request(self, call: _Call) -> ChatRequest:
        text = call.question.prompt + (reminder(call.kind) if call.attempts else "")
        seed = int(stable_id(self.seed, call.question.code, call.attempts, size=4), 16) >> 1
        temperature = 0.3 if call.attempts >= _RETRIES else 0.0
        sampling = Sampling(temperature=temperature, max_tokens=call.max_tokens, seed=seed)
        return ChatRequest(
            f"{call.place}/{call.kind.name}", ({"role": "user", "content": text},), sampling, call.kind.schema()
        )

    def _settle(self, call: _Call, reply: Generation) -> JsonMap | None:
        """The tag that a reply amounts to; None when it is to be asked for again."""
        self.spent.add(reply)
        call.attempts += 1
        if reply.finish_reason == "error":
            call.error = reply.error or "the call failed"
            return self._failed(call)  # the engine has tried again already
        call.last = reply.text
        parsed = parse_label(call.kind, reply.text, call.question.code, needs_code=call.question.needs_code)
        if parsed.status == "ok":
            self._settled += 1
            tag = {"value": parsed.value, **fields_of(call.kind, parsed), **self._origin(call), "status": "ok"}
            return tag | {"raw": reply.text[:_KEPT_RAW_CHARS]}
        call.error = parsed.status
        if call.attempts > _RETRIES:
            self._give_up_early(reply.text)
            return self._failed(call)
        if reply.finish_reason == "length" and call.max_tokens == self.max_tokens:
            call.max_tokens *= 2
        return None

    def _give_up_early(self, reply: str) -> None:
        """A model that cannot label is found out before all rows are paid for.

        Raises:
            EngineError: nine in ten of the first labels could not be read.
        """
        self._settled, self._unread = self._settled + 1, self._unread + 1
        if self._settled == _FIRST_LABELS and self._unread > _HOPELESS_SHARE * _FIRST_LABELS:
            raise EngineError(
                f"{self._unread} of the first {self._settled} labels could not be read, such as {reply[:80]!r}",
                where=self.name,
                hint="choose a model that follows instructions",
            )

    def _origin(self, call: _Call) -> JsonMap:
        cut = {"cut_chars": call.question.cut} if call.question.cut else {}
        return {"generator": self.name, "prompt": call.kind.prompt_hash, "attempts": call.attempts, **cut}

    def _failed(self, call: _Call) -> JsonMap:
        tag = {"value": None, **self._origin(call), "status": "failed", "error": call.error}
        return tag | {"raw": call.last[:_KEPT_RAW_CHARS]}

    @staticmethod
    def _put(waiting: dict[int, _Waiting], call: _Call, tag: JsonMap) -> None:
        held = waiting[call.place]
        held.tags[call.kind.name] = tag
        held.left -= 1


def _has(row: JsonMap, kind: LabelKind) -> bool:
    tag: Any = (row.get("tags") or {}).get(kind.name)
    return isinstance(tag, dict) and tag.get("status") == "ok" and kind.scale.match(tag.get("value")) is not None


def _first_retries(retries: deque[_Call], fresh: Iterator[_Call]) -> Iterator[_Call]:
    """Calls to make again before new ones, as they come up."""
    while True:
        if retries:
            yield retries.popleft()
            continue
        call = next(fresh, None)
        if call is None:
            return
        yield call
