"""Judges that need no language model, and the door to all judges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import ConfigError, DataError
from agora.core.records import Verdict, stable_id
from agora.rooms.judge.asking.llm import LlmJudge
from agora.rooms.judge.asking.reply_forms import ResponseFormat
from agora.rooms.judge.asking.verdicts import latest, make_verdict, verdict_id, without_call
from agora.rooms.judge.types import (
    ChecklistItem,
    Item,
    Judge,
    Kind,
    PairItem,
    PromptRef,
    ScoreItem,
    text_hash,
    text_of,
)

if TYPE_CHECKING:
    from agora.engines.types import Engine
    from agora.microcosm.world import CheckResult, World

CHECKER = "microcosm:checker"
# Raised when the meaning of the checker's verdicts changes, so that old and new ones never mix.
_CHECKER_VERSION = 1


class ItemJudge:
    """A judge that settles each item by itself, whatever its kind: a subclass gives the one method that does it."""

    def _verdict(self, item: Item) -> Verdict:
        raise NotImplementedError

    def score(self, items: Iterable[ScoreItem]) -> Iterator[Verdict]:
        """Grade answers from 1 to 10."""
        return map(self._verdict, items)

    def compare(self, items: Iterable[PairItem]) -> Iterator[Verdict]:
        """Compare answers with a baseline's."""
        return map(self._verdict, items)

    def check(self, items: Iterable[ChecklistItem]) -> Iterator[Verdict]:
        """Go through the checklists."""
        return map(self._verdict, items)


class RuleJudge(ItemJudge):
    """The microcosm's own checkers as a judge: the truth, where a model's judgement is an opinion.

    An answer's score is the checker's. Of two answers, the correct one is much better than a wrong one; otherwise a gap
    of 4 points or more is much, of 1 to 3 slight, and equal scores tie. A task that is no exercise of the world has
    status ``missing``.

    Args:
        world: the world whose exercises are judged; that of the shipped models when None.
    """

    def __init__(self, world: World | None = None) -> None:
        if world is None:
            from agora.microcosm.world import World

            world = World(seed=0)
        self._world = world

    @property
    def name(self) -> str:
        """``microcosm:checker``."""
        return CHECKER

    def prompt(self, kind: Kind) -> PromptRef:
        """The rule in place of a prompt."""
        return PromptRef(f"checker/{kind}", stable_id(CHECKER, kind, _CHECKER_VERSION))

    def _verdict(self, item: Item) -> Verdict:
        prompt = self.prompt(item.kind)
        if (verdict := without_call(item, self.name, prompt)) is not None:
            return verdict
        exercise = self._world.recognize(item.task.messages[-1].content)
        if exercise is None:
            why = {"error": "the task is no exercise of the microcosm"}
            return make_verdict(item, self.name, prompt, "missing", parsed=why)
        result = self._world.check(exercise, text_of(item.answer))
        if isinstance(item, ScoreItem):
            return make_verdict(item, self.name, prompt, "ok", float(result.score), parsed=_checks(result))
        if isinstance(item, ChecklistItem):
            share = sum(result.passed) / len(result.passed)
            return make_verdict(item, self.name, prompt, "ok", share, parsed={"items": _answered(result)})
        other = self._world.check(exercise, text_of(item.baseline))
        parsed = {"candidate": _checks(result), "baseline": _checks(other)}
        return make_verdict(item, self.name, prompt, "ok", compare_checks(result, other), parsed=parsed)


def compare_checks(candidate: CheckResult, baseline: CheckResult) -> float:
    """The outcome of two checks of answers to one exercise, from the candidate's side."""
    gap = candidate.score - baseline.score
    if candidate.correct != baseline.correct:
        return 1.0 if candidate.correct else -1.0
    size = 1.0 if abs(gap) >= 4 else 0.5 if abs(gap) >= 1 else 0.0
    return size if gap >= 0 else -size


def _checks(result: CheckResult) -> dict[str, Any]:
    return {"correct": result.correct, "score": result.score, "passed": list(result.passed)}


def _answered(result: CheckResult) -> list[dict[str, Any]]:
    return [{"item": i, "met": "yes" if passed else "no"} for i, passed in enumerate(result.passed, 1)]


