"""Which processes write replies now. Several may serve one database; what a dead one left is told from the others'.

Each process has a row with a heartbeat, and each reply carries its writer's id. A process is dead when it runs no more
on this machine, or when its heart has not beaten for a while: it is then taken off the list, and the replies it left
in the middle are marked as interrupted, with the text they have; what was charged beyond that text is given back.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import zstandard
from sqlalchemy import Connection, delete, insert, select, update

from agora.rooms.collect.guard.budget import give_back_unwritten
from agora.rooms.collect.tables import MESSAGES, PROCESSES
from agora.rooms.collect.types import Status
from agora.store import events
from agora.store.ids import new_id, now_us

HEARTBEAT_S = 5.0
DEAD_AFTER_S = 30.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OURS: set[str] = set()  # taken in this process and not given back


def take_lease(connection: Connection) -> str:
    """Put this process on the list, and clear up after the dead; its id is returned."""
    process_id = new_id()
    _OURS.add(process_id)
    beat(connection, process_id)
    return process_id


def beat(connection: Connection, process_id: str) -> None:
    """Say that this process lives, and clear up after the dead."""
    at = now_us()
    alive = update(PROCESSES).where(PROCESSES.c.process_id == process_id).values(heartbeat_us=at)
    if connection.execute(alive).rowcount == 0:  # it is new, or it slept for so long that it was given up for dead
        row = {"process_id": process_id, "host": _host(), "pid": os.getpid(), "started_us": at, "heartbeat_us": at}
        connection.execute(insert(PROCESSES).values(**row))
    interrupt_dead(connection)


def give_back(connection: Connection, process_id: str) -> None:
    """Take this process off the list: it writes no more."""
    connection.execute(delete(PROCESSES).where(PROCESSES.c.process_id == process_id))
    _OURS.discard(process_id)


def interrupt_dead(connection: Connection) -> int:
    """Take dead processes off the list and mark what nobody writes any more; how many replies is returned."""
    host, late = _host(), now_us() - int(DEAD_AFTER_S * 1_000_000)
    for row in connection.execute(select(PROCESSES)).all():
        gone = row.host == host and not _runs(row.pid)
        if row.process_id not in _OURS and (gone or row.heartbeat_us < late):
            give_back(connection, row.process_id)
    living = select(PROCESSES.c.process_id)
    left = connection.execute(
        update(MESSAGES)
        .where(MESSAGES.c.status == Status.STREAMING)
        .where(MESSAGES.c.writer.is_(None) | MESSAGES.c.writer.not_in(living))
        .values(status=Status.INTERRUPTED, completed_us=now_us())
        .returning(MESSAGES.c.message_id, MESSAGES.c.conversation_id, MESSAGES.c.content_zstd)
    ).all()
    if left:
        kind, payload = "message.assistant.final", {"status": Status.INTERRUPTED}
        happened = [events.Event(kind, None, row.conversation_id, row.message_id, payload) for row in left]
        events.append_all(connection, happened)
        texts = [(row.message_id, zstandard.decompress(row.content_zstd).decode("utf-8")) for row in left]
        give_back_unwritten(connection, texts)
    return len(left)


def _host() -> str:
    """A code of this machine as it runs now; process numbers mean something on it alone. Its name is not stored."""
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
    return hashlib.sha256(f"{socket.gethostname()}/{boot}".encode()).hexdigest()[:16]


def _runs(pid: int) -> bool:
    """Whether a process of this number runs; our own number in another's row is an earlier life of ours."""
    if pid == os.getpid():
        return False
    if os.name != "posix":  # no way to ask without harm: its heartbeat tells
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
