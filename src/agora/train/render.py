"""Conversations to token ids, with the boundary between prompt and answer always on a token boundary.

One renderer serves training, rollouts and evaluation. Prompt and answer are tokenized apart, so no token spans the
boundary and ``ids(prompt)`` is a prefix of ``ids(prompt + answer)`` by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agora.core.errors import DataError, UsageError
from agora.core.records import Message, PreferencePair
from agora.train.batch import EncodedSequence

Turn = Message | Mapping[str, str]


def chat_dicts(messages: Sequence[Turn]) -> list[dict[str, str]]:
    """Messages as the role/content dictionaries that chat templates take."""
    return [m.as_chat() if isinstance(m, Message) else {"role": m["role"], "content": m["content"]} for m in messages]


def render(tokenizer: Any, messages: Sequence[Turn], *, generation_prompt: bool = False) -> str:
    """The tokenizer's own chat template as text.

    Raises:
        UsageError: the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise UsageError(
            "the tokenizer has no chat template",
            where=str(getattr(tokenizer, "name_or_path", "tokenizer")),
            hint="use a chat model's tokenizer or set tokenizer.chat_template",
        )
    text = tokenizer.apply_chat_template(chat_dicts(messages), tokenize=False, add_generation_prompt=generation_prompt)
    return str(text)


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of text exactly as written: no BOS or EOS is added."""
    return list(tokenizer.encode(text, add_special_tokens=False))


def encode_prompt(tokenizer: Any, messages: Sequence[Turn]) -> list[int]:
    """Ids of a conversation with the assistant's turn opened."""
    return encode_text(tokenizer, render(tokenizer, messages, generation_prompt=True))


def encode_chat(
    tokenizer: Any,
    messages: Sequence[Turn],
    *,
    id: str = "",
    targets: str = "assistant",
    max_tokens: int | None = None,
) -> EncodedSequence | None:
    """Encode a conversation for training.

    Args:
        tokenizer: with a chat template.
        messages: the conversation; with ``targets`` "assistant" every assistant content and its end token count, with
            "last" only the last one, with "all" every token (what a chat model needs to be able to write user turns).
        id: kept on the row.
        max_tokens: longer rows give None (dropping with a count is the caller's, truncation changes what is learned).

    Raises:
        DataError: no assistant turn, or a template that rewrites earlier turns so that the answer cannot be located.
    """
    ids: list[int] = []
    mask: list[int] = []
    for text, is_target in _segments(tokenizer, chat_dicts(messages)):
        piece = encode_text(tokenizer, text)
        ids += piece
        mask += [int(is_target)] * len(piece)
    if targets == "all":
        mask = [1] * len(ids)
    elif targets == "last":
        last_zero = max((i for i, m in enumerate(mask[:-1]) if m == 0 and mask[i + 1] == 1), default=-1)
        mask = [m if i > last_zero else 0 for i, m in enumerate(mask)]
    if max_tokens is not None and len(ids) > max_tokens:
        return None
    return EncodedSequence(id, np.asarray(ids, dtype=np.int32), np.asarray(mask, dtype=np.uint8))


def encode_pair(
    tokenizer: Any, pair: PreferencePair, *, max_tokens: int | None = None
) -> tuple[EncodedSequence, EncodedSequence] | None:
    """Encode (chosen, rejected); only the completion counts. None when either side is longer than ``max_tokens``."""
    sides = [
        encode_chat(tokenizer, (*pair.prompt, *completion), id=pair.id, targets="last", max_tokens=max_tokens)
        for completion in (pair.chosen, pair.rejected)
    ]
    if sides[0] is None or sides[1] is None:
        return None
    return sides[0], sides[1]


def _segments(tokenizer: Any, messages: list[dict[str, str]]) -> list[tuple[str, bool]]:
    """Cut the rendered conversation into (text, is a target) pieces."""
    full = render(tokenizer, messages)
    eos = tokenizer.eos_token or ""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        head = render(tokenizer, messages[:i], generation_prompt=True)
        if not full.startswith(head) or not full[len(head) :].lstrip().startswith(message["content"].strip()):
            raise DataError(
                f"the chat template rewrites the conversation before assistant turn {i}",
                hint="train on the last turn of such templates, one row per turn",
            )
        start = len(head)
        end = full.index(message["content"].strip(), start) + len(message["content"].strip())
        marked = bool(eos) and full[end:].lstrip().startswith(eos)
        if marked:
            end = full.index(eos, end) + len(eos)
        pieces += [(full[at:start], False), (full[start:end], True)]
        if not marked and i == len(messages) - 1 and eos:
            pieces.append((eos, True))  # exactly one end token closes the final answer
            return [piece for piece in pieces if piece[0]]
        at = end
    if not pieces:
        raise DataError("the conversation has no assistant turn", hint="nothing would be learned from it")
    # What a template prints after the last end token (often a newline) is never sampled, so it is not trained on.
    return [piece for piece in pieces if piece[0]]
