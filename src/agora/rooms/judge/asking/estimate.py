"""What a job will cost, before the first call; and whether it may go where it is about to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from agora.core.errors import UsageError
from agora.core.records import Task
from agora.rooms.judge.types import Item, PairItem, text_of

if TYPE_CHECKING:
    from agora.engines._wire import Prices
    from agora.engines.types import ChatRequest, Engine

T = TypeVar("T")
#: Usual length of a judge's reply in tokens: 231 over the 14,313 replies of WildBench's judged files, the longest 507.
USUAL_REPLY = 230
_BYTES_A_TOKEN = 4.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls still to be made by one model, and what they take.

    Args:
        prompt_tokens: from the texts' bytes, 4 a token: a rule of thumb for English, less sure for other scripts.
        usual_tokens: of all replies, at the usual length.
        most_tokens: of all replies, if each took all it may.
        usual_usd, most_usd: None without a price.
        cached: replies that the shared cache holds already; they are not among the calls.
    """

    model: str
    calls: int
    prompt_tokens: int
    usual_tokens: int
    most_tokens: int
    usual_usd: float | None = None
    most_usd: float | None = None
    cached: int = 0

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def line(self) -> str:
        """One line for people."""
        known = f" ({self.cached:,} replies are in the cache)" if self.cached else ""
        if not self.calls:
            return f"{self.model}: no calls{known}"
        tokens = f"about {self.prompt_tokens:,} tokens in and {self.usual_tokens:,} out (at most {self.most_tokens:,})"
        if self.most_usd == 0:
            return f"{self.model}: {self.calls:,} calls{known}, {tokens}, at no cost"
        cost = "price unknown (--price IN OUT)" if self.usual_usd is None else f"${self.usual_usd:.2f}"
        most = "" if self.most_usd is None else f", at most ${self.most_usd:.2f}"
        return f"{self.model}: {self.calls:,} calls{known}, {tokens}, {cost}{most}"


def estimate(
    model: str, prompts: Iterable[int], *, usual_reply: int, most_reply: int, prices: Prices | None, free: bool = False
) -> Estimate:
    """An estimate from the prompts' lengths.

    Args:
        prompts: UTF-8 bytes of each prompt.
        usual_reply, most_reply: tokens of one reply.
        prices: of the model's server.
        free: the model runs here and costs nothing.
    """
    sizes = list(prompts)
    inside, usual, most = round(sum(sizes) / _BYTES_A_TOKEN), len(sizes) * usual_reply, len(sizes) * most_reply
    if free or not sizes:
        return Estimate(model, len(sizes), inside, usual, most, 0.0, 0.0)
    if prices is None:
        return Estimate(model, len(sizes), inside, usual, most)
    return Estimate(model, len(sizes), inside, usual, most, prices.cost(inside, usual), prices.cost(inside, most))


def left_to_pay(
    calls: Sequence[T], uri: str, cache: Path | None, requests: Callable[[Engine], Iterable[ChatRequest]]
) -> list[T]:
    """The calls whose reply a shared cache does not hold; a server is opened for it and not asked.

    Args:
        cache: the file, which need not exist.
        requests: the requests of the calls, in their order, to an engine.
    """
    if cache is None or not Path(cache).exists() or not calls:
        return list(calls)
    from agora.engines import open_engine
    from agora.engines.cache import CachedEngine

    engine = open_engine(uri, cache=cache)
    assert isinstance(engine, CachedEngine)
    try:
        return [
            call for call, request in zip(calls, requests(engine), strict=True) if not engine.holds("chat", request)
        ]
    finally:
        engine.close()


def num_bytes(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def task_bytes(task: Task) -> int:
    """Bytes of a task's turns."""
    return sum(num_bytes(message.content) for message in task.messages)


def judge_prompt_bytes(items: Sequence[Item]) -> list[int]:
    """Bytes of the prompt of each item, without filling it."""
    from agora.rooms.judge.asking.prompting import template

    tasks: dict[str, int] = {}
    sizes = []
    for item in items:
        task = item.task
        if task.id not in tasks:
            tasks[task.id] = task_bytes(task) + sum(num_bytes(line) + 3 for line in task.checklist)
        texts = [item.answer, *([item.baseline] if isinstance(item, PairItem) else [])]
        sizes.append(len(template(item.kind)) + tasks[task.id] + sum(num_bytes(text_of(a)) for a in texts))
    return sizes


def runs_here(uri: str) -> bool:
    """True for models of this process and servers of this machine: what is asked of them does not leave it."""
    if uri.startswith("openai:"):
        url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com")
    elif uri.startswith(("http:", "https:")):
        url = uri
    else:
        return True
    return (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1")


def is_server(uri: str) -> bool:
    """True for models that may have a price."""
    return uri.startswith(("openai:", "http:", "https:"))


def refuse_private(tasks: Iterable[Task], uris: Iterable[str], *, send_private: bool) -> None:
    """See that no private task leaves this machine unasked.

    Raises:
        UsageError: there are private tasks, a model is elsewhere, and nobody said so.
    """
    private = [task.id for task in tasks if task.split == "private"]
    for uri in uris:
        if private and not send_private and not runs_here(uri):
            host = urlsplit(uri).hostname or uri
            what = f"{len(private)} private tasks would be sent to {host}, the first is {private[0]}"
            raise UsageError(what, hint="leave them out, use a local model, or say --send-private")
