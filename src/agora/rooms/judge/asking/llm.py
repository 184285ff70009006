"""A language model as judge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agora.core.records import Verdict, VerdictStatus, stable_id
from agora.core.replies import Parsed
from agora.rooms.judge.asking._parse import parse_checklist, parse_choice, parse_score
from agora.rooms.judge.asking.prompting import FilledPrompt, fill, prompt_ref, reminder
from agora.rooms.judge.asking.reply_forms import ResponseFormat, schema_of
from agora.rooms.judge.asking.verdicts import make_verdict, without_call
from agora.rooms.judge.types import ChecklistItem, Item, Kind, Outcome, PairItem, PromptRef, ScoreItem

if TYPE_CHECKING:
    from agora.engines.types import ChatRequest, Engine, Generation

# Errors that will come again on the same prompt: the verdict is `refused`; all others may pass, and are `missing`.
_LASTING = re.compile(
    r"content.?(filter|policy)|refusal|refused? to|safety|moderation|context|too (long|large|many tokens)"
    r"|\b4(00|13|22)\b"
)


@dataclass(slots=True)
class _Call:
    """One item's way through its attempts."""

    item: Item
    max_tokens: int
    num_reasks: int = 0
    doubled: bool = False
    replies: list[str] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=lambda: {"prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0})
    cached: int = 0
    prompt: FilledPrompt | None = None
    format: str | None = None  # what the server was asked for in place of the form that it refuses

    def pay(self, reply: Generation) -> None:
        self.usage["prompt_tokens"] += reply.usage.prompt_tokens
        self.usage["completion_tokens"] += reply.usage.completion_tokens
        self.usage["cost_usd"] += 0.0 if reply.cached else reply.usage.cost_usd  # what is cached was paid before
        self.cached += reply.cached
        self.format = reply.meta.get("format", self.format)


class LlmJudge:
    """Judge with a chat model: one user message, temperature 0, a verdict in JSON.

    A reply that cannot be read is asked for again with a reminder; one that was cut off, once more with twice the room.
    What is still unreadable then has status ``unparsed``; a call that failed has status ``refused`` (it would fail
    again) or ``missing`` (it may pass next time), with the engine's message.

    Args:
        engine: any engine with the capability ``chat``.
        name: the judge's name; the engine's URI without credentials when None.
        seed: the seed of the prompts' delimiter codes, used when ``nonce`` is None.
        nonce: the run's own secret for the delimiter codes.
        max_tokens: longest reply, in tokens.
        num_reasks: how often an unreadable reply is asked for again.
        response_format: the form that a server is asked to decode by; see
            :func:`~agora.rooms.judge.asking.reply_forms.schema_of`.
        one_round: ask every item once; an unreadable reply is then ``unparsed`` and marked as open to another round.
            Requests bear the ids of OpenAI's batch files (:func:`custom_id`).

    Raises:
        CapabilityError: the engine cannot chat.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        name: str | None = None,
        seed: int = 0,
        nonce: str | None = None,
        max_tokens: int = 1024,
        num_reasks: int = 2,
        response_format: ResponseFormat = "none",
        one_round: bool = False,
    ) -> None:
        # a server is not probed for it: that would be a paid call, and the first real one tells the same
        if not hasattr(engine, "can") and "chat" not in engine.capabilities:
            from agora.core.errors import CapabilityError

            raise CapabilityError(f"{engine.uri} cannot chat", hint="choose a chat model as the judge")
        self.engine = engine
        self._name = re.sub(r"//[^/@]*@", "//", name or engine.uri)
        self._nonce = nonce if nonce is not None else stable_id("judge nonce", seed)
        self._seed = seed
        self._max_tokens = max_tokens
        self._num_reasks = num_reasks
        self._format = response_format
        self._one_round = one_round

    @property
    def name(self) -> str:
        """The judge's name."""
        return self._name

    def prompt(self, kind: Kind) -> PromptRef:
        """The shipped prompt of a kind."""
        return prompt_ref(kind)

    def score(self, items: Iterable[ScoreItem]) -> Iterator[Verdict]:
        """Grade answers from 1 to 10."""
        return self._judge(items)

    def compare(self, items: Iterable[PairItem]) -> Iterator[Verdict]:
        """Compare answers with a baseline's."""
        return self._judge(items)

    def check(self, items: Iterable[ChecklistItem]) -> Iterator[Verdict]:
        """Go through the checklists."""
        return self._judge(items)

    def requests(self, items: Iterable[Item]) -> Iterator[ChatRequest]:
        """The first calls about items, as they go into a batch file."""
        for item in items:
            yield self._request(custom_id(item), self._call(item))

    def _judge(self, items: Iterable[Item]) -> Iterator[Verdict]:
        """Ask about every item, then again about those whose reply was of no use, until none is left."""
        settled: list[Verdict] = []
        calls: Iterable[_Call] = self._calls(items, settled)
        while calls:
            again: list[_Call] = []
            for call, reply in self._ask(calls):
                yield from _drain(settled)
                verdict = self._settle(call, reply)
                if verdict is None:
                    again.append(call)
                else:
                    yield verdict
            yield from _drain(settled)
            calls = again

    def _calls(self, items: Iterable[Item], settled: list[Verdict]) -> Iterator[_Call]:
        """The items that need a call; those that do not are settled on the way."""
        for item in items:
            verdict = without_call(item, self.name, self.prompt(item.kind))
            if verdict is None:
                yield self._call(item)
            else:
                settled.append(verdict)

    def _call(self, item: Item) -> _Call:
        """A first call; an item whose earlier replies could not be read gets the reminder and twice the room."""
        if item.asked:
            return _Call(item, 2 * self._max_tokens, num_reasks=1, doubled=True)
        return _Call(item, self._max_tokens)

    def _ask(self, calls: Iterable[_Call]) -> Iterator[tuple[_Call, Generation | None]]:
        """Stream the calls through the engine; a call that the engine lost comes back with None."""
        in_flight: dict[str, _Call] = {}

        def requests() -> Iterator[ChatRequest]:
            for i, call in enumerate(calls):
                id_ = custom_id(call.item) if self._one_round else str(i)
                in_flight[id_] = call
                yield self._request(id_, call)

        for reply in self.engine.chat(requests()):
            yield in_flight.pop(reply.id), reply
        for call in in_flight.values():
            yield call, None

    def _request(self, request_id: str, call: _Call) -> ChatRequest:
        from agora.engines.types import ChatRequest, Sampling

        call.prompt = fill(call.item, self._nonce)
        text = call.prompt.text + (reminder(call.item.kind) if call.num_reasks else "")
        turn = call.item.asked + len(call.replies)
        seed = int(stable_id(self._seed, call.item.content, turn, size=4), 16) >> 1
        sampling = Sampling(temperature=0.0, max_tokens=call.max_tokens, seed=seed)
        schema = schema_of(call.item.kind, self._format, self.engine.uri)
        return ChatRequest(request_id, ({"role": "user", "content": text},), sampling, schema)

    def _settle(self, call: _Call, reply: Generation | None) -> Verdict | None:
        """The verdict that a reply amounts to; None when the call is to be made again."""
        if reply is None or reply.finish_reason == "error":
            error = (reply.error if reply else None) or "the engine gave no reply"
            status: VerdictStatus = "refused" if _LASTING.search(error.lower()) else "missing"
            return self._verdict(call, status, None, parsed={"error": error})
        call.pay(reply)
        call.replies.append(reply.text)
        assert call.prompt is not None
        parsed = read_reply(call.item.kind, reply.text, call.prompt.token, len(call.item.task.checklist))
        if parsed.status == "ok":
            return self._verdict(call, "ok", parsed, parsed=parsed.fields)
        if self._one_round:
            return self._verdict(call, "unparsed", None, parsed={**parsed.fields, "reason": parsed.status})
        if reply.finish_reason == "length" and not call.doubled:
            call.doubled, call.max_tokens = True, 2 * call.max_tokens
            return None
        if call.num_reasks < self._num_reasks:
            call.num_reasks += 1
            return None
        return self._verdict(call, "unparsed", None, parsed={**parsed.fields, "reason": parsed.status})

    def _verdict(self, call: _Call, status: VerdictStatus, found: Parsed | None, *, parsed: dict[str, Any]) -> Verdict:
        value = None
        if found is not None:
            item = call.item
            value = Outcome.from_choice(found.value, item.order).value if isinstance(item, PairItem) else found.value
            if isinstance(item, PairItem):
                parsed = {**parsed, "choice": found.value}
        *earlier, last = call.replies or [""]
        asked = call.item.asked + len(call.replies)
        meta: dict[str, Any] = {"attempts": asked, "max_tokens": call.max_tokens}
        if earlier:
            meta["earlier_replies"] = earlier
        if call.cached:
            meta["cached"] = call.cached
        if call.format is not None:
            meta["format"] = call.format
        if call.prompt is not None:
            meta["token"] = call.prompt.token  # what a later parser needs to tell the judge's words from a quote
            if call.prompt.neutralized:
                meta["neutralized"] = call.prompt.neutralized
        if call.item.kind == "checklist":
            meta["questions"] = len(call.item.task.checklist)
        if self._one_round and status == "unparsed" and asked <= self._num_reasks:
            meta["open"] = True
        prompt = self.prompt(call.item.kind)
        verdict = make_verdict(call.item, self.name, prompt, status, value, raw_text=last, parsed=parsed, meta=meta)
        return replace(verdict, usage=call.usage)


def read_reply(kind: Kind, text: str, token: str | None, num_questions: int) -> Parsed:
    """What a judge's reply says.

    Args:
        token: the code beside which the value must stand; None for replies to other people's prompts.
        num_questions: on the task's checklist.
    """
    if kind == "checklist":
        return parse_checklist(text, token, num_items=num_questions)
    return parse_score(text, token) if kind == "score" else parse_choice(text, token)


def custom_id(item: Item) -> str:
    """The id of an item's call in a batch file: ``TASK||MODEL``, or ``TASK||A:MODEL||B:MODEL`` of a comparison."""
    if isinstance(item, PairItem):
        names = (item.answer.model, item.baseline.model)
        first, second = names if item.order == "candidate_first" else names[::-1]
        return f"{item.task.id}||A:{first}||B:{second}"
    ending = "||checklist" if item.kind == "checklist" else ""
    return f"{item.task.id}||{item.answer.model}{ending}"


def _drain(verdicts: list[Verdict]) -> Iterator[Verdict]:
    while verdicts:
        yield verdicts.pop()
