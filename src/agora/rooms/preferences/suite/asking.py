"""Find the engine's way to what a test asks, and bring the replies of each item together.

The assistant's turn is begun with the item's prefix where the engine takes raw prompts and its tokenizer is at hand;
a server that only chats gets a prefix of one line at the end of the user's turn, and the result says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from agora.core.errors import CapabilityError, DataError
from agora.core.records import stable_id
from agora.engines.probe import can
from agora.engines.types import ChatRequest, CompleteRequest, Engine, Generation, Sampling, Score, ScoreRequest
from agora.rooms.preferences.suite.protocol import Answered, Choose, Request, Test
from agora.rooms.preferences.types import EvalItem, EvalResult

_SCORE_HINT = "log-probabilities of given texts need hf:MODEL, or a server whose /completions takes echo and logprobs"
_TEXT_HINT = "use an engine that chats or completes"


class Prompt(NamedTuple):
    """How an item's prompt reaches the model: as messages, or as one text."""

    shape: str
    messages: tuple[dict[str, str], ...] = ()
    text: str = ""


class Asker:
    """Puts items before one engine.

    Args:
        engine: any engine; what it can do is found out when the first item needs it.
        seed: from which each sample's seed is derived.
    """

    def __init__(self, engine: Engine, *, seed: int = 0) -> None:
        self.engine, self.seed = engine, seed
        self._tokenizer = getattr(engine, "tokenizer", None)
        self._template = bool(getattr(self._tokenizer, "chat_template", None))

    def check(self, request: Request) -> None:
        """Stop before the work begins if the engine lacks what a request needs.

        Raises:
            CapabilityError: names what is missing and what would do.
        """
        if isinstance(request, Choose):
            if not can(self.engine, "score"):
                raise CapabilityError("this engine lacks 'score'", where=self.engine.uri, hint=_SCORE_HINT)
        elif not can(self.engine, "chat") and not can(self.engine, "complete"):
            raise CapabilityError("this engine lacks 'chat' and 'complete'", where=self.engine.uri, hint=_TEXT_HINT)

    def prompt(self, item: EvalItem, request: Request) -> Prompt:
        """The item as the engine is to see it."""
        messages = tuple(message.as_chat() for message in item.messages)
        whole = isinstance(request, Choose)  # there is no chat endpoint for scores
        if self._template and (whole or item.prefix) and (whole or can(self.engine, "complete")):
            return Prompt("template", text=_joined(self._render(messages), item.prefix))
        if not whole and can(self.engine, "chat"):
            if not item.prefix or "\n" in item.prefix:  # the opening of a program makes no sense in the user's turn
                return Prompt("chat", messages)
            last = dict(messages[-1], content=f"{messages[-1]['content']}\n\n{item.prefix}")
            return Prompt("chat+prefix", (*messages[:-1], last))
        text = item.raw
        if text is None:
            text = _joined("\n\n".join(m["content"] for m in messages) + "\n", item.prefix)
        return Prompt("raw", text=text)

    def prompt_hash(self, prompt: Prompt, request: Request) -> str:
        """16 hex digits over all that decides the reply but the model."""
        return stable_id(prompt, asdict(request), self.seed)

    def _render(self, messages: Sequence[dict[str, str]]) -> str:
        assert self._tokenizer is not None
        try:
            return str(self._tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False))
        except Exception as error:  # templates raise jinja2 errors of many kinds, and their own by raise_exception
            raise DataError(f"the chat template refuses this conversation: {error}") from error

    def answers(self, items: Iterable[tuple[Test, EvalItem]]) -> Iterator[Answered | EvalResult]:
        """Ask items of any tests and yield each with its replies as they are complete; a failed one as missing.

        Raises:
            EngineError, BudgetError: the work stopped; what was yielded stands.
        """
        pending = _Pending(self, items)
        asked = [request for job in pending.jobs for request in job.requests]
        chats = [r for r in asked if isinstance(r, ChatRequest)]
        completes = [r for r in asked if isinstance(r, CompleteRequest)]
        scores = [r for r in asked if isinstance(r, ScoreRequest)]
        yield from pending.refused
        if chats:
            yield from pending.collect(self.engine.chat(chats))
        if completes:
            yield from pending.collect(self.engine.complete(completes))
        if scores:
            yield from self._scored(pending, scores)

    def _scored(self, pending: _Pending, scores: Sequence[ScoreRequest]) -> Iterator[Answered | EvalResult]:
        try:
            yield from pending.collect(self.engine.score(scores))
        except DataError as error:  # raised at the end: some items cannot be scored, e.g. too long for the context
            yield from pending.give_up(str(error))

    def requests(self, item: EvalItem, request: Request, prompt: Prompt, key: str) -> list[Any]:
        """The engine's requests for one item; their ids are ``KEY#NUMBER``."""
        if isinstance(request, Choose):
            return [ScoreRequest(f"{key}#{i}", prompt.text, text) for i, text in enumerate(request.continuations)]
        samplings = [self._seeded(item, request.sampling, i) for i in range(request.n)]
        if prompt.shape.startswith("chat"):
            return [ChatRequest(f"{key}#{i}", prompt.messages, s) for i, s in enumerate(samplings)]
        if prompt.shape == "template" and can(self.engine, "token_prompt"):
            assert self._tokenizer is not None
            # the template writes the special tokens itself, so none may be added
            ids = tuple(int(i) for i in self._tokenizer.encode(prompt.text, add_special_tokens=False, verbose=False))
            return [CompleteRequest(f"{key}#{i}", prompt_ids=ids, sampling=s) for i, s in enumerate(samplings)]
        return [CompleteRequest(f"{key}#{i}", prompt=prompt.text, sampling=s) for i, s in enumerate(samplings)]

    def _seeded(self, item: EvalItem, sampling: Sampling, number: int) -> Sampling:
        if sampling.temperature == 0:
            return sampling
        seed = int(stable_id(self.seed, sampling.seed, item.test, item.id, number, size=4), 16) >> 1
        return replace(sampling, seed=seed)


