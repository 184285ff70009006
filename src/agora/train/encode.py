"""Records to training rows, with a count for every row that is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agora.core.errors import DataError
from agora.core.records import Message, PreferencePair
from agora.train.batch import EncodedSequence, Group
from agora.train.render import encode_chat, encode_pair


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows ready for training. ``dropped`` counts reasons; ``used[i]`` is the place of group i in what was given."""

    groups: list[Group]
    used: list[int]
    dropped: Counter[str] = field(default_factory=Counter)


def encode_conversations(
    tokenizer: Any, conversations: Sequence[tuple[str, Sequence[Message]]], *, max_tokens: int
) -> Encoded:
    """SFT rows: every assistant turn is a target.

    Args:
        conversations: (id, messages).
        max_tokens: longer ones are dropped.

    Raises:
        DataError: nothing is left; the limit that would keep 95 % is named.
    """
    found = Encoded([], [])
    lengths: list[int] = []
    for i, (id_, messages) in enumerate(conversations):
        try:
            row = encode_chat(tokenizer, messages, id=id_)
        except DataError:
            found.dropped["no_assistant_turn"] += 1
            continue
        _take(found, i, (row,) if row else None, lengths, max_tokens)
    return _checked(found, lengths, len(conversations), max_tokens)


def encode_pairs(tokenizer: Any, pairs: Sequence[PreferencePair], *, max_tokens: int) -> Encoded:
    """(chosen, rejected) rows; only the completions are targets. Pairs whose sides become the same tokens are dropped.

    Raises:
        DataError: nothing is left; the limit that would keep 95 % is named.
    """
    found = Encoded([], [])
    lengths: list[int] = []
    for i, pair in enumerate(pairs):
        if pair.tie:
            found.dropped["tie"] += 1
            continue
        sides = encode_pair(tokenizer, pair)
        if sides is not None and np.array_equal(sides[0].input_ids, sides[1].input_ids):
            found.dropped["equal_sides"] += 1
            continue
        _take(found, i, sides, lengths, max_tokens)
    return _checked(found, lengths, len(pairs), max_tokens)


def _take(found: Encoded, index: int, group: Group | None, lengths: list[int], max_tokens: int) -> None:
    if group is None or not all(row.n_targets for row in group):
        found.dropped["no_targets"] += 1
        return
    lengths.append(max(map(len, group)))
    if lengths[-1] > max_tokens:
        found.dropped["too_long"] += 1
        return
    found.groups.append(group)
    found.used.append(index)


def _checked(found: Encoded, lengths: list[int], num_given: int, max_tokens: int) -> Encoded:
    if found.groups:
        return found
    if found.dropped["too_long"]:
        enough = int(np.quantile(lengths, 0.95))
        raise DataError(
            f"all {num_given} rows are longer than max_tokens {max_tokens} (median {int(np.median(lengths))})",
            hint=f"max_tokens={enough} would keep 95 % of them",
        )
    reasons = ", ".join(f"{n} {reason}" for reason, n in found.dropped.most_common()) or "none given"
    raise DataError(f"no row to train on of {num_given}: {reasons}")


def preview(tokenizer: Any, groups: Sequence[Group], n: int = 3) -> list[str]:
    """The first rows as text, the tokens that count in the loss between ⟦ and ⟧."""
    return [_marked(tokenizer, row) for group in groups[:n] for row in group]


def _marked(tokenizer: Any, row: EncodedSequence) -> str:
    edges = np.flatnonzero(np.diff(np.r_[0, row.loss_mask, 0].astype(int)))
    parts, at = [], 0
    for start, end in zip(edges[0::2], edges[1::2], strict=True):
        parts += [tokenizer.decode(row.input_ids[at:start]), "⟦", tokenizer.decode(row.input_ids[start:end]), "⟧"]
        at = int(end)
    return "".join([*parts, tokenizer.decode(row.input_ids[at:])])
