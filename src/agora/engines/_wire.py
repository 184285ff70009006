"""The OpenAI wire format: requests to bodies, answers to generations. No network here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from agora.core.errors import CapabilityError, ConfigError, DataError
from agora.engines.types import (
    ChatRequest,
    CompleteRequest,
    FinishReason,
    Generation,
    Sampling,
    Score,
    ScoreRequest,
    Usage,
)

CHAT, COMPLETIONS, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"


@dataclass(frozen=True, slots=True)
class Prices:
    """What a server charges, in US dollars per million tokens."""

    input_usd: float = 0.0
    output_usd: float = 0.0

    def __post_init__(self) -> None:
        if self.input_usd < 0 or self.output_usd < 0:
            raise ConfigError(f"prices must be at least 0, got {self.input_usd} and {self.output_usd}")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars for one call."""
        return (prompt_tokens * self.input_usd + completion_tokens * self.output_usd) / 1e6


#: The schema of any JSON object; it travels as ``json_object``, which more servers know.
ANY_OBJECT: dict[str, Any] = {"type": "object"}


def reply_forms(schema: dict[str, Any] | None) -> tuple[str | None, ...]:
    """How a server may be asked for a schema, the most exact first; at last without any form."""
    if schema is None:
        return (None,)
    return ("json_object", None) if schema == ANY_OBJECT else ("json_schema", "json_object", None)


def chat_body(model: str, request: ChatRequest, *, refused: Collection[str] = ()) -> dict[str, Any]:
    """Body of a chat completion, with the most exact form of reply that the server has not ``refused``."""
    body = {"model": model, "messages": [dict(m) for m in request.messages], **_sampling(request.sampling)}
    form = next(form for form in reply_forms(request.schema) if form not in refused)
    if form == "json_schema":
        schema = {"name": "answer", "schema": request.schema, "strict": True}
        body["response_format"] = {"type": form, form: schema}
    elif form is not None:
        body["response_format"] = {"type": form}
    return body


def complete_body(model: str, request: CompleteRequest) -> dict[str, Any]:
    """Body of a raw completion; token ids travel as an array (vLLM and others take it)."""
    if (request.prompt is None) == (request.prompt_ids is None):
        raise DataError("give exactly one of prompt and prompt_ids", where=request.id)
    prompt: Any = request.prompt if request.prompt_ids is None else list(request.prompt_ids)
    return {"model": model, "prompt": prompt, **_sampling(request.sampling)}


def score_body(model: str, request: ScoreRequest) -> dict[str, Any]:
    """Body of a completion that echoes its prompt with log-probabilities; one token is drawn and thrown away."""
    prompt = request.prompt + request.continuation
    return {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}


def _sampling(sampling: Sampling) -> dict[str, Any]:
    if sampling.first_token_temperature != 1 or sampling.banned_first_ids:
        raise CapabilityError("a server cannot treat the first token apart", hint="use an in-process engine (hf:)")
    body: dict[str, Any] = {
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed if 0 <= sampling.seed < 1 << 31 else hash(sampling.seed) % (1 << 31),
    }
    if sampling.top_p < 1:
        body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.stop_ids:
        body["stop_token_ids"] = list(sampling.stop_ids)
    return body


def read_generation(
    request_id: str, data: dict[str, Any], stop: Sequence[str], prices: Prices, **meta: Any
) -> Generation:
    """A generation from the body of an answer; a body of another shape becomes an error item."""
    try:
        choice = data["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        usage = read_usage(data, prices)
    except (KeyError, IndexError, TypeError, ValueError):
        said = data.get("error", data)
        return Generation(request_id, "", "error", error=f"unexpected answer from the server: {str(said)[:200]}")
    if not isinstance(text, str | None):
        return Generation(request_id, "", "error", error="unexpected answer from the server: the content is no text")
    if choice.get("finish_reason") == "content_filter":
        return Generation(request_id, "", "error", usage=usage, error="the server's content filter stopped this answer")
    if data.get("model"):
        meta["model"] = data["model"]
    if "usage" not in data:
        meta["usage_missing"] = True
    text, reason, stopped_by = _ending(text or "", choice, stop)
    return Generation(request_id, text, reason, stopped_by=stopped_by, usage=usage, meta=meta)


def _ending(text: str, choice: dict[str, Any], stop: Sequence[str]) -> tuple[str, FinishReason, str | None]:
    """Some servers leave the stop string in the text and none says the same about why it ended."""
    cut, stopped_by = min(((text.find(s), s) for s in stop if s in text), default=(-1, None))
    said = choice.get("stop_reason", choice.get("matched_stop"))
    if cut >= 0:
        return (text[:cut], "stop_string", stopped_by) if cut else ("", "empty", stopped_by)
    named = None if said is None else str(said)
    if choice.get("finish_reason") == "length":
        return text, "length", None
    if not text:
        return "", "empty", named
    if isinstance(said, str) and said in stop:
        return text, "stop_string", said
    return text, "stop_token", named


def read_usage(data: dict[str, Any], prices: Prices) -> Usage:
    """Tokens and money of an answer; zero where the server does not say."""
    usage = data.get("usage") or {}
    prompt, completion = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    return Usage(prompt, completion, prices.cost(prompt, completion))


def read_score(request: ScoreRequest, data: dict[str, Any]) -> Score:
    """The continuation's log-probabilities from an echoed prompt.

    Raises:
        DataError: the answer has no such numbers, or no token starts where the continuation does.
    """
    try:
        logprobs = data["choices"][0]["logprobs"]
        rows = list(zip(logprobs["text_offset"], logprobs["token_logprobs"], strict=True))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError("the server's answer holds no log-probabilities of the prompt", where=request.id) from error
    start, end = len(request.prompt), len(request.prompt) + len(request.continuation)
    if start not in {offset for offset, _ in rows}:
        raise DataError("the server's tokens run across the start of the continuation", where=request.id)
    found = [value for offset, value in rows if start <= offset < end]
    if any(value is None for value in found):
        raise DataError("the first token of a text has no log-probability; give a prompt", where=request.id)
    return Score(request.id, (), tuple(float(value) for value in found))
