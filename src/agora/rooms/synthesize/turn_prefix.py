"""The prefix of the next user turn of any conversation, from any chat template.

The whole conversation is rendered with a sentinel as the next user's text and cut there: 13 of 77 known templates
change earlier turns when one is added, so a fixed header cannot be appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from agora.core.errors import ConfigError
from agora.rooms.synthesize.chat_template import ChatTemplate, TemplateRefusedError
from agora.rooms.synthesize.prefix import FIRST, _single_bos, derive_prefix
from agora.rooms.synthesize.sources import Source, open_source
from agora.rooms.synthesize.tokens import PROBES, common_prefix
from agora.rooms.synthesize.types import PrefixTemplate


class TurnPrefix(NamedTuple):
    """Text and ids of everything before a user's next words; ids are None without a tokenizer."""

    text: str
    ids: tuple[int, ...] | None


class TurnPrefixes:
    """Prefixes of later user turns of one model.

    Args:
        source: as for :func:`agora.rooms.synthesize.derive_prefix`.
        chat_template: Jinja text used in place of the tokenizer's own.
        clock: the date that templates print, ISO; today when None.

    Raises:
        ConfigError: there is no template, or it renders no second user turn.
    """

    def __init__(self, source: Any, *, chat_template: str | None = None, clock: str | None = None) -> None:
        self._source: Source = open_source(source, chat_template=chat_template)
        self.plain: PrefixTemplate = derive_prefix(self._source, clock=clock)
        if self.plain.later_user_turn_lead_in is None:
            raise ConfigError(
                "the chat template renders no second user turn", where=self._source.name, hint="use another model"
            )
        assert self._source.template is not None
        day = clock or self.plain.clock
        self._template = ChatTemplate(
            self._source.template,
            self._source.special_tokens,
            clock=date.fromisoformat(day) if day else None,
            name=self._source.name,
        )
        self._left_out: str | None = None  # end of the text that the ids do not cover, the same for every conversation

    @property
    def takes_system(self) -> bool:
        """Whether a system prompt can tell the model whose turn it writes."""
        return self.plain.supports_system == "yes"

    def of(self, messages: Sequence[tuple[str, str]]) -> TurnPrefix:
        """The prefix of the user's turn after ``messages``.

        Args:
            messages: (role, content) pairs, the last one the assistant's.

        Raises:
            ConfigError: the template refuses the conversation, or rewrites what it was given.
        """
        parts = self.plain.content_format == "parts"
        try:
            rendered = self._template.render([*messages, ("user", FIRST)], generation=True, parts=parts)
        except TemplateRefusedError as refusal:
            raise ConfigError(
                f"the chat template refuses the conversation: {refusal}", where=self._source.name
            ) from None
        if rendered.count(FIRST) != 1:
            raise ConfigError("the chat template repeats or drops the user's text", where=self._source.name)
        before, _, after = rendered.partition(FIRST)
        text, _ = _single_bos(before, self._source.special_tokens.get("bos_token", ""))
        if self._source.tokenizer is None:
            return TurnPrefix(text, None)
        return self._tokenized(text, after)

    def _tokenized(self, text: str, after: str) -> TurnPrefix:
        """The ids that every next word leaves as they are.

        What comes before a user's words is the same after every answer, so where the ids may end is found out once,
        with all probes, and afterwards with one tokenization and its offsets.
        """
        tokenizer = self._source.tokenizer
        assert tokenizer is not None
        if self._left_out is not None and text.endswith(self._left_out) and tokenizer.is_fast:
            sent = text.removesuffix(self._left_out) if self._left_out else text
            coded = tokenizer(text + PROBES[0] + after, add_special_tokens=False, return_offsets_mapping=True)
            ids = [
                i for i, (_, end) in zip(coded["input_ids"], coded["offset_mapping"], strict=True) if end <= len(sent)
            ]
            return TurnPrefix(sent, tuple(ids))
        ids_of, sent = common_prefix(tokenizer, text, after, self._source.name)
        self._left_out = text[len(sent) :]
        return TurnPrefix(sent, ids_of)
