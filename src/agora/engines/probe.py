"""Finding out what an engine can do, how fast it is, and whether a raw prefix reaches its model untouched."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from agora.core.errors import AgoraError, CapabilityError
from agora.engines.types import Capability, ChatRequest, CompleteRequest, Engine, Generation, Sampling

ALL_CAPABILITIES = ("chat", "complete", "token_prompt", "score", "embed")
RAW_ROUTES = "vLLM /v1/completions with token ids, llama.cpp /completion, Ollama raw: true, or hf:MODEL in process"

_NO_SAMPLING = "every seed gives the same text: the server ignores the temperature"

# How an assistant opens when its server wrapped the prefix into an empty user turn. A user who says hello asks for
# something; these offer help or say that nothing was asked.
_GREETING = re.compile(
    r"how (?:can|may|could|might) i (?:help|assist|be of)|what can i (?:do|help)|(?:assist|help) you (?:today|with)"
    r"|(?:happy|glad|here|ready) to (?:help|assist)|i(?:'|’| a)m (?:an? |your )?(?:ai|virtual|language model|assistant)"
    r"|(?:seems?|looks?) (?:like|that) (?:you|your) .{0,40}(?:empty|blank|cut off|haven|didn|not )"
    r"|(?:haven't|have not|didn't|did not) (?:provided?|asked|entered|typed|included?)"
    r"|what would you like (?:to|me)|有什么可以帮|我可以帮|我能帮",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RawAccess:
    """Whether raw prefixes reach the model. ``prompt_tokens`` is what the engine counted; None where it is silent."""

    ok: bool
    reason: str
    texts: tuple[str, ...] = ()
    greetings: int = 0
    prompt_tokens: int | None = None
    expected_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What :func:`check_engine` found. A measure is None where it could not be taken.

    Attributes:
        latency_s: median seconds of a one-token answer, asked alone.
        tokens_per_s: over eight answers of up to 32 tokens asked at once.
        context: most tokens of prompt and answer together.
        stop: ``honored``, ``left in the text`` (cut by us), ``ignored`` or ``unknown``.
        samples: eight seeds at temperature 1 give more than one text; some servers ignore the temperature.
        repeatable: the same request with the same seed gives the same text twice.
        problems: one line each; empty when all is well.
    """

    uri: str
    capabilities: tuple[str, ...]
    latency_s: float | None = None
    tokens_per_s: float | None = None
    context: int | None = None
    stop: str = "unknown"
    samples: bool | None = None
    repeatable: bool | None = None
    raw_access: RawAccess | None = None
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No problems."""
        return not self.problems


def looks_like_greeting(text: str) -> bool:
    """Whether a text opens like an assistant that was asked nothing."""
    return bool(_GREETING.search(" ".join(text[:300].split())))


def probe_raw_access(
    engine: Engine,
    prefix_ids: Sequence[int] | None = None,
    *,
    prefix: str | None = None,
    expected_tokens: int | None = None,
    n: int = 8,
    seed: int = 0,
    max_tokens: int = 48,
    temperature: float = 1.0,
) -> RawAccess:
    """Draw ``n`` short texts from a raw prefix and judge whether the server wrapped it in its template.

    Args:
        engine: any engine; it is asked for its capabilities first.
        prefix_ids: the opening of a user turn as token ids (preferred).
        prefix: the same as text, for servers that take no ids.
        expected_tokens: how many tokens the prefix has; known when ids are given.
        n: texts to draw.
        seed: of the first; the others follow.
        max_tokens: of each text.
        temperature: of the draws, above 0.
    """
    if (prefix_ids is None) == (prefix is None):
        raise AgoraError("give exactly one of prefix_ids and prefix", where="probe_raw_access")
    needed: Capability = "token_prompt" if prefix_ids is not None else "complete"
    if not can(engine, needed):
        return RawAccess(False, f"this engine lacks {needed!r}; raw routes that work: {RAW_ROUTES}")
    ids = None if prefix_ids is None else tuple(prefix_ids)
    expected = len(ids) if ids is not None else expected_tokens
    sampling = Sampling(temperature, max_tokens=max_tokens)
    requests = [CompleteRequest(str(i), ids, prefix, replace(sampling, seed=seed + i)) for i in range(n)]
    found = sorted(engine.complete(requests), key=lambda g: int(g.id))
    return _judge_raw(found, expected)


def _judge_raw(found: Sequence[Generation], expected: int | None) -> RawAccess:
    errors = [g.error for g in found if g.error]
    texts = tuple(g.text for g in found if not g.error)
    greetings = sum(looks_like_greeting(text) for text in texts)
    counted = next((g.usage.prompt_tokens for g in found if g.usage.prompt_tokens), None)

    def result(ok: bool, reason: str) -> RawAccess:
        return RawAccess(ok, reason, texts, greetings, counted, expected)

    if errors:
        return result(False, f"{len(errors)} of {len(found)} draws failed: {errors[0]}")
    if greetings >= 3:
        what = f"{greetings} of {len(texts)} texts greet like an assistant: the server wraps the prompt in its template"
        return result(False, f"{what}; raw routes that work: {RAW_ROUTES}")
    if expected is not None and counted is not None and counted != expected:
        cause = "a BOS was added" if counted == expected + 1 else "the server changes the prompt"
        return result(False, f"the engine counted {counted} prompt tokens where {expected} were sent: {cause}")
    if len(texts) > 1 and len(set(texts)) == 1:
        return result(False, f"{_NO_SAMPLING} ({texts[0][:40]!r})")
    if not any(text.strip() for text in texts):
        return result(False, "every text is empty: the prefix ends where the model would stop")
    return result(
        True, "the prefix reaches the model" if counted else "the texts look raw; no token count was reported"
    )


def check_engine(
    engine: Engine | str, *, prefix_ids: Sequence[int] | None = None, prefix: str | None = None
) -> EngineReport:
    """Open an engine if need be and measure it with a dozen short calls.

    Args:
        engine: an engine, or a URI (opened and closed here).
        prefix_ids: the opening of a user turn, to probe raw access with; by default that of the model's own chat
            template, where the engine runs in this process and so knows it.
        prefix: the same as text, which a server needs for the probe.

    Raises:
        AgoraError: the engine cannot be opened (see :func:`agora.engines.open_engine`).
    """
    if isinstance(engine, str):
        from agora.engines.registry import open_engine

        opened = open_engine(engine)
        try:
            return check_engine(opened, prefix_ids=prefix_ids, prefix=prefix)
        finally:
            opened.close()
    capabilities = tuple(c for c in ALL_CAPABILITIES if c in engine.capabilities)
    report = EngineReport(engine.uri, capabilities, context=getattr(engine, "context", None))
    ask = _asker(engine)
    if ask is None:
        return replace(report, problems=("it answers neither chats nor raw prompts",))
    report = _measure(report, ask)
    if prefix is None and prefix_ids is None:
        prefix_ids = getattr(engine, "user_prefix", None)
    if prefix_ids is not None or prefix is not None:
        raw = probe_raw_access(engine, prefix_ids, prefix=prefix)
        report = replace(report, raw_access=raw)
        if not raw.ok:
            report = replace(report, problems=(*report.problems, raw.reason))
    return report


_Ask = Callable[[Iterable[Sampling]], list[Generation]]


def _asker(engine: Engine) -> _Ask | None:
    """One function for both kinds of model: ask the same thing with several settings, answers in that order."""

    def run(answers: Iterator[Generation]) -> list[Generation]:
        return sorted(answers, key=lambda g: int(g.id))

    if "chat" in engine.capabilities:
        message = {"role": "user", "content": "Count from one to twenty in words."}
        return lambda settings: run(engine.chat(ChatRequest(str(i), (message,), s) for i, s in enumerate(settings)))
    if "complete" in engine.capabilities:
        text = "One, two, three, four,"
        return lambda settings: run(
            engine.complete(CompleteRequest(str(i), None, text, s) for i, s in enumerate(settings))
        )
    return None


def _measure(report: EngineReport, ask: _Ask) -> EngineReport:
    problems: list[str] = []
    times = []
    for i in range(3):
        start = time.perf_counter()
        problems += _errors(ask([Sampling(max_tokens=1, seed=i)]))
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    drawn = ask(Sampling(temperature=1.0, max_tokens=32, seed=i) for i in range(8))
    seconds = time.perf_counter() - start
    problems += _errors(drawn)
    tokens = sum(g.usage.completion_tokens for g in drawn)
    again = ask([Sampling(temperature=1.0, max_tokens=32, seed=0)])
    repeatable = None if drawn[0].error or again[0].error else drawn[0].text == again[0].text
    samples = None if problems else len({g.text for g in drawn}) > 1
    if samples is False:
        problems.append(_NO_SAMPLING)
    return replace(
        report,
        latency_s=None if samples is None else median(times),
        tokens_per_s=tokens / seconds if tokens and samples is not None else None,
        samples=samples,
        repeatable=repeatable,
        stop=_stop_behavior(ask),
        problems=tuple(dict.fromkeys(problems)),
    )


def _errors(found: Sequence[Generation]) -> list[str]:
    return [g.error for g in found if g.error]


def _stop_behavior(ask: _Ask) -> str:
    """Take a piece of a greedy answer as the stop string and see whether the second answer ends before it."""
    whole = ask([Sampling(max_tokens=24)])[0]
    if whole.error or len(whole.text) < 6:
        return "unknown"
    stop = whole.text[3:6]
    second = ask([Sampling(max_tokens=24, stop=(stop,))])[0]
    if second.error:
        return "ignored"
    cut: Any = whole.text[: whole.text.find(stop)]
    if second.text != cut:
        return "ignored"
    # a server that keeps the stop string, or runs past it, has drawn as much as without one
    return "honored" if second.usage.completion_tokens < whole.usage.completion_tokens else "left in the text"


def can(engine: Engine, capability: Capability) -> bool:
    """Whether an engine has one capability; a server is asked about this one only."""
    ask: Callable[[Capability], bool] | None = getattr(engine, "can", None)
    return ask(capability) if ask is not None else capability in engine.capabilities


def require(engine: Engine, *capabilities: Capability) -> None:
    """Stop before the work begins if an engine lacks something it needs.

    Raises:
        CapabilityError: names what is missing and what would do.
    """
    missing = [c for c in capabilities if not can(engine, c)]
    if missing:
        raise CapabilityError(
            f"this engine lacks {', '.join(missing)}", where=engine.uri, hint=f"would do: {RAW_ROUTES}"
        )
