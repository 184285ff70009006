"""What goes without a receipt: conversations that were never to be published, and what an operator deletes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard
from sqlalchemy import func, select, update

from agora.rooms.collect.removal import delete_conversations, expire_unpublished, find_pseudonym, find_words
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store
from agora.store.events import verify
from agora.store.tables import EVENTS, SUBJECTS
from tests.loop.conftest import agora
from tests.rooms.collect.release.built import build, rows
from tests.rooms.collect.release.synthetic import DAY, MAIL, NOW


def left(store: Store) -> int:
    with store.reading() as connection:
        where = CONVERSATIONS.c.state != "deleted"
        return int(connection.scalar(select(func.count()).select_from(CONVERSATIONS).where(where)) or 0)


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("agora.db*"))


def decline(store: Store, share: int) -> int:
    """Let some people have declined; how many conversations are theirs."""
    with store.reading() as connection:
        people = list(connection.scalars(select(CONVERSATIONS.c.subject_id).distinct().order_by("subject_id")))[::share]
        of = CONVERSATIONS.c.subject_id.in_(people)
        count = int(connection.scalar(select(func.count()).select_from(CONVERSATIONS).where(of)) or 0)
    where = SUBJECTS.c.subject_id.in_(people)
    store.write(lambda c: c.execute(update(SUBJECTS).where(where).values(consent_state="declined")) and None)
    return count


def test_conversations_of_people_who_declined_go_when_their_time_is_over(store: Store) -> None:
    theirs = decline(store, 2)
    assert 0 < theirs < 120
    assert expire_unpublished(store, 24, at_us=NOW - 90 * DAY) == 0
    assert expire_unpublished(store, 24, at_us=NOW) == theirs
    assert left(store) == 120 - theirs
    assert expire_unpublished(store, 24, at_us=NOW) == 0
    with store.reading() as connection:
        done = connection.scalars(select(EVENTS.c.payload).where(EVENTS.c.kind == "delete.requested")).all()
        assert len(done) == theirs and all('"retention"' in payload for payload in done)
        assert verify(connection).events > theirs


@pytest.mark.slow
def test_a_killed_expiry_is_finished_by_the_next_one(large: Store, tmp_path: Path) -> None:
    theirs = decline(large, 1)
    assert theirs == 2000
    with large.reading() as connection:
        some = [bytes(raw) for raw in connection.scalars(select(MESSAGES.c.content_zstd).limit(300))]
    large.close()
    command = [sys.executable, "-m", "agora.cli", "collect", "expire", "--db", str(tmp_path / "agora.db")]
    killed = subprocess.Popen([*command, "--hours", "1"], stdout=subprocess.DEVNULL)
    reader = Store.open(str(tmp_path / "agora.db"), keys=tmp_path / "agora.db.keys.json")
    while left(reader) == 2000:
        assert killed.poll() is None
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert 0 < left(reader) < 2000 and left(reader) % 100 == 0  # whole batches alone
    reader.close()
    subprocess.run([*command, "--hours", "1"], check=True, capture_output=True)
    again = Store.open(str(tmp_path / "agora.db"), keys=tmp_path / "agora.db.keys.json")
    assert left(again) == 0
    again.close()
    held = bytes_of(tmp_path)
    assert not [raw for raw in some if len(raw) > 60 and raw in held]


def test_an_operator_deletes_by_id_by_words_and_by_a_released_pseudonym(store: Store, tmp_path: Path) -> None:
    build(store, tmp_path / "r")
    person = rows(tmp_path / "r")[0]["hashed_ip"]
    with store.reading() as connection:
        theirs = find_pseudonym(connection, person.upper())
        spoken = find_words(connection, MAIL.upper())
    assert theirs and spoken and len(theirs) < 120
    assert delete_conversations(store, theirs) == len(theirs)
    with store.reading() as connection:
        assert find_pseudonym(connection, person) == []
        rest = find_words(connection, MAIL)
    assert set(rest) == set(spoken) - set(theirs)
    delete_conversations(store, rest)
    with store.reading() as connection:
        assert find_words(connection, MAIL) == []
        texts = [zstandard.decompress(raw) for raw in connection.scalars(select(MESSAGES.c.content_zstd))]
    assert texts and not any(MAIL.encode() in text for text in texts)


@pytest.mark.slow
def test_the_command_shows_what_it_found_before_it_erases(store: Store, tmp_path: Path) -> None:
    store.close()
    database = str(tmp_path / "agora.db")
    shown = agora("collect", "delete", "--db", database, "--query", MAIL)
    assert shown.returncode == 0 and "add --yes" in shown.stdout and "erased: 0" in shown.stdout
    done = agora("collect", "delete", "--db", database, "--query", MAIL, "--yes", "--json")
    assert done.returncode == 0 and '"erased":' in done.stdout
    again = agora("collect", "delete", "--db", database, "--query", MAIL, "--json")
    assert '"found":0' in again.stdout
    both = agora("collect", "delete", "--db", database, "--query", MAIL, "--conversation", "X")
    assert both.returncode == 2 and "at a time" in both.stderr
