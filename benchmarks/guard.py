"""What the guard costs a message: CPU time of each step inside the writer's transaction, with 59 replies under way.

python benchmarks/guard.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, insert

from agora.rooms.collect import conversations
from agora.rooms.collect.guard.admission import check_visitor
from agora.rooms.collect.guard.budget import Budget
from agora.rooms.collect.guard.context import fit_turns
from agora.rooms.collect.guard.settings import AbuseSettings, BudgetSettings
from agora.rooms.collect.tables import MESSAGES
from agora.rooms.collect.types import Status
from agora.store import Store
from agora.store.consent import Subject, find_subject
from agora.store.ids import new_id, now_us
from agora.store.tables import SUBJECTS

TIMES = 2000
LIVE = 59


def _people(connection: Connection) -> Subject:
    """One who sends, and many whose replies are being written."""
    row: dict[str, Any] = {"consent_state": "publish", "locale": "en", "source": "web", "key_epoch": 1}
    for i in range(LIVE + 1):
        connection.execute(
            insert(SUBJECTS).values(subject_id=f"S{i}", created_us=now_us(), ip_pseudonym=f"p{i}", **row)
        )
        conversation = conversations.create_conversation(connection, f"S{i}")
        if i:
            reply = conversations.message_row(
                message_id=new_id(),
                conversation_id=conversation,
                parent_id=None,
                role="assistant",
                text="",
                at_us=now_us(),
                status=Status.STREAMING,
            )
            connection.execute(insert(MESSAGES).values(**reply))
    found = find_subject(connection, "S0")
    assert found is not None
    return found


def main() -> None:
    """Print microseconds of CPU for each step, the median of five rounds."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"{folder}/store.db", keys=Path(folder) / "keys.json")
        sender = store.write(_people)
        budget, abuse = Budget(BudgetSettings(tokens_per_day=10**12)), AbuseSettings()
        charge = store.write(lambda c: budget.charge(c, new_id(), 1, 1))
        turns = [{"role": ("user", "assistant")[i % 2], "content": "word " * 60} for i in range(9)]
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        steps: dict[str, Callable[[Connection], object]] = {
            "blocks and streams of the address": lambda c: check_visitor(c, abuse, sender),
            "cut a history of nine turns": lambda c: fit_turns(turns, 4096, 1024),
            "charge": lambda c: budget.charge(c, new_id(), 1, 1),
            "correct the charge": lambda c: budget.settle(c, charge, usage, 1),
        }
        total = 0.0
        for name, step in steps.items():
            spent = median(store.write(lambda c, step=step: _cost_us(c, step)) for _ in range(5))
            total += spent
            print(f"{name:36} {spent:6.0f} us")
        print(f"{'all':36} {total:6.0f} us of CPU a message")
        store.close()


def _cost_us(connection: Connection, step: Callable[[Connection], object]) -> float:
    began = time.process_time()
    for _ in range(TIMES):
        step(connection)
    return (time.process_time() - began) / TIMES * 1e6


if __name__ == "__main__":
    main()
