"""``agora synthesize turns``: the model plays the user of a conversation, then answers itself.

Each round renders every open conversation under a system prompt that describes the exchange, draws the user's next
message, and answers it without that system prompt (arXiv:2406.08464, section 2 and appendix on multi-turn data). A
conversation ends early when the new message is empty, cut off, written in the assistant's voice, mere thanks, or a
repetition of an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from agora.core.errors import CapabilityError, ConfigError, EngineError
from agora.core.records import Message, stable_id
from agora.engines.types import ChatRequest, CompleteRequest, Engine, Generation, Sampling
from agora.rooms.synthesize.answer import GREEDY, split_reasoning
from agora.rooms.synthesize.clean import clean_instruction
from agora.rooms.synthesize.journal import Journal
from agora.rooms.synthesize.threads import Record, main_path
from agora.rooms.synthesize.turn_ends import REPEATED, why_end
from agora.rooms.synthesize.turn_prefix import TurnPrefixes
from agora.rooms.synthesize.types import AnswerDraw
from agora.rooms.synthesize.wire import wire_prompt

USER = Sampling(temperature=1.0, top_p=1.0, max_tokens=2048)


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How conversations are extended.

    Args:
        turns: user turns that a conversation should have at the end, at least 1; the paper makes 2.
        user: decoding of user turns; temperature above 0. Its seed is the run's.
        answer: decoding of answers; greedy in the paper.
        system: what tells the model that it writes a user's turn; None is the text in ``prompts/user_simulation.md``.
        repeated: Jaccard similarity of character 5-grams at which a user turn repeats an earlier one.
        keep_truncated: keep answers that were cut off by length and go on.
    """

    turns: int = 2
    user: Sampling = USER
    answer: Sampling = GREEDY
    system: str | None = None
    repeated: float = REPEATED
    keep_truncated: bool = False

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise ConfigError(f"turns must be at least 1, got {self.turns}")
        if self.user.temperature <= 0:
            raise ConfigError("temperature must be above 0 to draw user turns", hint="the paper takes 1.0")

    @property
    def system_text(self) -> str:
        """The system prompt under which user turns are drawn."""
        if self.system is not None:
            return self.system
        return files("agora.rooms.synthesize").joinpath("prompts", "user_simulation.md").read_text("utf-8").strip()


