"""Ask a model one thing about each of many tasks; take a reply only if it is readable and repeats the call's code.

The task stands in the prompt as data: its delimiters carry a code that depends on the run's secret and on the task, so
a task cannot close its own block, and a reply that a task dictates does not hold the code.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agora.core.errors import CapabilityError
from agora.core.fencing import neutralize, substitute
from agora.core.files import write_bytes
from agora.core.records import Task, VerdictStatus, stable_id
from agora.core.replies import Pairs, holder, objects
from agora.core.replies import plain as plain_value
from agora.rooms.judge.asking.prompting import conversation
from agora.rooms.judge.types import PromptRef

if TYPE_CHECKING:
    from agora.engines.types import ChatRequest, Engine, Generation

Read = Callable[[Mapping[str, Any]], Any]
_NUM_REASKS = 2
_MAX_CHARS = 200_000
_LASTING = re.compile(r"content.?(filter|policy)|refus|safety|moderation|context|too (long|large|many tokens)")
_REMINDER = (
    "\n# Reminder\n\nAn earlier reply could not be read ({why}). Reply with the one JSON object only, every key once, "
    'and "verdict_id" copied exactly.\n'
)


class UnreadableError(Exception):
    """A reply that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of asking about one task. ``value`` is None unless ``status`` is ``ok``."""

    task_id: str
    status: VerdictStatus
    value: Any
    raw_text: str = ""
    error: str | None = None
    attempts: int = 1
    usage: dict[str, Any] = field(default_factory=dict)


class Ask(NamedTuple):
    """A prompt by name, a key that its replies hold, how they are read, and their usual and greatest length in tokens.

    The usual length is a guess for estimates; it decides nothing else.
    """

    name: str
    key: str
    read: Read
    values: Mapping[str, str]
    usual_tokens: int
    max_tokens: int = 1024

    @property
    def prompt(self) -> PromptRef:
        """Name and hash of the prompt; replies to different prompts never mix."""
        return PromptRef(f"agora/{self.name}", stable_id(_template(self.name), dict(self.values), _REMINDER))


@cache
def _template(name: str) -> str:
    return files("agora.rooms.judge").joinpath("prompts", f"{name}.md").read_text("utf-8")


def run_secret(path: Path) -> str:
    """The secret of a run for its delimiter codes, made once and kept, so that a resumed run asks the same."""
    if not path.exists():
        write_bytes(path, secrets.token_hex(16).encode())
    return path.read_text("ascii")


def name_of(engine: Engine) -> str:
    """The engine's URI without credentials."""
    return re.sub(r"//[^/@]*@", "//", engine.uri)


def check_chats(engine: Engine) -> None:
    """Stop before the work begins if the engine cannot chat.

    Raises:
        CapabilityError: names the engine.
    """
    from agora.engines.probe import can

    if not can(engine, "chat"):
        raise CapabilityError(f"{name_of(engine)} cannot chat", hint="name a chat model")


def prompt_of(ask: Ask, task: Task, secret: str) -> tuple[str, str]:
    """The filled prompt for a task, and the code that a reply must repeat."""
    code = stable_id(ask.name, secret, [(m.role, m.content) for m in task.messages])
    history, query = conversation(task)
    safe = {name: neutralize(text, (code,))[0] for name, text in (("history", history), ("query", query))}
    return substitute(_template(ask.name), {**ask.values, **safe, "code": code}), code


