"""Any OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`, a vendor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from agora.core.errors import CapabilityError, DataError, EngineError
from agora.engines._http import HttpClient, RefusedError, Reply, Retry
from agora.engines._wire import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Prices,
    chat_body,
    complete_body,
    read_generation,
    read_score,
    read_usage,
    reply_forms,
    score_body,
)
from agora.engines.budget import Budget
from agora.engines.several import split_request
from agora.engines.types import Capability, ChatRequest, CompleteRequest, Generation, Score, ScoreRequest

_EMBED_BATCH = 64
# A refusal that speaks of the request itself: asking without a form of reply would not help.
_OWN_FAULT = re.compile(r"context|too (?:long|large|many)|content.?(?:filter|policy)|safety|moderation", re.IGNORECASE)
_LACKS: dict[Capability, str] = {
    "chat": "use a server with /chat/completions",
    "complete": "use a server with /completions (vLLM, llama.cpp, transformers serve), or hf:MODEL",
    "token_prompt": "use a server whose /completions takes token ids (vLLM), or hf:MODEL",
    "score": "use a server whose /completions takes echo and logprobs (vLLM), or hf:MODEL",
    "embed": "use a server with /embeddings, or hf:MODEL",
}


class OpenAIEngine:
    """A model behind an OpenAI-compatible API. Answers stream back as they finish.

    Requests that fail in passing (429, 5xx, timeouts, lost or truncated connections) are tried again within
    :class:`~agora.engines._http.Retry`; what fails for good becomes an error item. A refused key, an unknown model or a
    server that takes no connection any more ends the work with :class:`~agora.core.errors.EngineError`. A token's
    log-probability is not asked for.

    Args:
        base_url: up to and including ``/v1``; a password in it is used and never shown.
        model: the server's name for the model.
        uri: the URI the engine was opened with.
        key: bearer token; None sends none.
        key_env: the environment variable a user would set, named when the key is refused.
        concurrency: most requests in flight.
        retry: when to try again.
        prices: for cost accounting.
        budget: checked before each call.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        uri: str | None = None,
        key: str | None = None,
        key_env: str = "AGORA_API_KEY",
        concurrency: int = 32,
        retry: Retry | None = None,
        prices: Prices | None = None,
        budget: Budget | None = None,
    ) -> None:
        shown = without_password(base_url)
        self._uri = without_password(uri) if uri else f"{shown}#{model}"
        self.model_name = model
        self.revision = ""
        self._prices, self._budget = prices or Prices(), budget
        self._limit_name = "max_tokens"
        self._refused_forms: set[str] = set()
        self._known: dict[Capability, bool] = {}
        self._models: dict[str, Any] = {}
        self._http = HttpClient(
            base_url,
            key=key,
            key_hint=f"set {key_env} to a valid key" if key else f"{key_env} is not set",
            retry=retry or Retry(),
            concurrency=concurrency,
            where=shown,
        )
        self._where = shown

    def connect(self) -> None:
        """See that the server is there and takes the key.

        Raises:
            EngineError: connection refused, or the key is.
        """
        try:
            reply = self._http.get("/models", attempts=1)
        except RefusedError:
            self.close()
            raise
        if reply.status is None:
            self.close()
            hint = "start the server, or check host and port"
            raise EngineError(reply.error or "no answer", where=self._where, hint=hint)
        entries = (reply.data or {}).get("data")
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and entry.get("id") == self.model_name:
                self._models = entry

    @property
    def uri(self) -> str:
        """The URI this engine was opened with, without a password."""
        return self._uri

    @property
    def context(self) -> int | None:
        """Most tokens of prompt and answer together, where the server says."""
        value = self._models.get("max_model_len", self._models.get("context_length"))
        return value if isinstance(value, int) else None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the server offers, found out by one tiny call each and remembered."""
        return frozenset(c for c in _LACKS if self.can(c))

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        """Answer conversations."""
        return self._generate(requests, self._chat_call)

    def _chat_call(self, request: ChatRequest) -> tuple[str, dict[str, Any]]:
        return CHAT, self._named(chat_body(self.model_name, request, refused=self._refused_forms))

    def chat_several(self, requests: Iterable[ChatRequest], n: int) -> Iterator[Generation]:
        """``n`` answers to each conversation in one request; answers that a server leaves out are asked for singly.

        See :func:`agora.engines.several.chat_several`. Usage stands on the first answer, because servers report it for
        all together.
        """
        short: list[ChatRequest] = []
        for request, reply in self._replies(
            requests, lambda r: (CHAT, self._named({**chat_body(self.model_name, r), "n": n}))
        ):
            singles = split_request(request, n)
            choices = (reply.data or {}).get("choices")
            if not isinstance(choices, list) or not choices:
                short += singles  # the server does not take n, or the request failed: each is judged alone
                continue
            for i, (single, choice) in enumerate(zip(singles, choices, strict=False)):
                data = {**(reply.data or {}), "choices": [choice]} | ({} if i == 0 else {"usage": {}})
                yield read_generation(single.id, data, request.sampling.stop, self._prices)
            short += singles[len(choices) :]  # llama.cpp and Ollama give one whatever n says
        yield from self.chat(short)

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        """Continue raw prefixes: as token ids where the request has them, else as text."""
        self._require("complete")

        def prepare(request: CompleteRequest) -> tuple[str, dict[str, Any]]:
            if request.prompt_ids is not None:
                self._require("token_prompt")
            return COMPLETIONS, complete_body(self.model_name, request)

        return self._generate(requests, prepare)

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Score]:
        """Log-probabilities from the echoed prompt. Token ids are not known here and left empty.

        Raises:
            DataError: at the end, when some items could not be scored; the others have been yielded.
        """
        self._require("score")
        return self._scores(requests)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, as the server makes them."""
        self._require("embed")
        found: dict[int, list[float]] = {}
        starts = range(0, len(texts), _EMBED_BATCH)

        def prepare(start: int) -> tuple[str, dict[str, Any]]:
            return EMBEDDINGS, {"model": self.model_name, "input": list(texts[start : start + _EMBED_BATCH])}

        for start, reply in self._replies(starts, prepare):
            rows = (reply.data or {}).get("data")
            if not isinstance(rows, list) or len(rows) != min(_EMBED_BATCH, len(texts) - start):
                raise EngineError(reply.error or "the server sent other than one vector per text", where=self._where)
            for row in rows:
                found[start + int(row["index"])] = [float(x) for x in row["embedding"]]
        return [found[i] for i in range(len(texts))]

    def close(self) -> None:
        """End all connections; safe to call twice."""
        self._http.close()

    def _named(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._limit_name != "max_tokens":
            body[self._limit_name] = body.pop("max_tokens")
        return body

    def _generate(
        self, requests: Iterable[Any], prepare: Callable[[Any], tuple[str, dict[str, Any]]]
    ) -> Iterator[Generation]:
        for request, reply in self._replies(requests, prepare):
            reply = self._adapted(reply, request, prepare)
            if reply.data is None:
                yield Generation(request.id, "", "error", error=reply.error)
                continue
            more: dict[str, Any] = {"attempts": reply.attempts} if reply.attempts > 1 else {}
            wanted, *lesser = reply_forms(getattr(request, "schema", None))
            if wanted in self._refused_forms:
                more["format"] = next(form for form in lesser if form not in self._refused_forms) or "none"
            yield read_generation(request.id, reply.data, request.sampling.stop, self._prices, **more)

    def _adapted(self, reply: Reply, request: Any, prepare: Callable[[Any], tuple[str, dict[str, Any]]]) -> Reply:
        """Newer vendor models take the limit under another name and say so; older servers know no schema or no form."""
        if reply.status == 400 and "max_completion_tokens" in (reply.error or ""):
            self._limit_name = "max_completion_tokens"
            reply = self._count(self._http.post(*prepare(request)))
        forms = reply_forms(getattr(request, "schema", None))
        for i in range(1, len(forms)):
            if reply.status not in (400, 422) or _OWN_FAULT.search(reply.error or ""):
                break
            # not remembered before it helped: the request may be at fault for another reason
            refused = {form for form in forms[:i] if form} | self._refused_forms
            body = self._named(chat_body(self.model_name, request, refused=refused))
            reply = self._count(self._http.post(CHAT, body))
            if reply.data is not None:
                self._refused_forms = refused
        return reply

    def _scores(self, requests: Iterable[ScoreRequest]) -> Iterator[Score]:
        failed: list[str] = []
        for request, reply in self._replies(requests, lambda r: (COMPLETIONS, score_body(self.model_name, r))):
            try:
                if reply.data is None:
                    raise DataError(reply.error or "no answer", where=request.id)
                score = read_score(request, reply.data)
            except DataError as error:
                failed.append(str(error))
                continue
            yield score
        if failed:
            raise DataError(f"{len(failed)} items could not be scored, the first: {failed[0]}", where=self._where)

    def _replies(
        self, jobs: Iterable[Any], prepare: Callable[[Any], tuple[str, dict[str, Any]]]
    ) -> Iterator[tuple[Any, Reply]]:
        stopped: list[str] = []

        def may_go_on() -> bool:
            reached = self._budget.reached if self._budget is not None else None
            stopped.extend([reached] if reached else [])
            return not stopped

        for job, reply in self._http.stream(jobs, prepare, may_go_on):
            if reply.status in (404, 405):
                raise RefusedError(
                    f"no such model or endpoint ({reply.error})", where=self._uri, hint="check the model's name"
                )
            yield job, self._count(reply)
        if stopped and self._budget is not None:
            self._budget.check()

    def _count(self, reply: Reply) -> Reply:
        if self._budget is not None and reply.data is not None:
            self._budget.add(read_usage(reply.data, self._prices))
        return reply

    def _require(self, capability: Capability) -> None:
        if not self.can(capability):
            raise CapabilityError(f"this server lacks {capability!r}", where=self._uri, hint=_LACKS[capability])

    def can(self, capability: Capability) -> bool:
        """Whether the server offers one capability; costs one tiny call the first time."""
        if capability not in self._known:
            if self._budget is not None:
                self._budget.check()
            path, body, proof = _PROBES[capability]
            reply = self._http.post(path, {"model": self.model_name, **body})
            # 500 is also how some servers say no to a field they do not know
            if reply.data is None and (reply.status is None or reply.status == 429 or reply.status > 500):
                raise EngineError(f"cannot find out about {capability!r}: {reply.error}", where=self._where)
            self._known[capability] = reply.data is not None and proof(self._count(reply).data or {})
        return self._known[capability]


def _has_text(data: dict[str, Any]) -> bool:
    return read_generation("", data, (), Prices()).error is None


def _counts_two(data: dict[str, Any]) -> bool:
    """Two ids went in, so two must be counted: a third is a BOS that the server added, and the prefix is not raw."""
    return _has_text(data) and read_usage(data, Prices()).prompt_tokens == 2


def _echoes(data: dict[str, Any]) -> bool:
    try:
        return bool(read_score(ScoreRequest("", "A", " B"), data).logprobs)
    except DataError:
        return False


def _has_vector(data: dict[str, Any]) -> bool:
    rows = data.get("data")
    return bool(isinstance(rows, list) and rows and isinstance(rows[0], dict) and rows[0].get("embedding"))


_ONE_TOKEN = {"max_tokens": 1, "temperature": 0.0}
_PROBES: dict[Capability, tuple[str, dict[str, Any], Callable[[dict[str, Any]], bool]]] = {
    "chat": (CHAT, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}, _has_text),
    "complete": (COMPLETIONS, {"prompt": "A B", **_ONE_TOKEN}, _has_text),
    "token_prompt": (COMPLETIONS, {"prompt": [10, 11], **_ONE_TOKEN}, _counts_two),
    "score": (COMPLETIONS, {"prompt": "A B", **_ONE_TOKEN, "echo": True, "logprobs": 1}, _echoes),
    "embed": (EMBEDDINGS, {"input": ["A B"]}, _has_vector),
}


def without_password(url: str) -> str:
    """The URL as it may be shown: user and password cut out."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
