"""Small tasks, answers, verdicts, and an engine that answers by a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from agora.core.records import Answer, Message, Task, Verdict
from agora.engines.types import Capability, ChatRequest, CompleteRequest, Generation, Score, ScoreRequest, Usage

Reply = Callable[[ChatRequest], Generation]


def make_task(id_: str = "t1", query: str = "Add 2 and 3.", **fields: object) -> Task:
    messages = (
        Message("user", "Hello."),
        Message("assistant", "Hello, how can I help?"),
        Message("user", query),
    )
    checklist = ("Is the sum right?", "Is the answer short?")
    return Task(id_, "demo", "1", messages, **{"checklist": checklist, "primary_tag": "Math", **fields})  # type: ignore[arg-type]


def make_answer(task: str = "t1", model: str = "m", output: str = "The sum is 5.") -> Answer:
    return Answer(task, model, output)


def make_score(task: str, value: float | None, model: str = "m", judge: str = "j", **fields: object) -> Verdict:
    status = "ok" if value is not None else "unparsed"
    made = {
        "id": f"{judge}/{model}/{task}",
        "kind": "score",
        "task_id": task,
        "model": model,
        "judge": judge,
        "status": status,
        "value": value,
        "raw_text": "",
        "prompt_name": "p",
        "prompt_hash": "0",
        "n_chars": 10,
    }
    return Verdict(**{**made, **fields})  # type: ignore[arg-type]


def make_pair(
    task: str,
    value: float | None,
    model: str = "m",
    baseline: str = "b",
    order: str = "candidate_first",
    **fields: object,
) -> Verdict:
    id_ = f"{model}/{baseline}/{task}/{order}"
    fields = {"baseline_n_chars": 10, **fields}
    return make_score(task, value, model, id=id_, kind="pair", baseline=baseline, order=order, **fields)


def reply(request: ChatRequest, text: str, finish_reason: str = "stop_token", **fields: object) -> Generation:
    return Generation(request.id, text, finish_reason, usage=Usage(100, 10, 0.01), **fields)  # type: ignore[arg-type]


class FunctionEngine:
    """An engine whose chat replies are a function of the request; it counts its calls."""

    def __init__(self, answer: Reply, uri: str = "test:function") -> None:
        self.answer = answer
        self._uri = uri
        self.requests: list[ChatRequest] = []

    @property
    def uri(self) -> str:
        return self._uri

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"chat"})

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        for request in requests:
            self.requests.append(request)
            yield self.answer(request)

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        return iter(())

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Score]:
        return iter(())

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return []

    def close(self) -> None:
        return None


def prompt_of(request: ChatRequest) -> str:
    (message,) = request.messages
    assert message["role"] == "user"
    return message["content"]


def kind_of(prompt: str) -> str:
    """What a prompt asks for, told by its first lines: later ones may be an answer's."""
    opening = prompt[:120]
    return "pair" if "compare" in opening else "checklist" if "checklist" in opening else "score"


def token_of(prompt: str) -> str:
    """The code that the prompt asks to be repeated."""
    return prompt.rsplit('"verdict_id": "', 1)[1].split('"', 1)[0]


def block(prompt: str, name: str) -> str:
    """The text between a block's delimiters, found as a judge finds it: by the first BEGIN and the last END line."""
    begin = next(line for line in prompt.splitlines() if line.startswith(f"<<<<BEGIN {name} "))
    end = begin.replace("BEGIN", "END", 1)
    return prompt[prompt.index(begin) + len(begin) + 1 : prompt.rindex(end) - 1]
