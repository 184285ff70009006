"""Published conversations for everyone: what is out and nothing else, in the words in which it is out."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import zstandard
from sqlalchemy import insert, select, update

from agora.rooms.collect.erase import erase_conversation, scrub
from agora.rooms.collect.explore.indexer import index_all
from agora.rooms.collect.explore.published import choices, editions, find_published, read_published
from agora.rooms.collect.explore.query import parse_query
from agora.rooms.collect.moderate import reviews
from agora.rooms.collect.moderate.types import Reason
from agora.rooms.collect.release.retract import retract_release
from agora.rooms.collect.release.tables import RELEASED_TEXTS, RELEASES
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, MESSAGES
from agora.store import Store
from agora.store.ids import now_us
from agora.store.tables import SUBJECTS
from tests.rooms.collect.live import bytes_in
from tests.rooms.collect.release.synthetic import CARD, KEY, MAIL
from tests.web.hostile import PAYLOADS
from tests.web.published import address_of, released, released_site, released_store

LINK = re.compile(r'href="(/explore/published/1/[0-9a-f]{64})"')


def listed(http: httpx.Client, **params: Any) -> list[str]:
    """The links of all pages of a search."""
    found: list[str] = []
    after = None
    while True:
        page = http.get("/explore/published", params={**params, **({"after": after} if after else {})}).text
        found += LINK.findall(page)
        more = re.search(r"after=([0-9a-f]{64})", page)
        if not more:
            return found
        after = more[1]


def test_everyone_reads_what_is_out_as_it_is_out(tmp_path: Path) -> None:
    with released_site(tmp_path, conversations=34) as (visitor, store):
        ids = released(store)
        links = listed(visitor)
        assert len(ids) > 30 and links == [address_of(store, i) for i in ids], "two pages, each conversation once"
        assert "/explore/published" in visitor.get("/explore").text
        texts = "".join(visitor.get(link).text for link in links)
        assert not any(secret in texts for secret in (MAIL, CARD, KEY)) and "&lt;EMAIL_1&gt;" in texts
        with store.reading() as connection:
            people = list(connection.scalars(select(SUBJECTS.c.subject_id)))
        everything = texts + visitor.get("/explore/published").text
        assert not any(known in everything for known in (*ids, *people)), "ids tell times and persons"
        # the words of an address are in the index, and in no text that is out
        assert listed(visitor, words=MAIL) == [] and listed(visitor, words="please write") != []
        with_mail = [link for link in links if "&lt;EMAIL_1&gt;" in visitor.get(link).text]
        for link in with_mail[:3]:
            word = re.findall(r'<div class="typed" dir="auto">(\w+)', visitor.get(link).text)[0]
            assert link in listed(visitor, words=f"{word} -example"), "what is hidden leaves nothing out either"
        for query in ("-only", '"'):
            assert 'role="alert"' in visitor.get("/explore/published", params={"words": query}).text


def test_what_may_be_shown_no_more_is_gone_at_once(tmp_path: Path) -> None:
    with released_site(tmp_path) as (visitor, store):
        ids = released(store)
        with store.reading() as connection:
            owner = dict(connection.execute(select(CONVERSATIONS.c.conversation_id, CONVERSATIONS.c.subject_id)).all())
            first = {
                row.conversation_id: row.message_id
                for row in connection.execute(select(MESSAGES).where(MESSAGES.c.parent_id.is_(None)))
            }
        people = [who for who, _ in Counter(owner[i] for i in ids).most_common(2)]
        erased, held, reserved, marked, *_ = (i for i in ids if owner[i] == people[0])
        gone = {i: address_of(store, i) for i in (erased, held, reserved, marked)}
        gone |= {i: address_of(store, i) for i in ids if owner[i] == people[1]}
        assert all(visitor.get(path).status_code == 200 for path in gone.values())
        c = CONVERSATIONS.c
        store.write(lambda w: erase_conversation(w, erased))
        store.write(lambda w: reviews.put_in_queue(w, held, Reason.REPORT))
        store.write(
            lambda w: w.execute(update(CONVERSATIONS).where(c.conversation_id == reserved).values(reserved_for="x"))
        )
        withdrawn = update(SUBJECTS).where(SUBJECTS.c.subject_id == people[1]).values(consent_state="withdrawn")
        store.write(lambda w: w.execute(withdrawn))
        store.write(lambda w: reviews.redact_words(w, "x", first[marked], "some words", "words", "PERSON"))
        links = listed(visitor)
        for path in gone.values():
            assert visitor.get(path).status_code == 404 and path not in links
        assert len(links) == len(ids) - len(gone)
        store.write(lambda w: reviews.decide(w, "x", held, hold=False))
        assert visitor.get(gone[held]).status_code == 200, "approved: there again"


def test_texts_of_erased_conversations_leave_no_byte(tmp_path: Path) -> None:
    word = "quuxophone"
    with released_store(tmp_path, conversations=6, prompts=[f"my {word} is blue"]) as store:
        with store.reading() as connection:
            assert len(find_published(connection, 1, parse_query(word))[0]) == 1
            rows = connection.execute(select(RELEASED_TEXTS.c.conversation_id, RELEASED_TEXTS.c.turns_zstd)).all()
        conversation, packed = next(row for row in rows if word.encode() in zstandard.decompress(row[1]))
        assert bytes(packed) in bytes_in(tmp_path)
        store.write(lambda w: erase_conversation(w, conversation))
        scrub(store.engine)
        assert bytes(packed) not in bytes_in(tmp_path) and word.encode() not in bytes_in(tmp_path)


def test_only_releases_that_are_out_are_shown_and_a_retraction_takes_rows_along(tmp_path: Path) -> None:
    with released_store(tmp_path) as store:
        ids = released(store)
        store.write(lambda w: erase_conversation(w, ids[0]))
        retract_release(store, "first", tmp_path / "first", tmp_path / "again")
        assert len(shown(store)) == len(ids) - 1 == len(released(store))
        for state in ("building", "failed"):
            store.write(lambda w, s=state: w.execute(update(RELEASES).values(state=s)))
            with store.reading() as connection:
                assert shown(store) == [] and editions(connection) == []


def test_flagged_conversations_are_shown_only_where_the_operator_says_so(tmp_path: Path) -> None:
    with released_store(tmp_path) as store:
        one = next(i for i in released(store) if address_of(store, i).endswith(shown(store, toxic=False)[0]))
        flag(store, one)
        digest = address_of(store, one).rpartition("/")[2]
        for toxic in (False, True):
            with store.reading() as connection:
                assert (read_published(connection, 1, digest, toxic=toxic) is not None) == toxic
            assert (digest in shown(store, toxic=toxic)) == toxic


def test_choices_have_enough_people_behind_them(tmp_path: Path) -> None:
    with released_store(tmp_path) as store, store.reading() as connection:
        assert "English" in choices(connection, 1, 4)["language"]
        assert choices(connection, 1, 13) == {"language": [], "model": []}, "one more than there are"
        assert find_published(connection, 1, parse_query(""), language="English")[0]
        assert find_published(connection, 1, parse_query(""), language="Klingon")[0] == []


def test_an_operator_can_close_the_pages(tmp_path: Path) -> None:
    with released_site(tmp_path, explore={"published": False}) as (visitor, store):
        assert visitor.get("/explore/published").status_code == 404 and released(store) == []
        assert "/explore/published" not in visitor.get("/explore").text


def test_attacks_in_published_text_stay_text_and_odd_addresses_are_not_found(tmp_path: Path) -> None:
    with released_site(tmp_path, conversations=40, prompts=PAYLOADS) as (visitor, _store):
        pages = [visitor.get(link).text for link in listed(visitor)] + [visitor.get("/explore/published").text]
        for page in pages:
            body = page.split("<main", 1)[1].split("</main>")[0]
            assert not re.search(r"<script|<img|<svg|<iframe|\son\w+\s*=\s*[^&]*>", body), body
        for odd in ("0/" + "0" * 64, "1/" + "A" * 64, "99999999999999/" + "0" * 64, "x/y"):
            assert visitor.get(f"/explore/published/{odd}").status_code in (404, 422)
        for params in (
            {"after": "x"},
            {"release": "-1"},
            {"release": "'"},
            {"language": "\x00"},
            {"words": "a" * 1001},
        ):
            assert visitor.get("/explore/published", params=params).status_code == 200, params


def shown(store: Store, **more: Any) -> list[str]:
    """The hashes of all that is shown of the release."""
    with store.reading() as connection:
        page, after = find_published(connection, 1, parse_query(""), limit=1000, **{"toxic": True, **more})
    assert after is None
    return [talk.digest for talk in page]


def flag(store: Store, conversation_id: str) -> None:
    """Let a message be found toxic by a later look."""
    message = select(MESSAGES.c.message_id).where(MESSAGES.c.conversation_id == conversation_id).limit(1)
    with store.reading() as connection:
        found = connection.scalar(message)
    row = {"message_id": found, "kind": "tox", "pipeline_version": "linear:2", "created_us": now_us()}
    store.write(lambda c: c.execute(insert(ANNOTATIONS).values(**row, result_json='{"flagged":true}')))
    sum(index_all(store))
