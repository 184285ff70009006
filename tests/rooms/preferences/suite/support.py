"""An engine that answers by a function, and answered items without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from agora.engines.types import (
    Capability,
    ChatRequest,
    CompleteRequest,
    Generation,
    Sampling,
    Score,
    ScoreRequest,
    Usage,
)
from agora.rooms.preferences.suite.protocol import Answered, Ask, Request, Test
from agora.rooms.preferences.types import EvalItem, EvalResult


class FunctionEngine:
    """Answers ``chat`` with `answer(prompt)`, ``complete`` likewise and ``score`` with `logprob(prompt, text)`.

    Every prompt it is asked is kept in `asked`.
    """

    revision = "1"

    def __init__(
        self,
        answer: Callable[[str], str] = lambda prompt: "",
        *,
        logprob: Callable[[str, str], float] = lambda prompt, text: -1.0,
        capabilities: Sequence[Capability] = ("chat",),
        uri: str = "test:function",
    ) -> None:
        self.answer, self.logprob, self.uri = answer, logprob, uri
        self.capabilities = frozenset(capabilities)
        self.asked: list[str] = []
        self.requests: list[ChatRequest | CompleteRequest | ScoreRequest] = []

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        for request in requests:
            self.requests.append(request)
            yield self._generation(request.id, request.messages[-1]["content"])

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        for request in requests:
            self.requests.append(request)
            yield self._generation(request.id, request.prompt or "")

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Score]:
        for request in requests:
            self.requests.append(request)
            self.asked.append(request.prompt)
            yield Score(request.id, (0,), (self.logprob(request.prompt, request.continuation),))

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[0.0] for _ in texts]

    def close(self) -> None:
        pass

    def _generation(self, request_id: str, prompt: str) -> Generation:
        self.asked.append(prompt)
        text = self.answer(prompt)
        if text.startswith("ERROR"):
            return Generation(request_id, "", "error", error=text)
        return Generation(request_id, text, "stop_token", usage=Usage(10, len(text.split())))


def answered(item: EvalItem, *texts: str, shape: str = "template") -> Answered:
    """The item with these generations."""
    replies = tuple(Generation(str(i), text, "stop_token") for i, text in enumerate(texts))
    return Answered(item, replies, "0", shape)


class Echo(Test):
    """Items ``e0``, ``e1``, ...; the answer is right if it is the item's number doubled."""

    name = "echo"
    category = "reasoning"

    def __init__(self, n: int, name: str = "echo", category: str = "reasoning", samples: int = 1) -> None:
        self.n, self.name, self.category, self.samples = n, name, category, samples

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        from agora.core.records import Message

        made = [
            EvalItem(
                self.name, self.category, f"e{i}", (Message("user", f"{self.name}: twice {i}?"),), target=str(2 * i)
            )
            for i in range(self.n)
        ]
        return made[:limit]

    def request(self, item: EvalItem) -> Request:
        return Ask(Sampling(temperature=0.0 if self.samples == 1 else 1.0), self.samples)

    def score(self, answered: Answered) -> EvalResult:
        return answered.result(float(answered.texts[0] == answered.item.target), prediction=answered.texts[0])


def doubled(prompt: str) -> str:
    """The right answer to an item of :class:`Echo`."""
    return str(2 * int(prompt.rstrip("?").split()[-1]))
