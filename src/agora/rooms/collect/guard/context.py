"""Cutting a history from its oldest round until it fits the model's context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Turn = Mapping[str, str]
#: Tokens of a turn beside its text: role and separators of a chat template.
_OF_A_TURN = 8
_BYTES_OF_A_TOKEN = 3


class Fitted(NamedTuple):
    """The turns that are sent, how many rounds were left out before them, and an estimate of their tokens."""

    turns: list[dict[str, str]]
    truncated_rounds: int
    tokens: int


def estimate_tokens(text: str) -> int:
    """Tokens of a text, without a tokenizer: one for each three bytes of UTF-8.

    English has about four bytes a token, Chinese about three, so this errs on the side of too many: a history is cut a
    little early rather than refused by the model.
    """
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_OF_A_TOKEN)


def fit_turns(turns: Sequence[Turn], context_tokens: int, reply_tokens: int) -> Fitted:
    """Leave out the oldest rounds until prompt and reply fit. System turns and the last message always stay.

    Args:
        turns: the whole history, the message to answer last.
        context_tokens: what the model can hold; 0 cuts nothing.
        reply_tokens: kept free for the reply.
    """
    sizes = [_OF_A_TURN + estimate_tokens(turn["content"]) for turn in turns]
    starts = [i for i, turn in enumerate(turns) if turn["role"] == "user"]
    head = starts[0] if starts else 0
    cut, size = 0, sum(sizes)
    while context_tokens and cut + 1 < len(starts) and size > context_tokens - reply_tokens:
        size -= sum(sizes[starts[cut] : starts[cut + 1]])
        cut += 1
    first = starts[cut] if starts else 0
    return Fitted([dict(turn) for turn in (*turns[:head], *turns[first:])], cut, size)
