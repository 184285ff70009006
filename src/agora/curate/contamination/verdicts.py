"""Do a test item and a training row pose the same problem? A judge model says True or False; else it is undecided.

The question follows Yang et al., "Rethinking Benchmark and Contamination for Language Models with Rephrased Samples"
(arXiv:2311.04850), in words of our own. There a reply that cannot be had counts as False; here it counts as undecided.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from agora.core.errors import UsageError
from agora.core.fencing import neutralize, substitute
from agora.core.progress import progress
from agora.core.records import stable_id
from agora.engines.types import ChatRequest, Engine, Sampling

Kind = Literal["knowledge", "numbers", "code"]
KINDS: tuple[str, ...] = get_args(Kind)
_ATTEMPTS = 3
_MAX_CHARS = 12_000
_MAX_TOKENS = 16
_LATER_TEMPERATURE = 0.3  # a greedy judge would only repeat itself
_PLAIN = re.compile(r"[\s*_`\"'.!:()\[\]]+")


class Ask(NamedTuple):
    """Two texts to be compared; ``id`` names the question."""

    id: str
    test: str
    row: str


class Opinion(NamedTuple):
    """True, False, or None when undecided; what was said, and how often was asked."""

    same: bool | None
    raw: str
    attempts: int


Judge = Callable[[Sequence[Ask]], list[Opinion]]


def engine_judge(engine: Engine, kind: str) -> Judge:
    """A judge that asks a chat model, up to three times each (at temperature 0, then 0.3).

    Args:
        engine: opened; with a cache no question is paid for twice.
        kind: ``knowledge`` (math and knowledge: same question, same answer), ``numbers`` (the same up to its numbers),
            ``code`` (same objective, inputs and outputs).

    Raises:
        UsageError: no such kind.
        CapabilityError: the engine cannot chat.
    """
    from agora.engines import require

    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no kind of problem", hint=f"choose {', '.join(KINDS)}")
    require(engine, "chat")

    def judge(asks: Sequence[Ask]) -> list[Opinion]:
        return _ask(engine, kind, asks)

    return judge


def read_reply(text: str) -> bool | None:
    """What a reply says: it is the word True or False and nothing else, marks and line breaks aside."""
    word = _PLAIN.sub(" ", text).strip().lower()
    return {"true": True, "false": False}.get(word)


def question(kind: str, ask: Ask) -> str:
    """The prompt for two texts: fenced, so that neither can leave its block; long ones keep head and tail."""
    code = stable_id("same problem", ask.test, ask.row)
    first, _ = neutralize(_shortened(ask.test), (code,))
    second, _ = neutralize(_shortened(ask.row), (code,))
    return substitute(_template(kind), {"code": code, "first": first, "second": second})


@cache
def _template(kind: str) -> str:
    return files("agora.curate.contamination").joinpath("prompts", f"{kind}.md").read_text("utf-8")


def _shortened(text: str) -> str:
    if len(text) <= _MAX_CHARS:
        return text
    half = _MAX_CHARS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def _ask(engine: Engine, kind: str, asks: Sequence[Ask]) -> list[Opinion]:
    found: dict[str, Opinion] = {}
    with progress(len(asks), "judging", "pairs") as bar:
        for attempt in range(_ATTEMPTS):
            waiting = [ask for ask in asks if ask.id not in found or found[ask.id].same is None]
            for reply in engine.chat([_request(kind, ask, attempt) for ask in waiting]):
                raw = reply.error or "no reply" if reply.finish_reason == "error" else reply.text
                same = None if reply.finish_reason == "error" else read_reply(reply.text)
                found[reply.id] = Opinion(same, raw, attempt + 1)
                if same is not None or attempt == _ATTEMPTS - 1:
                    bar.advance()
    return [found.get(ask.id, Opinion(None, "no reply", _ATTEMPTS)) for ask in asks]


def _request(kind: str, ask: Ask, attempt: int) -> ChatRequest:
    temperature = _LATER_TEMPERATURE if attempt else 0.0
    sampling = Sampling(temperature=temperature, max_tokens=_MAX_TOKENS, seed=attempt)
    return ChatRequest(ask.id, ({"role": "user", "content": question(kind, ask)},), sampling)


@contextmanager
def open_judge(uri: str | None, kind: str, cache: Path) -> Iterator[Judge | None]:
    """The judge of an engine's URI while the context lasts, None without one; replies are kept in ``cache``."""
    if uri is None:
        yield None
        return
    from agora.engines import open_engine

    engine = open_engine(uri, cache=cache)
    try:
        yield engine_judge(engine, kind)
    finally:
        engine.close()
