"""The published linking of WildChat (arXiv:2405.01470, rules 5 and 6 of the method), with what it loses and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agora.rooms.collect.linking.rows import LogRow

ROLE_ORDER = "roles do not take turns from the user on"
BRANCH = "what it follows was followed already"
MODEL = "what it follows came from another model"
DEVICE = "what it follows came from another device"
MISSING = "what it follows is not in the log"
ANCESTOR = "it follows a lost row"


@dataclass(frozen=True, slots=True)
class ReferenceLinks:
    """Conversations as lists of row numbers, ordered by their last rows; ``lost`` has a reason for each other row."""

    conversations: list[list[int]]
    lost: dict[int, str]


def link_reference(rows: Sequence[LogRow]) -> ReferenceLinks:
    """Join rows as the published script does.

    A row follows the latest earlier row whose history and reply are its own history, of the same device and model,
    that no row follows yet; one of the same address is preferred. A chain with a missing link is lost.

    Args:
        rows: in the order of :attr:`LogRow.order`.
    """
    finals: dict[tuple[object, ...], list[int]] = {}
    seen: set[tuple[object, ...]] = set()
    previous: dict[int, int] = {}
    followed = [False] * len(rows)
    lost: dict[int, str] = {}
    for number, row in enumerate(rows):
        if (
            any(said.role != ("user", "assistant")[i % 2] for i, said in enumerate(row.turns))
            or len(row.turns) % 2 == 0
        ):
            lost[number] = ROLE_ORDER
            continue
        if len(row.turns) > 1:
            before = row.keys[-3]
            place = (before, row.scope, row.model)
            found = _latest(finals, (*place, row.address), followed)
            found = _latest(finals, place, followed) if found is None else found
            if found is None:
                lost[number] = _reason(seen, before, row)
            else:
                previous[number], followed[found] = found, True
        current = row.keys[-1]
        for key in ((current, row.scope, row.model), (current, row.scope, row.model, row.address)):
            finals.setdefault(key, []).append(number)
        seen |= {(current,), (current, row.scope), (current, row.scope, row.model)}
    return _chains(len(rows), previous, followed, lost)


def _latest(finals: dict[tuple[object, ...], list[int]], key: tuple[object, ...], followed: list[bool]) -> int | None:
    """The latest row of that key that no row follows; those that are followed are dropped on the way, each once."""
    stack = finals.get(key, [])
    while stack and followed[stack[-1]]:
        stack.pop()
    return stack[-1] if stack else None


def _reason(seen: set[tuple[object, ...]], before: bytes, row: LogRow) -> str:
    if (before, row.scope, row.model) in seen:
        return BRANCH
    if (before, row.scope) in seen:
        return MODEL
    return DEVICE if (before,) in seen else MISSING


def _chains(count: int, previous: dict[int, int], followed: list[bool], lost: dict[int, str]) -> ReferenceLinks:
    for number in range(count):  # what a row follows stands before it
        if number not in lost and previous.get(number) in lost:
            lost[number] = ANCESTOR
    conversations = []
    for number in range(count):
        if followed[number] or number in lost:
            continue
        chain = [number]
        while (earlier := previous.get(chain[-1])) is not None:
            chain.append(earlier)
        conversations.append(chain[::-1])
    return ReferenceLinks(conversations, lost)
