"""A prefix in the form an engine takes: token ids where it can, else text with BOS written exactly once."""

from __future__ import annotations

from typing import NamedTuple

from agora.core.errors import CapabilityError, EngineError
from agora.engines.types import CompleteRequest, Engine, Sampling
from agora.rooms.synthesize.types import PrefixTemplate


class WirePrompt(NamedTuple):
    """Exactly one of the two is given."""

    ids: tuple[int, ...] | None
    text: str | None


def wire_prompt(engine: Engine, template: PrefixTemplate) -> WirePrompt:
    """How to send a prefix to an engine.

    A server that takes only text may put BOS before it. It is asked once, with one token of output: its count of
    prompt tokens beside ours tells.

    Raises:
        CapabilityError: the count shows that the server wraps the text in something more than BOS.
        EngineError: the server does not answer.
    """
    if template.prefix_ids is not None and "token_prompt" in engine.capabilities:
        return WirePrompt(template.prefix_ids, None)
    text = template.sent_text
    if template.prefix_ids is None:
        return WirePrompt(None, text)
    counted = _counted_tokens(engine, text)
    surplus = counted - len(template.prefix_ids)
    if counted == 0 or surplus == 0:  # 0: the server reports no usage, so nothing can be told
        return WirePrompt(None, text)
    bos = template.bos_token
    if surplus == 1 and bos and text.startswith(bos) and len(text) > len(bos):
        return WirePrompt(None, text.removeprefix(bos))
    raise CapabilityError(
        f"the server counts {counted} tokens for a prefix of {len(template.prefix_ids)}: it changes raw prompts",
        where=engine.uri,
        hint="use a raw completions route that takes token ids, or check that the tokenizer is the model's own",
    )


def _counted_tokens(engine: Engine, text: str) -> int:
    request = CompleteRequest("prefix-length", prompt=text, sampling=Sampling(max_tokens=1))
    for generation in engine.complete([request]):
        if generation.finish_reason == "error":
            raise EngineError(f"the first request failed: {generation.error}", where=engine.uri)
        return generation.usage.prompt_tokens
    raise EngineError("the engine gave no result for the first request", where=engine.uri)
