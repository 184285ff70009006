"""Whoever decides what no rule can: which of two answers is better, and whether a text is toxic.

A judge's reply that cannot be read has no value, and a call that failed has none either; neither is a tie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple, Protocol

from agora.core.errors import CapabilityError, EngineError
from agora.core.records import VerdictStatus, stable_id
from agora.engines.probe import can
from agora.engines.types import ChatRequest, Engine, Generation, Sampling
from agora.microcosm.world import World, check

CHECKER = "microcosm:checker"
_MAX_TOKENS = 512


class PairQuestion(NamedTuple):
    """Two answers to one instruction: the model's and the baseline's."""

    id: str
    instruction: str
    answer: str
    baseline: str


class Opinion(NamedTuple):
    """What a judge says: a value from 0 to 1 with status ``ok``, else none; and its words.

    Of a comparison 1 means that the model's answer is better, 0.5 a tie; of a text, the probability that it is toxic.
    """

    value: float | None
    status: VerdictStatus
    raw: str = ""


class PairJudge(Protocol):
    """Compares answers. Opinions come in the order of the questions, one each."""

    @property
    def name(self) -> str:
        """What results are marked with."""

    def compare(self, questions: Sequence[PairQuestion]) -> list[Opinion]:
        """An opinion on each question."""


class Classifier(Protocol):
    """Tells toxic texts, e.g. a fine-tuned classifier. Opinions come in the order of the texts, one each."""

    @property
    def name(self) -> str:
        """What results are marked with."""

    def classify(self, texts: Sequence[str]) -> list[Opinion]:
        """The probability of each text to be toxic."""


class EngineJudge:
    """A chat model as :class:`PairJudge` and :class:`Classifier`, asked at temperature 0.

    Of two answers each is shown first on half of the questions, by a hash of the instruction alone, so that two models
    compared with one baseline are shown in the same order.

    Args:
        engine: the judge.
        max_tokens: longest reply, in tokens.

    Raises:
        CapabilityError: the engine cannot chat.
    """

    def __init__(self, engine: Engine, *, max_tokens: int = _MAX_TOKENS) -> None:
        if not can(engine, "chat"):
            raise CapabilityError("a judge must be able to chat", where=engine.uri, hint="name a chat model")
        self.engine, self.max_tokens = engine, max_tokens

    @property
    def name(self) -> str:
        """The engine's URI."""
        return self.engine.uri

    def compare(self, questions: Sequence[PairQuestion]) -> list[Opinion]:
        """An opinion on each question; equal answers tie without a call."""
        asked = [question for question in questions if question.answer != question.baseline]
        replies = self._ask("compare", [_shown(question) for question in asked])
        found = {q.id: _preference(q, reply) for q, reply in zip(asked, replies, strict=True)}
        return [found.get(question.id, Opinion(0.5, "ok", "equal answers")) for question in questions]

    def classify(self, texts: Sequence[str]) -> list[Opinion]:
        """1 for toxic, 0 for not."""
        replies = self._ask("toxic", [{"text": text} for text in texts])
        return [_opinion(reply, {"YES": 1.0, "NO": 0.0}) for reply in replies]

    def _ask(self, prompt: str, values: Sequence[Mapping[str, str]]) -> list[_Reply]:
        template = files(__package__).joinpath("prompts", f"{prompt}.md").read_text("utf-8")
        # a text would have to contain a hash of itself to know the code that closes a verdict
        codes = [stable_id(prompt, shown, size=5) for shown in values]
        sampling = Sampling(temperature=0.0, max_tokens=self.max_tokens)
        requests = [
            ChatRequest(str(i), ({"role": "user", "content": _fill(template, {**shown, "code": code})},), sampling)
            for i, (shown, code) in enumerate(zip(values, codes, strict=True))
        ]
        replies = {int(reply.id): reply for reply in self.engine.chat(requests)} if requests else {}
        failed = [reply for reply in replies.values() if reply.finish_reason == "error"]
        if replies and len(failed) == len(replies):
            raise EngineError(f"every request to the judge failed: {failed[0].error}", where=self.engine.uri)
        return [_Reply(replies[i], code) for i, code in enumerate(codes)]


class CheckerJudge:
    """The microcosm's checkers as :class:`PairJudge`: the higher score wins. Other instructions get no opinion."""

    name = CHECKER

    def __init__(self, world: World | None = None) -> None:
        self._world = world or World(seed=0)

    def compare(self, questions: Sequence[PairQuestion]) -> list[Opinion]:
        """An opinion on each question."""
        return [self._opinion(question) for question in questions]

    def _opinion(self, question: PairQuestion) -> Opinion:
        exercise = self._world.recognize(question.instruction)
        if exercise is None:
            return Opinion(None, "missing", "no exercise of the microcosm")
        ours, theirs = (check(exercise, text).score for text in (question.answer, question.baseline))
        return Opinion(1.0 if ours > theirs else 0.5 if ours == theirs else 0.0, "ok", f"{ours} against {theirs}")


class _Reply(NamedTuple):
    generation: Generation
    code: str


def _shown(question: PairQuestion) -> dict[str, str]:
    first, second = question.answer, question.baseline
    if not _model_first(question):
        first, second = second, first
    return {"instruction": question.instruction, "first": first, "second": second}


def _model_first(question: PairQuestion) -> bool:
    return int(stable_id("order", question.instruction), 16) % 2 == 0


def _preference(question: PairQuestion, reply: _Reply) -> Opinion:
    first = 1.0 if _model_first(question) else 0.0
    return _opinion(reply, {"FIRST": first, "SECOND": 1.0 - first, "TIE": 0.5})


def _opinion(reply: _Reply, words: Mapping[str, float]) -> Opinion:
    """The value of the one verdict under the reply's code."""
    generation, code = reply
    if generation.finish_reason == "error":
        return Opinion(None, "missing", generation.error or "no reply")
    pattern = rf"VERDICT\W{{1,4}}{re.escape(code)}\W{{1,8}}({'|'.join(words)})\b"
    said: set[Any] = {word.upper() for word in re.findall(pattern, generation.text, re.IGNORECASE)}
    if len(said) != 1:
        return Opinion(None, "unparsed", generation.text)
    return Opinion(words[said.pop()], "ok", generation.text)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)