@dataclass(slots=True)
class _Call:
    task: Task
    prompt: str
    code: str
    max_tokens: int
    attempts: int = 0
    doubled: bool = False
    why: str = ""
    usage: dict[str, Any] = field(default_factory=lambda: {"prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0})


def ask_all(ask: Ask, tasks: Iterable[Task], engine: Engine, secret: str) -> Iterator[Reply]:
    """One reply a task, in any order.

    An unreadable reply is asked for again, twice at most; one that was cut off, once more with twice the room. What is
    still unreadable is ``unparsed``, a call that would fail again is ``refused``, one that may pass next time
    ``missing``. No status but ``ok`` has a value.
    """
    calls: Iterable[_Call] = (_first_call(ask, task, secret) for task in tasks)
    while calls:
        again: list[_Call] = []
        for call, generation in _stream(calls, engine):
            reply = _settle(ask, call, generation)
            if reply is None:
                again.append(call)
            else:
                yield replace(reply, usage=call.usage, attempts=call.attempts)
        calls = again


def first_requests(ask: Ask, tasks: Iterable[Task], secret: str) -> Iterator[ChatRequest]:
    """The first call about each task, as :func:`ask_all` makes it."""
    return (_request(task.id, _first_call(ask, task, secret)) for task in tasks)


def _first_call(ask: Ask, task: Task, secret: str) -> _Call:
    return _Call(task, *prompt_of(ask, task, secret), ask.max_tokens)


def _request(request_id: str, call: _Call) -> ChatRequest:
    from agora.engines.types import ChatRequest, Sampling

    text = call.prompt + (_REMINDER.format(why=call.why) if call.attempts and call.why else "")
    seed = int(stable_id(call.code, call.attempts, size=4), 16) >> 1
    sampling = Sampling(temperature=0.0, max_tokens=call.max_tokens, seed=seed)
    return ChatRequest(request_id, ({"role": "user", "content": text},), sampling)


def _stream(calls: Iterable[_Call], engine: Engine) -> Iterator[tuple[_Call, Generation | None]]:
    in_flight: dict[str, _Call] = {}

    def requests() -> Iterator[ChatRequest]:
        for i, call in enumerate(calls):
            in_flight[str(i)] = call
            yield _request(str(i), call)

    for generation in engine.chat(requests()):
        yield in_flight.pop(generation.id), generation
    for call in in_flight.values():
        yield call, None


def _settle(ask: Ask, call: _Call, generation: Generation | None) -> Reply | None:
    """What a generation amounts to; None when the call is to be made again."""
    call.attempts += 1
    if generation is None or generation.finish_reason == "error":
        error = (generation.error if generation else None) or "the engine gave no reply"
        status: VerdictStatus = "refused" if _LASTING.search(error.lower()) else "missing"
        return Reply(call.task.id, status, None, error=error)
    call.usage["prompt_tokens"] += generation.usage.prompt_tokens
    call.usage["completion_tokens"] += generation.usage.completion_tokens
    call.usage["cost_usd"] += 0.0 if generation.cached else generation.usage.cost_usd  # what is cached was paid before
    try:
        value = ask.read(_object(generation.text, ask.key, call.code))
    except UnreadableError as error:
        call.why = str(error)
    else:
        return Reply(call.task.id, "ok", value, generation.text)
    if generation.finish_reason == "length" and not call.doubled:
        call.doubled, call.max_tokens, call.why = True, 2 * call.max_tokens, ""
        return None
    if call.attempts - call.doubled <= _NUM_REASKS:
        return None
    return Reply(call.task.id, "unparsed", None, generation.text, error=call.why)


def _object(text: str, key: str, code: str) -> dict[str, Any]:
    """The one object of a reply that repeats the code, with each key once.

    Raises:
        UnreadableError: there is none, or several that differ, or a key stands twice with different values.
    """
    found = [o for obj in objects(text[-_MAX_CHARS:]) if (o := holder(obj, key, code)) is not None]
    plain = [_once(pairs) for pairs in found]
    if not plain:
        raise UnreadableError("no JSON object with the keys and the verdict_id" if text.strip() else "an empty reply")
    if any(other != plain[0] for other in plain):
        raise UnreadableError("several objects that contradict each other")
    return plain[0]


def _once(pairs: Pairs) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        plain = plain_value(value)
        if name in values and values[name] != plain:
            raise UnreadableError(f"the key {name[:40]} stands twice")
        values[name] = plain
    return values
