"""What the store is told of releases: begun, which rows, published; and what of them has to go again.

Whoever erases a conversation (:mod:`agora.rooms.collect.erase`) calls :func:`note_erased` in the same transaction, so a
build that is about to publish finds the row missing, and a published release finds it among its removals.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, literal, select, update

from agora.core.errors import UsageError
from agora.core.json_text import dumps, loads
from agora.rooms.collect.incoming import insert_rows
from agora.rooms.collect.moderate.reviews import held_back
from agora.rooms.collect.release.tables import RELEASE_ROWS, RELEASED_TEXTS, RELEASES, REMOVALS
from agora.rooms.collect.tables import CONVERSATIONS
from agora.store import events
from agora.store.consent import ConsentState
from agora.store.ids import new_id, now_us
from agora.store.tables import EVENTS, SUBJECTS

BUILDING, FAILED, PUBLISHED, RETRACTED = "building", "failed", "published", "retracted"


@dataclass(frozen=True, slots=True)
class Release:
    """A release as the store knows it."""

    id: str
    number: int
    name: str
    state: str
    profile: str
    input_seq: int
    as_of_us: int
    asked_sha256: str
    created_us: int
    published_us: int | None
    conversations: int | None
    report: Mapping[str, Any]


def input_seq(connection: Connection) -> int:
    """The number of the last event that releases did not write themselves: what a release is frozen at."""
    last = select(EVENTS.c.seq).where(EVENTS.c.kind.not_like("release.%")).order_by(EVENTS.c.seq.desc()).limit(1)
    return int(connection.scalar(last) or 0)


def begin(connection: Connection, name: str, asked: Mapping[str, Any]) -> Release:
    """The release of a name; a new one gets the next number.

    Args:
        connection: holds the right to write.
        name: of the release.
        asked: its ``profile``, ``input_seq``, ``as_of_us`` and ``asked_sha256``.

    Raises:
        UsageError: it is published, and was made of other things.
    """
    known = find_release(connection, name)
    if known is None:
        number = int(connection.scalar(select(func.max(RELEASES.c.number))) or 0) + 1
        made = {"release_id": new_id(), "number": number, "name": name, "created_us": now_us()}
        connection.execute(insert(RELEASES).values(**made, state=BUILDING, **asked))
    elif known.state in (PUBLISHED, RETRACTED):
        if known.asked_sha256 != asked["asked_sha256"]:
            raise UsageError(
                f"{name!r} is published already, and of other conversations or with other settings",
                hint="give the new release another --name",
            )
    else:
        again = update(RELEASES).where(RELEASES.c.release_id == known.id).values(state=BUILDING, **asked)
        connection.execute(again)
    found = find_release(connection, name)
    assert found is not None
    return found


def find_release(connection: Connection, name: str) -> Release | None:
    """The release of a name."""
    row = connection.execute(select(RELEASES).where(RELEASES.c.name == name)).first()
    return _release(row) if row else None


def all_releases(connection: Connection) -> list[Release]:
    """All releases, newest first."""
    return [_release(row) for row in connection.execute(select(RELEASES).order_by(RELEASES.c.number.desc()))]


def _release(row: Row[Any]) -> Release:
    return Release(
        id=row.release_id,
        number=row.number,
        name=row.name,
        state=row.state,
        profile=row.profile,
        input_seq=row.input_seq,
        as_of_us=row.as_of_us,
        asked_sha256=row.asked_sha256,
        created_us=row.created_us,
        published_us=row.published_us,
        conversations=row.conversations,
        report=loads(row.report_json.encode()) if row.report_json else {},
    )


def fail(connection: Connection, release: Release, report: Mapping[str, Any]) -> None:
    """Keep the report of a build that a gate stopped; a release that is out stays out."""
    connection.execute(
        update(RELEASES)
        .where(RELEASES.c.release_id == release.id, RELEASES.c.state.not_in((PUBLISHED, RETRACTED)))
        .values(state=FAILED, report_json=dumps(dict(report)).decode())
    )


def forget_rows(connection: Connection, release: Release) -> None:
    """Begin the list of rows anew."""
    for table in (RELEASE_ROWS, RELEASED_TEXTS, REMOVALS):
        connection.execute(delete(table).where(table.c.release_id == release.id))


def add_rows(connection: Connection, release: Release, rows: Sequence[tuple[str, bytes, bytes]]) -> None:
    """Put down which conversations a release holds: id, row hash, pseudonym."""
    values = [
        {"release_id": release.id, "conversation_id": c, "row_sha256": digest, "release_pseudonym": person.hex()}
        for c, digest, person in rows
    ]
    if values:
        connection.execute(insert(RELEASE_ROWS), values)


def add_texts(connection: Connection, release: Release, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what a release says of conversations, for those who read it on the site."""
    insert_rows(connection, RELEASED_TEXTS, [{"release_id": release.id, **row} for row in rows])


def erased_or_withdrawn(connection: Connection, release: Release) -> set[str]:
    """Conversations among a release's rows that may not come out as they were written.

    They were erased, reserved or held back, their person withdrew, or an operator marked words in them since the input
    list was frozen.
    """
    mine = RELEASE_ROWS.c.release_id == release.id
    query = (
        select(RELEASE_ROWS.c.conversation_id)
        .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == RELEASE_ROWS.c.conversation_id)
        .join(SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id, isouter=True)
        .where(
            mine,
            (CONVERSATIONS.c.state == "deleted")
            | CONVERSATIONS.c.reserved_for.is_not(None)
            | CONVERSATIONS.c.conversation_id.in_(held_back(connection))
            | (SUBJECTS.c.consent_state != ConsentState.PUBLISH),
        )
    )
    marked = select(EVENTS.c.conversation_id).where(
        EVENTS.c.seq > release.input_seq, EVENTS.c.kind == "operator.redacted", EVENTS.c.conversation_id.is_not(None)
    )
    redacted = select(RELEASE_ROWS.c.conversation_id).where(mine, RELEASE_ROWS.c.conversation_id.in_(marked))
    return {*connection.scalars(query), *connection.scalars(redacted)}


