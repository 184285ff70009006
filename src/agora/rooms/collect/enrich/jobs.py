"""Batches of messages that want an annotation, shared by any number of workers.

A batch is a range of message ids under a lease. Whoever dies in the middle leaves a lease that runs out, and the next
worker finds what is still missing in the range: a batch is never done twice and never lost. Every function runs inside
the caller's writing transaction, so two workers never take the same batch.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, select, update

from agora.rooms.collect.enrich.tables import ENRICH_JOBS
from agora.rooms.collect.tables import ANNOTATIONS, MESSAGES
from agora.rooms.collect.types import Status
from agora.store import events
from agora.store.ids import new_id, now_us

LEASE_S = 60.0
MOST_ATTEMPTS = 5
_SECOND = 1_000_000
_ERROR_CHARS = 300


@dataclass(frozen=True, slots=True)
class Job:
    """A batch that this worker holds: the messages from ``first_id`` to ``last_id`` that lack the annotation."""

    kind: str
    version: str
    first_id: str
    last_id: str
    attempts: int


def is_(job: Job) -> ColumnElement[bool]:
    """The row of a job."""
    table = ENRICH_JOBS.c
    return (table.kind == job.kind) & (table.version == job.version) & (table.first_id == job.first_id)


def missing(kind: str, version: str, *, first_id: str = "", last_id: str = "~") -> ColumnElement[bool]:
    """Finished messages of a range that lack an annotation of this version."""
    has = exists().where(
        ANNOTATIONS.c.message_id == MESSAGES.c.message_id,
        ANNOTATIONS.c.kind == kind,
        ANNOTATIONS.c.pipeline_version == version,
    )
    within = MESSAGES.c.message_id.between(first_id, last_id)
    return and_(within, MESSAGES.c.status != Status.STREAMING, ~has)


def take(
    connection: Connection, kind: str, version: str, owner: str, *, after: str = "", size: int = 256
) -> Job | None:
    """The next batch for this worker, under its lease; None when nothing can be done at this moment.

    Args:
        connection: in a writing transaction.
        kind: of annotation.
        version: that is wanted.
        owner: who takes it.
        after: new batches begin behind this message; older ones are known to be planned or done.
        size: messages in a new batch, at most.
    """
    events.take_turns(connection)
    return _take_waiting(connection, kind, version, owner) or _take_new(connection, kind, version, owner, after, size)


def _take_waiting(connection: Connection, kind: str, version: str, owner: str) -> Job | None:
    """A batch that failed before or whose worker died; one that killed five workers is dead."""
    table, now = ENRICH_JOBS.c, now_us()
    _release_leases_of_dead_processes(connection, kind, version)
    ready = (table.kind == kind) & (table.version == version) & (table.state == "waiting") & (table.not_before_us < now)
    used_up = ready & (table.attempts >= MOST_ATTEMPTS)
    died = "the workers that held it ended without a word"
    connection.execute(
        update(ENRICH_JOBS).where(used_up).values(state="dead", owner=None, error=func.coalesce(table.error, died))
    )
    row = connection.execute(select(ENRICH_JOBS).where(ready).order_by(table.first_id).limit(1)).first()
    if row is None:
        return None
    job = Job(kind, version, row.first_id, row.last_id, row.attempts + 1)
    lease = {"owner": owner, "attempts": job.attempts, "not_before_us": _in(LEASE_S)}
    connection.execute(update(ENRICH_JOBS).where(is_(job)).values(**lease))
    return job


def owner_name() -> str:
    """A name for a worker that tells others on this machine which process it lives in."""
    return f"{_host()}:{os.getpid()}:{new_id()[-8:]}"


def _host() -> str:
    return socket.gethostname()[:40]


def _release_leases_of_dead_processes(connection: Connection, kind: str, version: str) -> None:
    """Nobody need wait for the lease of a worker of this machine whose process has ended."""
    table = ENRICH_JOBS.c
    of_kind = (table.kind == kind) & (table.version == version)
    for owner in connection.scalars(select(table.owner).where(of_kind, table.owner.is_not(None)).distinct()).all():
        host, pid, _ = owner.rsplit(":", 2)
        if host == _host() and not _alive(int(pid)):
            held = of_kind & (table.owner == owner)
            connection.execute(update(ENRICH_JOBS).where(held).values(owner=None, not_before_us=0))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives and is somebody else's
        return True
    return True


def _take_new(connection: Connection, kind: str, version: str, owner: str, after: str, size: int) -> Job | None:
    table = ENRICH_JOBS.c
    planned = exists().where(
        table.kind == kind,
        table.version == version,
        table.first_id <= MESSAGES.c.message_id,
        table.last_id >= MESSAGES.c.message_id,
    )
    query = (
        select(MESSAGES.c.message_id)
        .where(missing(kind, version, first_id=after), ~planned)
        .order_by(MESSAGES.c.message_id)
        .limit(size)
    )
    ids = connection.scalars(query).all()
    if not ids:
        return None
    # a batch that is planned already may lie between two of the ids: end before it
    ends = connection.scalar(
        select(func.min(table.first_id)).where(
            table.kind == kind, table.version == version, table.first_id.between(ids[0], ids[-1])
        )
    )
    last = ids[-1] if ends is None else [i for i in ids if i < ends][-1]
    _insert(connection, Job(kind, version, ids[0], last, 1), owner, _in(LEASE_S), None)
    return Job(kind, version, ids[0], last, 1)


def extend(connection: Connection, job: Job, owner: str) -> None:
    """Keep a lease for another minute."""
    held = is_(job) & (ENRICH_JOBS.c.owner == owner)
    connection.execute(update(ENRICH_JOBS).where(held).values(not_before_us=_in(LEASE_S)))


def finish(connection: Connection, job: Job, poison: Sequence[tuple[str, str]] = (), *, pause_s: float = 1.0) -> None:
    """A batch is done; each message of ``poison`` (id and error) becomes a batch of its own that is tried again."""
    connection.execute(delete(ENRICH_JOBS).where(is_(job)))
    for message_id, error in poison:
        alone = Job(job.kind, job.version, message_id, message_id, job.attempts)
        _put_back(connection, alone, error, pause_s)


def give_up(connection: Connection, job: Job, error: str, *, pause_s: float = 1.0) -> None:
    """The whole batch failed: it is tried again after a while that doubles, and is dead after five times."""
    connection.execute(delete(ENRICH_JOBS).where(is_(job)))
    _put_back(connection, job, error, pause_s)


def _put_back(connection: Connection, job: Job, error: str, pause_s: float) -> None:
    pause = pause_s * 2 ** (job.attempts - 1)
    _insert(connection, job, None, _in(pause), error, dead=job.attempts >= MOST_ATTEMPTS)


def mark_unavailable(connection: Connection, kind: str, version: str, error: str | None) -> None:
    """Keep that a kind cannot run on the machine that tried last; None takes the mark away."""
    whole = Job(kind, version, "", "", 0)
    connection.execute(delete(ENRICH_JOBS).where(is_(whole)))
    if error is not None:
        _insert(connection, whole, None, 0, error, state="unavailable")


def revive_dead(connection: Connection, kinds: Sequence[str]) -> int:
    """Let dead batches be tried again; how many."""
    dead = (ENRICH_JOBS.c.state == "dead") & ENRICH_JOBS.c.kind.in_(kinds)
    done = connection.execute(update(ENRICH_JOBS).where(dead).values(state="waiting", attempts=0, not_before_us=0))
    return int(done.rowcount)


def next_try_us(connection: Connection, kind: str, version: str) -> int | None:
    """When the next waiting batch may be taken; None if none waits."""
    table = ENRICH_JOBS.c
    waiting = (table.kind == kind) & (table.version == version) & (table.state == "waiting")
    found: int | None = connection.scalar(select(func.min(table.not_before_us)).where(waiting))
    return found


def _insert(
    connection: Connection,
    job: Job,
    owner: str | None,
    not_before_us: int,
    error: str | None,
    *,
    dead: bool = False,
    state: str | None = None,
) -> None:
    connection.execute(
        insert(ENRICH_JOBS).values(
            kind=job.kind,
            version=job.version,
            first_id=job.first_id,
            last_id=job.last_id,
            state=state or ("dead" if dead else "waiting"),
            attempts=job.attempts,
            owner=owner,
            not_before_us=not_before_us,
            error=error[:_ERROR_CHARS] if error else None,
        )
    )


def _in(seconds: float) -> int:
    return now_us() + int(seconds * _SECOND)
