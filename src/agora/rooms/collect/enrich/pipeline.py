"""Find out what is not yet known about the messages of a store: each kind for itself, by any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from agora.core.errors import MissingError
from agora.core.jobs import check_place, run_tasks
from agora.rooms.collect.enrich import jobs
from agora.rooms.collect.enrich.annotations import KINDS, check_kinds
from agora.rooms.collect.enrich.kinds import FACTORIES, make_kinds
from agora.rooms.collect.enrich.tables import ENRICH_JOBS
from agora.rooms.collect.enrich.work import Done, Worker
from agora.rooms.collect.tables import MESSAGES
from agora.store import Store

Stage = Callable[[Store], Done]


def _stages() -> dict[str, Stage]:
    """The kinds that look at more than one text. They come last, in this order, because they use the others."""
    from agora.rooms.collect.enrich.categories import name_categories
    from agora.rooms.collect.enrich.geo_kind import annotate_places
    from agora.rooms.collect.enrich.repeats import find_repeats
    from agora.rooms.collect.enrich.topic_map import map_topics

    return {"geo": annotate_places, "dup": find_repeats, "topic": map_topics, "category": name_categories}


@dataclass(frozen=True, slots=True)
class KindReport:
    """What was done for one kind in this run, and what is left of it in the store."""

    kind: str
    version: str
    messages: int
    computed: int
    failures: int
    missing: int
    dead: int
    error: str | None
    unavailable: str | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Share:
    """What one worker process is told."""

    db: str
    keys: Path
    kinds: tuple[str, ...]
    batch: int
    pause_s: float

    def __str__(self) -> str:
        return f"enrichment of {self.db.rpartition('@')[2]}"


def enrich(
    store: Store,
    kinds: Sequence[str] = KINDS,
    *,
    elsewhere: tuple[str, Path] | None = None,
    on: str = "local",
    workers: int = 1,
    batch: int = 256,
    pause_s: float = 1.0,
    retry_dead: bool = False,
) -> list[KindReport]:
    """Annotate every message that lacks an annotation of the wanted version.

    Kinds are independent: one that fails or is unavailable does not hold up another. Called again, also after a kill,
    it does what is missing. Several calls at once share the work.

    Args:
        store: an open store.
        kinds: of annotation, see :data:`agora.rooms.collect.enrich.annotations.KINDS`.
        elsewhere: the store's URL and file of keys, for other processes to open; needed for more than one worker.
        on: ``local``, ``ray`` or ``ray://HOST:PORT``.
        workers: processes that annotate texts.
        batch: messages a worker takes at once.
        pause_s: before a failed batch is tried again the first time; doubles each time.
        retry_dead: try batches again that failed five times.

    Raises:
        UsageError: no such kind.
    """
    check_kinds(kinds)
    check_place(on)
    texts = tuple(kind for kind in FACTORIES if kind in kinds)
    if retry_dead:
        store.write(lambda c: jobs.revive_dead(c, kinds))
    if (workers > 1 or on != "local") and elsewhere is not None:
        share = _Share(elsewhere[0], elsewhere[1], texts, batch, pause_s)
        found = run_tasks(_work_elsewhere, [share] * workers, on=on, workers=workers, label="enrich")
    else:
        found = [annotate_texts(Worker(store, batch=batch, pause_s=pause_s), texts)]
    done: dict[tuple[str, str], Done] = {}
    for one in (one for some in found for one in some):
        done.setdefault((one.kind, one.version), Done(one.kind, one.version)).__iadd__(one)
    for name in kinds:
        if name not in FACTORIES and name not in _stages():
            done[name, ""] = Done(name, unavailable="nothing that is installed makes it")
    for name, stage in _stages().items():
        if name in kinds:
            result = stage(store)
            done[name, result.version] = result
    return [_report(store, one) for one in done.values()]


def annotate_texts(worker: Worker, kinds: Sequence[str]) -> list[Done]:
    """All text kinds by one worker, one after another; a kind that cannot run here says why."""
    found = []
    for name in kinds:
        try:
            providers = make_kinds(name)
        except MissingError as err:
            found.append(Done(name, unavailable=str(err)))
            continue
        found += [worker.run(kind) for kind in providers]
    return found


def _work_elsewhere(share: _Share) -> list[Done]:
    store = Store.open(share.db, keys=share.keys)
    try:
        return annotate_texts(Worker(store, batch=share.batch, pause_s=share.pause_s), share.kinds)
    finally:
        store.close()


def _report(store: Store, done: Done) -> KindReport:
    """What the run did, and what the store lacks after it."""
    table = ENRICH_JOBS.c
    of_kind = (table.kind == done.kind) & (table.version == done.version) & (table.state == "dead")
    with store.reading() as connection:
        missing = 0
        if done.kind in FACTORIES:
            where = jobs.missing(done.kind, done.version)
            missing = connection.scalar(select(func.count()).select_from(MESSAGES).where(where)) or 0
        dead = connection.execute(select(table.error).where(of_kind)).all()
    return KindReport(
        kind=done.kind,
        version=done.version,
        messages=done.messages,
        computed=done.computed,
        failures=done.failures,
        missing=missing,
        dead=len(dead),
        error=dead[0].error if dead else None,
        unavailable=done.unavailable,
    )
