"""Between text and token ids: prompts in, generated text out, stop strings in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from agora.core.errors import DataError
from agora.engines._generate import Row

# Texts that start unlike: what their renderings share is what stands before any text.
_OPENINGS = ("Apple", "how", "7", '"Why', "(so", "你好", "Éa", "def f", "# A", "- b", "…")


class TextSide:
    """A tokenizer as the engine uses it.

    Attributes:
        end_ids: tokens that end any generation (end of sequence, as the tokenizer and the generation config say).
        special_ids: tokens that are never part of a text.
    """

    def __init__(self, tokenizer: Any, end_ids: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        own = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
        self.end_ids = frozenset([*own, *end_ids])
        self.special_ids = frozenset(tokenizer.all_special_ids)
        self._may_end: dict[tuple[int, tuple[str, ...]], bool] = {}

    def render(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Token ids of a conversation ready to be answered, by the model's own template."""
        try:
            ids = self.tokenizer.apply_chat_template(
                [dict(m) for m in messages], add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except Exception as error:  # templates raise jinja2 errors of many kinds, and their own by raise_exception
            raise DataError(f"the chat template refuses this conversation: {error}") from error
        return [int(i) for i in ids]

    def user_prefix(self) -> list[int]:
        """Token ids that the model's own template puts before a user's first words; empty where nothing is fixed."""
        try:
            rendered = [self.render([{"role": "user", "content": text}]) for text in _OPENINGS]
        except DataError:
            return []
        return [ids[0] for ids in takewhile(lambda ids: len(set(ids)) == 1, zip(*rendered, strict=False))]

    def prefix(self, text: str) -> list[int]:
        """Token ids of a raw prefix, with the beginning-of-sequence token exactly once if the model wants one."""
        ids = self._encode(text)
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[:2] == [bos, bos]:
            ids = ids[1:]
        if ids and ids[-1] in self.end_ids and not text.endswith(self.tokenizer.convert_ids_to_tokens(ids[-1])):
            ids = ids[:-1]  # some tokenizers close every text; a prefix must stay open
        return ids or self.start()

    def start(self) -> list[int]:
        """What stands before a text that has no prompt: beginning of sequence, else the end of an earlier one."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return [int(token)]
        return []

    def continuation(self, text: str) -> list[int]:
        """Token ids of a text that follows something."""
        return self._encode(text, add_special_tokens=False)

    def _encode(self, text: str, **options: bool) -> list[int]:
        try:
            return [int(i) for i in self.tokenizer.encode(text, **options)]
        except (UnicodeError, TypeError) as error:
            raise DataError(f"the text cannot be tokenized: {error}") from error

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def token_name(self, token: int) -> str:
        """The token as the vocabulary spells it."""
        return str(self.tokenizer.convert_ids_to_tokens(int(token)))

    def stop_check(self, row: Row) -> bool:
        """Whether the newest token completed a stop string; if so the row's text is cut before it."""
        stop = row.sampling.stop
        if not self._may_complete(row.tokens[-1], stop):
            return False
        # each token but a special one has at least one byte, so the string lies within so many tokens of the end
        reach = max(len(s.encode()) for s in stop) + 8
        if not any(s in self.decode(row.tokens[-reach:]) for s in stop):
            return False
        text = self.decode(row.tokens)
        at, found = min(((text.find(s), s) for s in stop if s in text), default=(-1, ""))
        if at < 0:
            return False
        row.text, row.stopped_by = text[:at], found
        row.reason = "stop_string" if at > 0 else "empty"
        return True

    def _may_complete(self, token: int, stop: tuple[str, ...]) -> bool:
        """A cheap filter, remembered per token: can a stop string end within this token?"""
        key = (token, stop)
        if key not in self._may_end:
            piece = self.tokenizer.decode([token])
            # a space at the edge or part of a character may show only in context
            self._may_end[key] = "\ufffd" in piece or any(s[-1] in piece or s[-1].isspace() for s in stop)
        return self._may_end[key]
