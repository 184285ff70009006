"""Keeps the index beside the store: built once, conversation by conversation, then led on by the event log.

Each step reads and prepares outside of any write, then puts its result and the place it got to into one transaction. A
step that is killed, or overtaken by another process, leaves nothing. The chat never waits for a text to be indexed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import zstandard
from sqlalchemy import BindParameter, Connection, bindparam, delete, func, select, update

from agora.rooms.collect.explore.counting import change_counts, facts_of, forget_counts
from agora.rooms.collect.explore.engines import Indexed, TextEngine, engine_of
from agora.rooms.collect.explore.facts import Told, gather, told_of
from agora.rooms.collect.explore.query import Part, part_of
from agora.rooms.collect.explore.tables import PLACE_BITS, SEARCH_CONVERSATIONS, SEARCH_MESSAGES, SEARCH_STATE
from agora.rooms.collect.explore.words import VERSION
from agora.rooms.collect.incoming import insert_rows
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import Status
from agora.store import Store, events
from agora.store.ids import now_us
from agora.store.tables import EVENTS

HEAD = 8
_AT_ONCE = 500
SETTLED_US = 10_000_000  # an annotation's time is taken before its commit: younger ones are left for the next round
_ROWS = 1 << PLACE_BITS
_TOUCHING = ("conversation.", "message.", "import.", "feedback", "enrichment.")
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_NUMBERS = select(SEARCH_CONVERSATIONS.c.conversation_id, SEARCH_CONVERSATIONS.c.number).where(
    SEARCH_CONVERSATIONS.c.conversation_id.in_(_IDS)
)
_ALIVE = select(CONVERSATIONS.c.conversation_id).where(
    CONVERSATIONS.c.conversation_id.in_(_IDS), CONVERSATIONS.c.state != "deleted"
)


@dataclass(frozen=True, slots=True)
class State:
    """How far the index is. ``built_through`` is the last conversation while it is built, None once it is."""

    version: int
    built_through: str | None
    seq: int
    annotated_us: int
    uncleaned: int


class Done(NamedTuple):
    """What a step did: messages that are new in the index, and whether there may be more to do."""

    messages: int
    more: bool


_Text = tuple[str, bytes, Part, str]  # a message as Indexed, but without its number, which is given when it is put in


class _Prepared(NamedTuple):
    facts: list[dict[str, Any]]
    texts: dict[str, list[_Text]]  # by conversation


class _Step(NamedTuple):
    before: State
    after: State
    prepared: _Prepared

    def put(self, connection: Connection) -> int | None:
        return _put(connection, *self)


def index_all(store: Store, *, rebuild: bool = False, conversations: int = 2000, settled_us: int = 0) -> Iterator[int]:
    """Bring the index up to date, yielding the number of messages after each step.

    Args:
        store: an open store.
        rebuild: make the whole index anew.
        conversations: taken in one step.
        settled_us: leave annotations younger than this for later; 0 where nothing else writes them.
    """
    if rebuild:
        store.write(start_anew)
    while True:
        yield from _build_on(store, conversations)
        done = index_some(store, conversations=conversations, settled_us=settled_us)
        if done.messages:
            yield done.messages
        if not done.more:
            return


def _build_on(store: Store, conversations: int) -> Iterator[int]:
    """The steps of a build that is under way, each prepared while the one before it is written."""
    waiting: Future[int | None] | None = None
    with store.reading() as connection:
        state = read_state(connection)
    while state.version == VERSION and state.built_through is not None:
        with store.reading() as connection:
            step = _step(connection, state, conversations, 0)
        if step is None:
            break
        if waiting is not None:
            added = waiting.result()
            if added is None:  # another process is faster: see how far it is
                return
            if added:
                yield added
        waiting, state = store.submit(step.put), step.after
    if waiting is not None and (added := waiting.result()):
        yield added


def index_some(store: Store, *, conversations: int = 100, settled_us: int = SETTLED_US) -> Done:
    """One step: the next conversations of a build, else what events and annotations since the last step touched."""
    with store.reading() as connection:
        state = read_state(connection)
        if state.version != VERSION:
            store.write(start_anew)
            return Done(0, True)
        step = _step(connection, state, conversations, now_us() - settled_us)
    return Done(0, False) if step is None else Done(store.write(step.put) or 0, True)


def _step(connection: Connection, state: State, most: int, until_us: int) -> _Step | None:
    """What is to be done next, read and prepared; None if there is nothing to do."""
    ids, after = _next(connection, state, most, until_us)
    if after == state:
        return None
    return _Step(state, after, _prepare(connection, ids, building=state.built_through is not None))


def read_state(connection: Connection) -> State:
    """How far the index is."""
    row = connection.execute(select(SEARCH_STATE)).one()
    return State(row.version, row.built_through, row.seq, row.annotated_us, row.uncleaned)


def start_anew(connection: Connection) -> None:
    """Empty the index; the next steps build it from the first conversation on."""
    events.take_turns(connection)  # the log's turn is the index's too: two locks could wait for each other
    uncleaned = read_state(connection).uncleaned
    engine_of(connection).clear(connection)
    engine_of(connection).build(connection, begins=True)
    connection.execute(delete(SEARCH_CONVERSATIONS))
    forget_counts(connection)
    last = connection.scalar(select(func.max(EVENTS.c.seq))) or 0
    annotated = connection.scalar(select(func.max(ANNOTATIONS.c.created_us))) or 0
    _write_state(connection, State(VERSION, "", last, min(annotated, now_us() - SETTLED_US), uncleaned + 1))


def _next(connection: Connection, state: State, most: int, until_us: int) -> tuple[list[str], State]:
    """Conversations to look at, and the state once they are in."""
    if state.built_through is not None:
        at = CONVERSATIONS.c.conversation_id
        query = (
            select(at)
            .join(SEARCH_CONVERSATIONS, SEARCH_CONVERSATIONS.c.conversation_id == at, isouter=True)
            .where(
                at > state.built_through, CONVERSATIONS.c.state != "deleted", SEARCH_CONVERSATIONS.c.number.is_(None)
            )
            .order_by(at)
            .limit(most)
        )
        ids = list(connection.scalars(query))
        return ids, replace(state, built_through=ids[-1] if ids else None)
    logged = connection.execute(
        select(EVENTS.c.seq, EVENTS.c.kind, EVENTS.c.conversation_id)
        .where(EVENTS.c.seq > state.seq)
        .order_by(EVENTS.c.seq)
        .limit(most)
    ).all()
    if logged:
        touched = {e.conversation_id: None for e in logged if e.conversation_id and e.kind.startswith(_TOUCHING)}
        # an imported batch is one event without the names: go through all conversations for those that are not in
        imported = any(e.kind == "import.batch" for e in logged)
        return list(touched), replace(state, seq=logged[-1].seq, built_through="" if imported else None)
    return _annotated(connection, state, most, until_us)


def _annotated(connection: Connection, state: State, most: int, until_us: int) -> tuple[list[str], State]:
    """Conversations with annotations since the last look; all of one moment are taken together."""
    at = ANNOTATIONS.c.created_us
    since = (at > state.annotated_us) & (at <= until_us)
    last = connection.scalar(select(at).where(since).order_by(at).offset(most - 1).limit(1))
    if last is None:
        last = connection.scalar(select(func.max(at)).where(since))
    if last is None:
        return [], state
    query = (
        select(MESSAGES.c.conversation_id)
        .join(ANNOTATIONS, ANNOTATIONS.c.message_id == MESSAGES.c.message_id)
        .where(at > state.annotated_us, at <= last)
        .distinct()
    )
    return sorted(connection.scalars(query)), replace(state, annotated_us=last)


def _prepare(connection: Connection, ids: Sequence[str], *, building: bool) -> _Prepared:
    facts: list[dict[str, Any]] = []
    texts: dict[str, list[_Text]] = {}
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        numbers = {} if building else _numbers(connection, some)
        new = [conversation_id for conversation_id in some if conversation_id not in numbers]
        told = told_of(connection, new, texts=True) | _with_new_texts(connection, numbers)
        facts += gather(connection, some, told)
        texts |= _new_texts(engine_of(connection), told)
    return _Prepared(facts, texts)


def _with_new_texts(connection: Connection, numbers: Mapping[str, int]) -> dict[str, list[Told]]:
    """The messages of conversations that are in the index, with the texts of those messages that are not."""
    if not numbers:
        return {}
    told, known = told_of(connection, list(numbers)), _known(connection, numbers.values())
    wanted = [m.message_id for some in told.values() for m in some if m.message_id not in known]
    if not wanted:
        return told
    query = select(MESSAGES.c.message_id, MESSAGES.c.content_zstd, MESSAGES.c.content_sha256)
    found = connection.execute(query.where(MESSAGES.c.message_id.in_(wanted))).all()
    texts = {message_id: (content, sha256) for message_id, content, sha256 in found}
    return {
        c: [Told(*m[:5], *texts[m.message_id]) if m.message_id in texts else m for m in some]
        for c, some in told.items()
    }


def _new_texts(engine: TextEngine, told: Mapping[str, Sequence[Told]]) -> dict[str, list[_Text]]:
    """Messages whose texts were read and that are finished, by conversation."""
    unpack, words = zstandard.ZstdDecompressor().decompress, engine.words
    found: dict[str, list[_Text]] = {}
    for conversation_id, some in told.items():
        found[conversation_id] = texts = []
        for message_id, role, status, _, _, content, sha256 in some:
            if content and status != Status.STREAMING:
                part = part_of(role)
                texts.append((message_id, bytes(sha256[:HEAD]), part, words(unpack(content).decode(), part)))
    return found


def _numbers(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """The numbers of the conversations that are in the index."""
    return {row.conversation_id: row.number for row in connection.execute(_NUMBERS, {"ids": ids}).all()}


def _known(connection: Connection, numbers: Iterable[int]) -> dict[str, int]:
    """The messages of conversations that are in the index, with their numbers."""
    number, known = SEARCH_MESSAGES.c.number, {}
    for conversation in numbers:
        first = conversation << PLACE_BITS
        query = select(SEARCH_MESSAGES.c.message_id, number).where(number >= first, number < first + _ROWS)
        known.update({row.message_id: row.number for row in connection.execute(query).all()})
    return known


def _put(connection: Connection, before: State, after: State, prepared: _Prepared) -> int | None:
    """Write what was prepared, unless another process was faster; leave out what was erased in the meantime.

    Returns:
        How many messages are new in the index; None where another process was faster.
    """
    events.take_turns(connection)
    if read_state(connection) != before:
        return None
    ids = [fact["conversation_id"] for fact in prepared.facts]
    alive = _alive(connection, ids)  # messages go with their conversation, never alone
    numbers = _numbers_in_parts(connection, ids)
    free = (connection.scalar(select(func.max(SEARCH_CONVERSATIONS.c.number))) or 0) + 1
    new, old, texts = [], [], []
    for fact in prepared.facts:
        conversation_id = fact["conversation_id"]
        if conversation_id not in alive:
            continue
        number = numbers.get(conversation_id)
        if number is None:
            number, free = free, free + 1
            new.append({**fact, "number": number})
            place = number << PLACE_BITS
        else:
            old.append({**fact, "number": number})
            place = _free_place(connection, number)
        for item in prepared.texts.get(conversation_id, ()):
            if place < (number + 1) << PLACE_BITS:
                texts.append(Indexed(place, *item))
                place += 1
    change_counts(connection, come=[*new, *old], gone=facts_of(connection, [row["number"] for row in old]))
    if new:
        insert_rows(connection, SEARCH_CONVERSATIONS, new)
    for row in old:
        connection.execute(
            update(SEARCH_CONVERSATIONS).where(SEARCH_CONVERSATIONS.c.number == row["number"]).values(**row)
        )
    if texts:
        engine_of(connection).add(connection, texts)
    if (before.built_through is None) != (after.built_through is None):
        engine_of(connection).build(connection, begins=before.built_through is None)
    _write_state(connection, after)
    return len(texts)


def _numbers_in_parts(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(ids), 5000):
        found |= _numbers(connection, ids[start : start + 5000])
    return found


def _free_place(connection: Connection, conversation: int) -> int:
    number, first = SEARCH_MESSAGES.c.number, conversation << PLACE_BITS
    last = connection.scalar(select(func.max(number)).where(number >= first, number < first + _ROWS))
    return first if last is None else int(last) + 1


def _alive(connection: Connection, ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), 5000):
        found.update(connection.scalars(_ALIVE, {"ids": ids[start : start + 5000]}))
    return found


def _write_state(connection: Connection, state: State) -> None:
    connection.execute(
        update(SEARCH_STATE).values(
            version=state.version,
            built_through=state.built_through,
            seq=state.seq,
            annotated_us=state.annotated_us,
            uncleaned=state.uncleaned,
        )
    )