class ReplayJudge(ItemJudge):
    """Repeats stored verdicts; whatever was not stored, or is about another answer, has status ``missing``.

    Args:
        verdicts: by one judge and one prompt a kind; the last one on an id counts.

    Raises:
        DataError: there are none, or they are by several judges.
    """

    def __init__(self, verdicts: Iterable[Verdict]) -> None:
        stored = latest(verdicts)
        judges = sorted({verdict.judge for verdict in stored})
        if len(judges) != 1:
            raise DataError(
                f"a replay needs the verdicts of one judge, got {len(judges)}: {', '.join(judges) or 'no verdicts'}"
            )
        self._name = judges[0]
        self._stored = {_identity(verdict): verdict for verdict in stored}
        self._prompts = {verdict.kind: PromptRef(verdict.prompt_name, verdict.prompt_hash) for verdict in stored}

    @property
    def name(self) -> str:
        """The name of the judge whose verdicts are repeated."""
        return self._name

    def prompt(self, kind: Kind) -> PromptRef:
        """The prompt of the stored verdicts."""
        return self._prompts.get(kind, PromptRef("replay", ""))

    def _verdict(self, item: Item) -> Verdict:
        prompt = self.prompt(item.kind)
        stored = self._stored.get(item.identity)
        if stored is None:
            return make_verdict(item, self.name, prompt, "missing", parsed={"error": "no stored verdict"})
        if not _same_answers(item, stored):
            why = {"error": "the stored verdict is about another answer"}
            return make_verdict(item, self.name, prompt, "missing", parsed=why)
        own = make_verdict(item, self.name, prompt, stored.status, stored.value)
        meta = {**stored.meta, **own.meta, "replayed": stored.id}
        return replace(stored, id=verdict_id(item, self.name, prompt), meta=meta, usage={})


def _identity(verdict: Verdict) -> tuple[str, ...]:
    if verdict.kind != "pair":
        return (verdict.kind, verdict.task_id, verdict.model)
    return ("pair", verdict.task_id, verdict.model, verdict.baseline or "", verdict.order or "")


def _same_answers(item: Item, stored: Verdict) -> bool:
    """By hash where the verdict has one, else by length."""
    shown = [(item.answer, stored.meta.get("answer"), stored.n_chars)]
    if isinstance(item, PairItem):
        shown.append((item.baseline, stored.meta.get("baseline_answer"), stored.baseline_n_chars))
    return all(
        text_hash(text_of(answer)) == sha if sha is not None else n_chars in (None, len(text_of(answer)))
        for answer, sha, n_chars in shown
    )


def open_judge(
    uri: str,
    *,
    engine: Engine | None = None,
    seed: int = 0,
    nonce: str | None = None,
    max_tokens: int = 1024,
    num_reasks: int = 2,
    response_format: ResponseFormat = "none",
    **engine_options: Any,
) -> Judge:
    """Open a judge by name.

    Args:
        uri: ``microcosm:checker``, the same with dials of error (``microcosm:checker?noise=0.2``, see
            :class:`~agora.rooms.judge.asking.dials.DialJudge`), ``replay:FILE`` (verdicts or judged files), or any
            engine URI. A name may go before it (``strict=openai:MODEL``), which verdicts then bear in place of the URI.
        engine: a live engine to be used in place of opening ``uri``.
        seed: of the prompts' delimiter codes.
        response_format: the form that a server is asked to decode by: ``auto``, ``json-object`` or ``none``.
        engine_options: passed on to ``open_engine`` (cache, budget, concurrency, ...).

    Raises:
        ConfigError: the URI is empty or names no judge.
        MissingError: a file or a model is not there.
    """
    if not uri and engine is None:
        raise ConfigError("the judge has no name", hint="use microcosm:checker, replay:FILE or an engine URI")
    name, uri = split_name(uri)
    if engine is None and uri == CHECKER:
        return RuleJudge()
    if engine is None and uri.startswith(f"{CHECKER}?"):
        from agora.rooms.judge.asking.dials import DialJudge, Dials

        return DialJudge(Dials.parse(uri), seed=seed)
    if engine is None and re.match("replay:", uri):
        from agora.rooms.judge.formats.judged_files import read_judged

        return ReplayJudge(read_judged(Path(uri.removeprefix("replay:"))).verdicts)
    if engine is None:
        check_engine_uri(uri)
        from agora.engines import open_engine

        engine = open_engine(uri, **engine_options)
    name = name or uri or None
    return LlmJudge(
        engine,
        name=name,
        seed=seed,
        nonce=nonce,
        max_tokens=max_tokens,
        num_reasks=num_reasks,
        response_format=response_format,
    )


def check_engine_uri(uri: str) -> None:
    """See that a judge that needs an engine names one; nothing is opened.

    Raises:
        UsageError: it does not; says what would do.
    """
    from agora.engines.registry import parse_uri

    if uri.startswith("microcosm:") and uri not in ("microcosm:chat", "microcosm:base"):
        hint = "the microcosm has microcosm:checker, microcosm:chat, microcosm:base"
        raise ConfigError(f"unknown judge {uri!r}", hint=hint)
    parse_uri(uri)


def split_name(text: str) -> tuple[str | None, str]:
    """``NAME=URI`` as its two parts; the name is None where there is only a URI."""
    name, equals, uri = text.partition("=")
    return (name.strip(), uri) if equals and name.strip() and ":" not in name else (None, text)


def judge_name(text: str) -> str:
    """The name that verdicts of a judge bear, without opening it: that before ``=``, else the URI without password."""
    name, uri = split_name(text)
    return re.sub(r"//[^/@]*@", "//", name or uri)
