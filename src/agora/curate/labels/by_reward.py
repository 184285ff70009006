"""What an answer is worth: the raw number of a reward model or of a judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from agora.core.records import JsonMap, Message, stable_id
from agora.curate.rows import with_tag
from agora.engines.cache import AnswerStore

Turns: TypeAlias = tuple[Message, ...]
Scorer: TypeAlias = Callable[[Sequence[Turns]], "list[float | None]"]
_BATCH = 64


class RewardLabeler:
    """Scores whole conversations up to their last answer, batch by batch; what was scored before comes from the cache.

    Args:
        scorer: one number per conversation, higher for better, None where it has none.
        name: the scorer's URI, kept with each score.
        revision: changes when the scorer's numbers do; part of the cache's key.
        cache: a SQLite file.
    """

    def __init__(self, scorer: Scorer, name: str, cache: Path, revision: str = "") -> None:
        self._scorer, self.name, self._revision = scorer, name, revision
        self._store = AnswerStore(cache)

    def label(self, rows: Iterable[JsonMap]) -> Iterator[JsonMap]:
        """The rows in order, each with a reward: a sample in its scores, a conversation as a tag.

        No answer, no number or a number that is not finite: the reward is None and its status ``failed``.
        """
        iterator = iter(rows)
        while batch := list(islice(iterator, _BATCH)):
            for row, value in zip(batch, self._values(batch), strict=True):
                yield _with_reward(row, value, self.name)

    def _values(self, rows: list[JsonMap]) -> list[float | None]:
        turns = [_turns(row) for row in rows]
        keys = [stable_id("reward", self.name, self._revision, [m.as_chat() for m in t], size=20) for t in turns]
        found = {key: hit["value"] for key in set(keys) if (hit := self._store.get(key)) is not None}
        todo = {key: t for key, t in zip(keys, turns, strict=True) if t and key not in found}
        for key, value in zip(todo, self._scorer(list(todo.values())) if todo else [], strict=True):
            found[key] = value if value is not None and math.isfinite(value) else None
            self._store.put(key, {"value": found[key]})
        return [found.get(key) if t else None for key, t in zip(keys, turns, strict=True)]

    def close(self) -> None:
        """Close the cache."""
        self._store.close()


def _turns(row: JsonMap) -> Turns:
    """The conversation up to its last answer; empty where nobody answered."""
    messages = row["messages"]
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=-1)
    return tuple(Message(m["role"], m["content"]) for m in messages[: last + 1])


def _with_reward(row: JsonMap, value: float | None, name: str) -> JsonMap:
    score: JsonMap = {"value": value, "model": name}
    if "scores" in row:
        return {**row, "scores": {**(row["scores"] or {}), "reward": score}}
    return with_tag(row, "reward", score | {"status": "failed" if value is None else "ok"})


def reward_of(row: JsonMap) -> Any:
    """The score that a row has, as it is kept; None where it has none."""
    return (row.get("scores") or {}).get("reward") or (row.get("tags") or {}).get("reward")