def count_rows(connection: Connection, release: Release) -> int:
    """How many rows a release holds now."""
    where = RELEASE_ROWS.c.release_id == release.id
    return int(connection.scalar(select(func.count()).select_from(RELEASE_ROWS).where(where)) or 0)


def publish(connection: Connection, release: Release, rows: int, report: Mapping[str, Any], manifest: str) -> bool:
    """Mark a release as published, unless a row of it was erased or withdrawn in the meantime: then False.

    Args:
        connection: holds the right to write, so that nobody erases between the look and the mark.
        release: whose rows were put down.
        rows: how many its files hold.
        report: of the gates.
        manifest: SHA-256 of the manifest.
    """
    events.take_turns(connection)
    if count_rows(connection, release) != rows or erased_or_withdrawn(connection, release):
        return False
    connection.execute(delete(REMOVALS).where(REMOVALS.c.release_id == release.id))
    at = now_us()
    connection.execute(
        update(RELEASES)
        .where(RELEASES.c.release_id == release.id)
        .values(state=PUBLISHED, published_us=at, conversations=rows, report_json=dumps(dict(report)).decode())
    )
    payload = {"release": release.id, "name": release.name, "rows": rows, "manifest_sha256": manifest}
    for kind in ("release.built", "release.published"):
        events.append(connection, events.Event(kind, payload=payload))
    return True


def note_erased(connection: Connection, conversation_ids: Collection[str]) -> None:
    """Turn the rows of erased conversations into removals, in the transaction that erases them.

    What stays of a row is its hash; which conversation it was of is forgotten.
    """
    r = RELEASE_ROWS.c
    _remove(connection, r.conversation_id.in_(conversation_ids), "erased")
    connection.execute(delete(RELEASE_ROWS).where(r.conversation_id.in_(conversation_ids)))
    connection.execute(delete(RELEASED_TEXTS).where(RELEASED_TEXTS.c.conversation_id.in_(conversation_ids)))


def note_withdrawn(connection: Connection) -> None:
    """Add the rows of people who withdrew to the removals; their conversations are kept, so the rows stay known."""
    r = RELEASE_ROWS.c
    withdrawn = (
        select(CONVERSATIONS.c.conversation_id)
        .join(SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id)
        .where(SUBJECTS.c.consent_state == ConsentState.WITHDRAWN)
    )
    _remove(connection, r.conversation_id.in_(withdrawn), "withdrawn")


def _remove(connection: Connection, where: Any, reason: str) -> None:
    r = RELEASE_ROWS.c
    known = select(REMOVALS.c.row_sha256).where(
        REMOVALS.c.release_id == r.release_id, REMOVALS.c.row_sha256 == r.row_sha256
    )
    rows = select(r.release_id, r.row_sha256, literal(reason), bindparam("at_us", now_us())).where(where)
    names = ["release_id", "row_sha256", "reason", "created_us"]
    connection.execute(insert(REMOVALS).from_select(names, rows.where(~known.exists()).distinct()))


def removals_before(connection: Connection, release: Release) -> list[tuple[str, str]]:
    """Rows of earlier releases that were removed since: the release's name and the row's hash, in that order."""
    query = (
        select(RELEASES.c.name, REMOVALS.c.row_sha256)
        .join(RELEASES, RELEASES.c.release_id == REMOVALS.c.release_id)
        .where(RELEASES.c.number < release.number, RELEASES.c.state.in_((PUBLISHED, RETRACTED)))
        .order_by(RELEASES.c.number, REMOVALS.c.row_sha256)
    )
    return [(name, bytes(digest).hex()) for name, digest in connection.execute(query)]


def removed_rows(connection: Connection, release: Release) -> set[bytes]:
    """Hashes of a release's rows that were removed since."""
    found = connection.scalars(select(REMOVALS.c.row_sha256).where(REMOVALS.c.release_id == release.id))
    return {bytes(digest) for digest in found}


def persons_of(connection: Connection, release: Release) -> dict[bytes, str]:
    """What stands for the person of each row that is still known, by the row's hash."""
    r = RELEASE_ROWS.c
    query = select(r.row_sha256, r.release_pseudonym).where(r.release_id == release.id)
    return {bytes(row.row_sha256): row.release_pseudonym for row in connection.execute(query)}


def retracted(
    connection: Connection,
    release: Release,
    told: Mapping[str, Any],
    manifest: str,
    *,
    dropped: Sequence[bytes] = (),
    blanked: Sequence[bytes] = (),
) -> None:
    """Note that a version without the removed rows is out.

    Args:
        connection: of a transaction that writes.
        release: which.
        told: numbers of the new version.
        manifest: SHA-256 of its manifest.
        dropped: hashes of rows that it lacks.
        blanked: hashes of rows that tell less in it.
    """
    t = RELEASED_TEXTS.c
    mine = (t.release_id == release.id) & (t.row_sha256 == bindparam("digest"))
    for digests, change in ((dropped, delete(RELEASED_TEXTS)), (blanked, update(RELEASED_TEXTS).values(language=None))):
        if digests:
            connection.execute(change.where(mine), [{"digest": digest} for digest in digests])
    connection.execute(
        update(RELEASES)
        .where(RELEASES.c.release_id == release.id)
        .values(state=RETRACTED, conversations=told["conversations"])
    )
    payload = {"release": release.id, "name": release.name, **told, "manifest_sha256": manifest}
    events.append(connection, events.Event("release.retracted", payload=payload))
