"""Render chat templates the way transformers does, with the clock frozen and nothing else defined.

Templates come from strangers, so they run in an immutable sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from agora.core.errors import ConfigError

Turns = Sequence[tuple[str, str]]
DEFAULT_SPECIAL_TOKENS = {"bos_token": "", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


class TemplateRefusedError(Exception):
    """The template raised on these messages; the text is its own message."""


class ChatTemplate:
    """One chat template with its special tokens and a frozen clock.

    Args:
        source: the Jinja text.
        special_tokens: names such as ``bos_token`` to their text.
        clock: what ``strftime_now`` prints; None means today (UTC). ``clock_read`` tells whether it was asked for.
        name: used in errors.

    Raises:
        ConfigError: the text is not valid Jinja.
    """

    def __init__(
        self, source: str, special_tokens: Mapping[str, str], *, clock: date | None = None, name: str = "chat template"
    ) -> None:
        self.source = source
        self.name = name
        self.clock = clock or datetime.now(UTC).date()
        self.clock_read = False
        self.special_tokens = dict(special_tokens)
        try:
            self._compiled = _environment().from_string(source)
        except Exception as error:  # Jinja's syntax errors, and whatever its extensions raise
            raise ConfigError(
                f"the chat template is not valid Jinja: {error}", where=name, hint="pass another with --chat-template"
            ) from error

    def render(self, turns: Turns, *, generation: bool, parts: bool = False) -> str:
        """The text of a conversation.

        Args:
            turns: (role, content) pairs.
            generation: add the opening of the assistant's turn.
            parts: give content as ``[{"type": "text", "text": ...}]`` (templates of vision models).

        Raises:
            TemplateRefusedError: the template raised.
        """
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if parts else text} for role, text in turns
        ]
        context: dict[str, Any] = {**self.special_tokens, "tools": None, "documents": None}
        try:
            text: str = self._compiled.render(
                messages=messages, add_generation_prompt=generation, strftime_now=self._strftime_now, **context
            )
        except Exception as error:  # a template is a stranger's program: anything may come out of it
            raise TemplateRefusedError(str(error) or type(error).__name__) from error
        return text

    def _strftime_now(self, format: str) -> str:
        self.clock_read = True
        return datetime(self.clock.year, self.clock.month, self.clock.day).strftime(format)


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class GenerationTag(Extension):
        """``{% generation %}`` marks the assistant's text for training masks; here it changes nothing."""

        tags = {"generation"}  # noqa: RUF012 - Jinja declares it on the instance

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            # a call block, as in transformers: what is set inside does not leak out
            return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

        def _same(self, caller: Any) -> Any:
            return caller()

    def tojson(
        x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    return environment