@dataclass(slots=True)
class Thread:
    """A conversation under way: what it had, what was added, and why it ended before its time."""

    record: Record
    history: tuple[Message, ...]
    added: list[Message] = field(default_factory=list)
    gens: list[dict[str, Any]] = field(default_factory=list)
    ended: str | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything so far."""
        return (*self.history, *self.added)

    @property
    def user_turns(self) -> int:
        """User messages so far."""
        return sum(m.role == "user" for m in self.messages)

    def say(self, role: str, text: str, meta: dict[str, Any] | None = None) -> None:
        """Add a message after the last one."""
        parent = self.messages[-1].id
        used = {m.id for m in self.record.messages} | {m.id for m in self.added}
        number = len(self.messages)
        while str(number) in used:
            number += 1
        self.added.append(Message(role, text, id=str(number), parent=parent, meta=meta or {}))  # type: ignore[arg-type]

    def finished(self) -> Record:
        """The record with what was added; whatever was there stays as it was."""
        tags = {**self.record.tags, "turns": {"added": len(self.added) // 2, "ended": self.ended, "gens": self.gens}}
        return replace(self.record, messages=(*self.record.messages, *self.added), tags=tags)


def extend_conversations(
    records: Sequence[Record],
    prefixes: TurnPrefixes,
    user_engine: Engine,
    answer_engine: Engine,
    settings: TurnSettings = TurnSettings(),
    *,
    journal: Path | None = None,
    on_round: Callable[[int, int], None] | None = None,
) -> Iterator[Record]:
    """Extend conversations until each has ``settings.turns`` user turns; they come back in their order.

    Args:
        records: each ends with an answer, or with a user turn, which is answered first; others come back unchanged.
        prefixes: of the model behind ``user_engine``.
        user_engine: writes user turns; must continue raw prefixes.
        answer_engine: answers them; may be another model.
        settings: turns and decoding.
        journal: file of finished turns; those in it are not asked for again. None keeps them in memory.
        on_round: called with the number of a round and how many conversations are open.

    Raises:
        CapabilityError: an engine lacks what it needs.
        EngineError: a round brings nothing but errors.
    """
    if "complete" not in user_engine.capabilities:
        raise CapabilityError("user turns need raw completions", where=user_engine.uri)
    if "chat" not in answer_engine.capabilities:
        raise CapabilityError("answers need chats", where=answer_engine.uri)
    threads = [Thread(record, main_path(record)) for record in records]
    with Journal(journal, AnswerDraw) as book:
        work = _Extension(prefixes, user_engine, answer_engine, settings, book)
        work.answer([t for t in threads if t.history and t.history[-1].role == "user"])
        for number in range(settings.turns):
            open_ones = [
                t
                for t in threads
                if t.ended is None
                and t.user_turns < settings.turns
                and t.messages
                and t.messages[-1].role == "assistant"
            ]
            if on_round is not None:
                on_round(number, len(open_ones))
            if not open_ones:
                break
            work.ask(open_ones)
            work.answer([t for t in open_ones if t.messages[-1].role == "user"])
    for thread in threads:
        yield thread.finished() if thread.added or thread.ended else thread.record


class _Extension:
    """One run of turns: engines, settings and what is on file."""

    def __init__(
        self,
        prefixes: TurnPrefixes,
        user_engine: Engine,
        answer_engine: Engine,
        settings: TurnSettings,
        book: Journal[AnswerDraw],
    ) -> None:
        self._prefixes, self._users, self._answers = prefixes, user_engine, answer_engine
        self._settings, self._book = settings, book
        prompt = wire_prompt(user_engine, prefixes.plain)
        self._server_writes_bos = prompt.text is not None and prompt.text != prefixes.plain.sent_text

    def ask(self, threads: Sequence[Thread]) -> None:
        """Draw the next user message of each conversation, or end it."""
        requests = {f"{t.record.id}/u{t.user_turns}": t for t in threads}
        for id, draw in self._run(
            {id: lambda t=t, id=id: self._user_request(id, t) for id, t in requests.items()},  # type: ignore[misc]
            self._users.complete,
            self._users.uri,
        ):
            thread = requests[id]
            if draw is None:
                thread.ended = "error"
                continue
            self._take_user_turn(thread, draw)

    def _take_user_turn(self, thread: Thread, draw: AnswerDraw) -> None:
        cleaned = clean_instruction(draw.text, debris=self._prefixes.plain.debris)
        thread.gens.append(_gen("user", draw, self._users, self._settings.user))
        earlier = [m.content for m in thread.messages if m.role == "user"]
        thread.ended = why_end(cleaned, draw.finish_reason, earlier, repeated=self._settings.repeated)
        if thread.ended is None:
            thread.say("user", cleaned.text)

    def answer(self, threads: Sequence[Thread]) -> None:
        """Answer the last user message of each conversation; a conversation without an answer ends before it."""
        requests = {f"{t.record.id}/a{t.user_turns}": t for t in threads}
        for id, draw in self._run(
            {id: lambda t=t, id=id: self._answer_request(id, t) for id, t in requests.items()},  # type: ignore[misc]
            self._answers.chat,
            self._answers.uri,
        ):
            self._take_answer(requests[id], draw)

    def _take_answer(self, thread: Thread, draw: AnswerDraw | None) -> None:
        text, reasoning = split_reasoning(draw.text) if draw is not None else ("", None)
        if draw is not None:
            thread.gens.append(_gen("assistant", draw, self._answers, self._settings.answer))
        reason = None
        if draw is None:
            reason = "answer_error"
        elif not text.strip():
            reason = "answer_empty"
        elif draw.finish_reason == "length" and not self._settings.keep_truncated:
            reason = "answer_length"
        if reason is None:
            thread.say("assistant", text, {"reasoning": reasoning} if reasoning is not None else None)
            return
        thread.ended = reason
        if thread.added:
            thread.added.pop()  # a question that nobody answered is no turn

    def _user_request(self, id: str, thread: Thread) -> CompleteRequest:
        talk: list[tuple[str, str]] = [(m.role, m.content) for m in thread.messages]
        if self._prefixes.takes_system:
            own = [text for role, text in talk if role == "system"]
            told = "\n\n".join([*own, self._settings.system_text]) if self._settings.system_text else "\n\n".join(own)
            talk = [*([("system", told)] if told else []), *(turn for turn in talk if turn[0] != "system")]
        prefix = self._prefixes.of(talk)
        stops = self._prefixes.plain
        sampling = replace(
            self._settings.user,
            stop=stops.stop_strings,
            stop_ids=stops.stop_ids,
            seed=_seed(self._settings.user.seed, id),
        )
        if prefix.ids is not None and "token_prompt" in self._users.capabilities:
            return CompleteRequest(id, prompt_ids=prefix.ids, sampling=sampling)
        text = prefix.text.removeprefix(stops.bos_token) if self._server_writes_bos else prefix.text
        return CompleteRequest(id, prompt=text, sampling=sampling)

    def _answer_request(self, id: str, thread: Thread) -> ChatRequest:
        sampling = self._settings.answer
        if sampling.temperature > 0:
            sampling = replace(sampling, seed=_seed(sampling.seed, id))
        return ChatRequest(id, tuple(m.as_chat() for m in thread.messages), sampling)

    def _run(
        self, requests: dict[str, Callable[[], Any]], verb: Callable[[Iterator[Any]], Iterator[Generation]], uri: str
    ) -> Iterator[tuple[str, AnswerDraw | None]]:
        """The finished turn of every request, in their order; None where the engine failed: the next run asks again."""
        asked: dict[str, str] = {}

        def stream() -> Iterator[Any]:
            for id, make in requests.items():
                if id not in self._book:
                    request = make()
                    asked[id] = stable_id(uri, asdict(request))
                    yield request

        failed = ""
        if any(id not in self._book for id in requests):
            for generation in verb(stream()):
                if generation.id not in asked or generation.id in self._book:
                    continue
                if generation.finish_reason == "error":
                    failed = generation.error or "unknown error"
                    continue
                self._book.add(AnswerDraw.of(generation, asked[generation.id]))
        done = [id for id in requests if id in self._book]
        if requests and not done:
            raise EngineError(f"every request of a round failed: {failed}", where=uri)
        for id in requests:
            yield id, self._book.take(id) if id in self._book else None


def _gen(role: str, draw: AnswerDraw, engine: Engine, sampling: Sampling) -> dict[str, Any]:
    return {
        "role": role,
        "model": engine.uri,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "finish_reason": draw.finish_reason,
        "prompt_tokens": draw.prompt_tokens,
        "completion_tokens": draw.completion_tokens,
    }


def _seed(seed: int, id: str) -> int:
    return int(stable_id("turns", seed, id), 16) >> 11
