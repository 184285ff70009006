"""Pairs that occur twice, and pairs that contradict each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from agora.core.records import Message, PreferencePair
from agora.curate.pairs.split import prompt_key
from agora.curate.text import normalize


class Repeats(NamedTuple):
    """Positions of pairs.

    ``again`` holds those that repeat an earlier pair (same prompt, same sides, same label), ``opposite`` all those
    whose sides another pair of the same prompt prefers the other way round.
    """

    again: list[int]
    opposite: list[int]


def find_repeats(pairs: Sequence[PreferencePair]) -> Repeats:
    """Compare pairs by prompt and sides, in lower case and with white space collapsed. Ties contradict nothing."""
    seen: set[tuple[int, int, int]] = set()
    again: list[int] = []
    labels: defaultdict[tuple[int, frozenset[int]], Counter[int]] = defaultdict(Counter)
    keys = []
    for position, pair in enumerate(pairs):
        # hashes of 64 bits: a chance collision among a million pairs has a probability under 1e-7
        key = (hash(prompt_key(pair.prompt)), hash(_side(pair.chosen)), hash(_side(pair.rejected)))
        keys.append(key)
        if key in seen:
            again.append(position)
        seen.add(key)
        if not pair.tie:
            labels[key[0], frozenset(key[1:])][key[1]] += 1
    opposite = [
        position
        for position, (pair, key) in enumerate(zip(pairs, keys, strict=True))
        if not pair.tie and len(labels[key[0], frozenset(key[1:])]) > 1
    ]
    return Repeats(again, opposite)


def _side(messages: Sequence[Message]) -> str:
    return "\x1e".join(normalize(m.content) for m in messages)