def _joined(text: str, prefix: str) -> str:
    """One space between prompt and prefix where neither has white space there."""
    if not prefix or not text or text[-1].isspace() or prefix[0].isspace():
        return text + prefix
    return f"{text} {prefix}"


class _Job:
    """One item with its requests and what has come back."""

    def __init__(self, item: EvalItem, prompt_hash: str, shape: str, requests: list[Any]) -> None:
        self.item, self.prompt_hash, self.shape, self.requests = item, prompt_hash, shape, requests
        self.replies: dict[int, Generation | Score] = {}

    def done(self) -> Answered | EvalResult:
        replies = tuple(self.replies[i] for i in range(len(self.requests)))
        answered = Answered(self.item, replies, self.prompt_hash, self.shape)
        errors = [r.error for r in replies if isinstance(r, Generation) and r.finish_reason == "error"]
        if errors:
            return self.missing(errors[0] or "the engine gave no answer")
        return answered

    def missing(self, why: str) -> EvalResult:
        item = self.item
        return EvalResult(item.test, item.category, item.id, None, "missing", self.prompt_hash, meta={"error": why})


class _Pending:
    """The items on their way."""

    def __init__(self, asker: Asker, items: Iterable[tuple[Test, EvalItem]]) -> None:
        self.jobs: list[_Job] = []
        self.refused: list[EvalResult] = []
        self._by_id: dict[str, int] = {}  # request id -> number of its job
        for number, (test, item) in enumerate(items):
            request = test.request(item)
            try:
                prompt = asker.prompt(item, request)
            except DataError as error:
                refused = _Job(item, stable_id(item.messages, asdict(request)), "template", [])
                self.refused.append(refused.missing(str(error)))
                continue
            made = asker.requests(item, request, prompt, key=str(number))
            self.jobs.append(_Job(item, asker.prompt_hash(prompt, request), prompt.shape, made))
            for engine_request in made:
                self._by_id[engine_request.id] = len(self.jobs) - 1

    def collect(self, replies: Iterator[Any]) -> Iterator[Answered | EvalResult]:
        """Yield an item when its last reply is there."""
        for reply in replies:
            job = self.jobs[self._by_id.pop(reply.id)]
            job.replies[int(reply.id.rpartition("#")[2])] = reply
            if len(job.replies) == len(job.requests):
                yield job.done()

    def give_up(self, why: str) -> Iterator[EvalResult]:
        """The items whose replies will not come."""
        for number in dict.fromkeys(self._by_id.values()):
            yield self.jobs[number].missing(why)
        self._by_id.clear()
