"""One worker: takes a batch, annotates the texts in it that nobody has annotated yet, stores the results, goes on.

Results and the end of a batch are one commit, so a worker that is killed repeats at most the batch it held. A text that
makes a kind fail is found by halving its batch and tried again alone; the others of the batch are done.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from sqlalchemy import Connection, select

from agora.core.errors import AgoraError, DataError, MissingError
from agora.core.json_text import loads
from agora.rooms.collect.enrich import jobs
from agora.rooms.collect.enrich.annotations import Annotation, add
from agora.rooms.collect.enrich.jobs import LEASE_S, Job
from agora.rooms.collect.enrich.kinds import Kind
from agora.rooms.collect.tables import ANNOTATIONS, MESSAGES
from agora.store import Store, events

BATCH = 256


@dataclass
class Done:
    """What a worker did for one kind. ``computed`` texts were looked at; the rest had the result of an equal text."""

    kind: str
    version: str = ""
    messages: int = 0
    computed: int = 0
    failures: int = 0
    unavailable: str | None = None

    def __iadd__(self, other: Done) -> Done:
        """Both together."""
        self.messages += other.messages
        self.computed += other.computed
        self.failures += other.failures
        self.version = self.version or other.version
        self.unavailable = self.unavailable or other.unavailable
        return self


class _Outcome(NamedTuple):
    """Results by the hash of a text, and what went wrong with the texts that have none."""

    results: Mapping[bytes, Mapping[str, Any]]
    errors: Mapping[bytes, str]
    whole: str | None  # the error where no text at all could be annotated


@dataclass
class Worker:
    """Works through one kind at a time.

    Args:
        store: where messages and annotations are.
        batch: messages taken at once.
        pause_s: before a failed batch is tried again the first time; doubles each time.
        stopped: asked between batches.
    """

    store: Store
    batch: int = BATCH
    pause_s: float = 1.0
    stopped: Callable[[], bool] = lambda: False
    name: str = field(default_factory=jobs.owner_name)

    def run(self, kind: Kind, *, after: str = "", most: int | None = None, wait: bool = True) -> Done:
        """Annotate what lacks this kind's annotation.

        Args:
            kind: of annotation.
            after: only messages behind this id are looked for.
            most: batches to do; None for all.
            wait: for batches that are to be tried again and for those of other workers.
        """
        done = Done(kind.name, kind.version)
        taken = 0
        while not self.stopped() and (most is None or taken < most):
            job = self.store.write(
                lambda c: jobs.take(c, kind.name, kind.version, self.name, after=after, size=self.batch)
            )
            if job is None:
                if wait and self._wait(kind):
                    continue
                break
            taken += 1
            with self._lease(job):
                self._do(kind, job, done)
            if done.unavailable:
                break
        return done

    def _wait(self, kind: Kind) -> bool:
        """Sleep until another batch may be ready; False when none waits."""
        with self.store.reading() as connection:
            due = jobs.next_try_us(connection, kind.name, kind.version)
        if due is not None:
            threading.Event().wait(0.05)
        return due is not None

    @contextmanager
    def _lease(self, job: Job) -> Iterator[None]:
        """A heart that beats while a batch is worked on."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(LEASE_S / 3):
                self.store.write(lambda c: jobs.extend(c, job, self.name))

        heart = threading.Thread(target=beat, name="agora-enrich-lease", daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()

    def _do(self, kind: Kind, job: Job, done: Done) -> None:
        with self.store.reading() as connection:
            messages, known = _read(connection, job)
        texts = {m.sha256: m.text for m in messages if m.sha256 not in known}
        try:
            outcome = _annotate(kind, texts)
        except MissingError as err:
            why = done.unavailable = str(err)
            self.store.write(lambda c: _unavailable(c, job, why))
            return
        if outcome.whole is not None:
            done.failures += len(texts)
            whole = outcome.whole
            self.store.write(lambda c: jobs.give_up(c, job, whole, pause_s=self.pause_s))
            return
        results = {**known, **outcome.results}
        found = [Annotation(m.id, job.kind, job.version, results[m.sha256]) for m in messages if m.sha256 in results]
        poison = [(m.id, outcome.errors[m.sha256]) for m in messages if m.sha256 in outcome.errors]
        added = self.store.write(lambda c: _keep(c, job, found, len(texts), poison, self.pause_s))
        done.messages += added
        done.computed += len(outcome.results)
        done.failures += len(poison)


class _Text(NamedTuple):
    id: str
    sha256: bytes
    text: str


def _read(connection: Connection, job: Job) -> tuple[list[_Text], dict[bytes, Mapping[str, Any]]]:
    """The messages of a batch that still lack the annotation, and the results that equal texts have already."""
    where = jobs.missing(job.kind, job.version, first_id=job.first_id, last_id=job.last_id)
    columns = (MESSAGES.c.message_id, MESSAGES.c.content_sha256, MESSAGES.c.content_zstd)
    rows = connection.execute(select(*columns).where(where).order_by(MESSAGES.c.message_id)).all()
    texts = [
        _Text(row.message_id, bytes(row.content_sha256), zstandard.decompress(row.content_zstd).decode("utf-8"))
        for row in rows
    ]
    equal = (
        select(MESSAGES.c.content_sha256, ANNOTATIONS.c.result_json)
        .join(ANNOTATIONS, ANNOTATIONS.c.message_id == MESSAGES.c.message_id)
        .where(
            MESSAGES.c.content_sha256.in_({t.sha256 for t in texts}),
            ANNOTATIONS.c.kind == job.kind,
            ANNOTATIONS.c.pipeline_version == job.version,
        )
    )
    known = connection.execute(equal).all() if texts else []
    return texts, {bytes(row.content_sha256): loads(row.result_json.encode()) for row in known}


def _annotate(kind: Kind, texts: Mapping[bytes, str]) -> _Outcome:
    """Annotate texts; where that fails, find out which of them is the reason.

    Raises:
        MissingError: the kind cannot run here.
    """
    results: dict[bytes, Mapping[str, Any]] = {}
    errors: dict[bytes, str] = {}

    def attempt(some: Sequence[bytes]) -> str | None:
        try:
            found = kind.annotate([texts[key] for key in some])
            if len(found) != len(some):
                raise DataError(f"{kind.name} gave {len(found)} results for {len(some)} texts")
        except MissingError:
            raise
        except Exception as err:  # whatever a kind does, the other kinds and the other texts go on
            return _told(err)
        results.update(zip(some, found, strict=True))
        return None

    keys = list(texts)
    if not keys or (error := attempt(keys)) is None:
        return _Outcome(results, errors, None)
    if len(keys) == 1:
        return _Outcome(results, {keys[0]: error}, None)
    if attempt(keys[:1]) and attempt(keys[-1:]):  # it is not a text's fault, but a server's or the kind's
        return _Outcome({}, {}, error)
    rest = [[key for key in keys if key not in results]]
    while rest:
        some = rest.pop()
        failed = attempt(some)
        if failed and len(some) == 1:
            errors[some[0]] = failed
        elif failed:
            rest += [some[: len(some) // 2], some[len(some) // 2 :]]
    return _Outcome(results, errors, None)


def _told(error: Exception) -> str:
    """What is kept of an error: our own say what happened; others could quote the text, so their place is told."""
    if isinstance(error, AgoraError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _keep(
    connection: Connection,
    job: Job,
    found: Sequence[Annotation],
    computed: int,
    poison: Sequence[tuple[str, str]],
    pause_s: float,
) -> int:
    added = add(connection, found)
    jobs.finish(connection, job, poison, pause_s=pause_s)
    jobs.mark_unavailable(connection, job.kind, job.version, None)  # it can run after all
    payload = {"kind": job.kind, "version": job.version, "messages": added, "texts": computed, "failed": len(poison)}
    events.append(connection, events.Event("enrichment.done", payload=payload))
    return added


def _unavailable(connection: Connection, job: Job, error: str) -> None:
    jobs.finish(connection, job)
    jobs.mark_unavailable(connection, job.kind, job.version, error)
