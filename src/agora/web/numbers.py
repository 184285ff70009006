"""The numbers of ``/metrics``: counts and sums, no name, no id and nothing that anyone wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection

from agora.rooms.collect.chat import Chat
from agora.rooms.collect.moderate.queue import counts
from agora.store.addresses import list_blocks

Labels = tuple[tuple[str, str], ...]
Numbers = dict[str, tuple[str, str, Mapping[Labels, float]]]
_NONE: Labels = ()


def numbers(connection: Connection, chat: Chat, requests: Counter[tuple[str, int]]) -> Numbers:
    """All of them, by name: kind, what it is, values by labels. Those of the store are the same in every process."""
    budget = chat.budget.state(connection)
    waiting = counts(connection)
    return {
        "requests_total": (
            "counter",
            "Requests of this process.",
            {(("method", m), ("status", str(s))): float(n) for (m, s), n in requests.items()},
        ),
        "replies_live": ("gauge", "Replies that this process writes now.", {_NONE: float(chat.replies.count)}),
        "replies_total": (
            "counter",
            "Replies of this process by how they ended.",
            {(("status", status),): float(n) for status, n in chat.replies.ended.items()},
        ),
        "review_waiting": ("gauge", "Conversations that wait for a person.", {_NONE: float(waiting["all"])}),
        "review_held": ("gauge", "Conversations that someone decided to hold back.", {_NONE: float(waiting["held"])}),
        "budget_tokens_today": ("gauge", "Tokens charged since midnight UTC.", {_NONE: float(budget.tokens)}),
        "budget_money_today": ("gauge", "Money charged since midnight UTC.", {_NONE: budget.money}),
        "budget_share": ("gauge", "Share of the nearest bound that is used.", {_NONE: budget.share}),
        "blocks": ("gauge", "Blocked addresses.", {_NONE: float(len(list_blocks(connection)))}),
    }
