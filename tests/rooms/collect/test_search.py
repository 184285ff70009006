"""Search over the store: every script, both databases, an index that follows, and words that leave without a trace."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, update

from agora.core.errors import UsageError
from agora.core.records import Conversation, Message, Provenance
from agora.rooms.collect import conversations
from agora.rooms.collect.erase import erase_conversations, scrub
from agora.rooms.collect.explore.find import count, find, find_all
from agora.rooms.collect.explore.forget import clean_index
from agora.rooms.collect.explore.indexer import index_all, index_some, read_state, start_anew
from agora.rooms.collect.explore.query import parse_query
from agora.rooms.collect.explore.selection import Selection
from agora.rooms.collect.explore.snippets import as_html, hits, snippet
from agora.rooms.collect.explore.tables import SEARCH_COUNTS, SEARCH_MESSAGES, SEARCH_STATE
from agora.rooms.collect.explore.words import tokens
from agora.rooms.collect.records import store_conversations
from agora.rooms.collect.tables import ANNOTATIONS, MESSAGES
from agora.rooms.collect.types import Ending, Status
from agora.store import Store
from agora.store.consent import ConsentText, Visitor, accept_terms, decide_publication
from agora.store.database import writing
from agora.store.ids import now_us
from tests.examples import examples
from tests.rooms.collect.begun import begin
from tests.store.conftest import store, store_url
from tests.stores import store_in

__all__ = ["store", "store_url"]

TEXT = ConsentText("1", "en", "terms", "publication")


def put(store: Store, *chats: tuple[str, ...], source: str = "test", model: str | None = None) -> None:
    """Conversations of alternating prompts and replies."""
    provenance = Provenance(source=source, source_id="x", licence="CC0-1.0", consent="unknown", created=None)
    store_conversations(
        store,
        [
            Conversation(
                uuid.uuid4().hex,
                tuple(
                    Message(
                        "assistant" if i % 2 else "user",
                        text,
                        id=str(i),
                        parent=str(i - 1) if i else None,
                        meta={"model": model} if model and i % 2 else {},
                    )
                    for i, text in enumerate(chat)
                ),
                provenance,
            )
            for chat in chats
        ],
    )


def index(store: Store, **more: Any) -> int:
    return sum(index_all(store, **more))


def found(store: Store, words: str = "", **filters: Any) -> list[str]:
    """The snippets of what is found."""
    with store.reading() as connection:
        page, _ = find(connection, Selection(words=words, **filters), limit=1000)
    return ["".join(piece.text for piece in hit.pieces) for hit in page]


def subject_of(store: Store) -> str:
    subject = store.write(lambda c: accept_terms(c, store.keys, TEXT, Visitor()).id)
    store.write(lambda c: decide_publication(c, store.keys, subject, TEXT, publish=True))
    return subject


def say(store: Store, subject: str, conversation: str, text: str) -> str:
    return begin(store, subject, conversation, text).parent_id


def annotate(store: Store, message_id: str, kind: str, result: dict[str, Any], version: str = "1") -> None:
    row = {"message_id": message_id, "kind": kind, "pipeline_version": version, "created_us": now_us()}
    store.write(lambda c: c.execute(insert(ANNOTATIONS).values(**row, result_json=json.dumps(result))))


SCRIPTS = [
    ("我喜欢学习中文", "学习", "习学"),
    ("東京タワーへ行きたい", "タワー", "タワワ"),
    ("안녕하세요 세계", "하세", "하계"),
    ("ฉันอยากดื่มน้ำเย็น", "น้ำ", "นำ้"),
    ("ຂ້ອຍຮັກລາວ", "ຮັກ", "ກຮັ"),
    ("ខ្ញុំស្រឡាញ់កម្ពុជា", "កម្ពុ", "ពុកម្"),
    ("ကျွန်တော်စာဖတ်တယ်", "စာဖတ်", "ဖတ်စာ"),
    ("Crème brûlée à Málaga", "creme BRULEE", "brulee-creme"),
    ("मुझे हिन्दी पसंद है", "हिन्दी", "ह"),
    ("Привет, мир", "привет", "приветы"),
    ("한국 사람은, 한국인", '"한국 사람은"', "국사"),
    ("今日は雨。学校へ行く", "学校", "雨学"),
    ("don't use foo_bar(x) here", "foo_bar", "bar_foo"),
]


def test_words_are_found_in_every_script_and_in_their_order(store: Store) -> None:
    put(store, *((text,) for text, _, _ in SCRIPTS))
    assert index(store) == len(SCRIPTS)
    for text, there, not_there in SCRIPTS:
        assert text in found(store, there), there
        assert text not in found(store, not_there), not_there


def test_phrases_and_words_to_leave_out(store: Store) -> None:
    put(store, ("the red house stands", "a house, red"), ("the red car",), ("red wine in the house",))
    index(store)
    assert len(found(store, "red house")) == 2
    assert found(store, '"red house"') == ["the red house stands"]
    assert found(store, "red -house") == ["the red car"]
    assert found(store, 'red -"red car" -wine') == ["the red house stands"]
    assert found(store, "house red", part="reply") == ["a house, red"]
    assert found(store, "car", part="reply") == []


HOSTILE = [
    '"', '""', "'", "' OR 1=1 --", 'a" OR "b', "a AND", "NOT", "(", ")", "a:b", "prompt : a", "^a", "a*", "NEAR(a b)",
    "{a}", "a -", "--", "- a", "-", "\x00", "a\x00b", "%s %d {0}", ":matched", "\\", "a'b''c", "&|!", "a <-> b", "''",
    "*" * 999, "ﷺ", "\ud800",
]  # fmt: skip


def test_no_query_is_an_error_of_the_database(store: Store) -> None:
    put(store, ("a b and or not near matched",))
    index(store)
    for words in HOSTILE:
        try:
            found(store, words)
        except UsageError as err:
            assert "word" in str(err) or "characters" in str(err), words


@given(words=st.text(max_size=60), text=st.text(max_size=200))
@hypothesis_settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_asked_both_halves_agree_on_what_a_word_is(words: str, text: str) -> None:
    try:
        query = parse_query(words)
    except UsageError:
        return
    for phrase in query.wanted + query.unwanted:
        assert all(tokens(word) == [word] for word in phrase)
        assert "'" not in "".join(phrase) and '"' not in "".join(phrase) and "\\" not in "".join(phrase)
    said = as_html(snippet(text, query))
    assert str(said).count("<") == str(said).count("<mark>") + str(said).count("</mark>")
    for first, last in hits(text, query):
        assert set(query.wanted) & {tuple(tokens(text[first:last])[: len(p)]) for p in query.wanted}


def test_queries_that_can_find_nothing_say_so() -> None:
    for words, told in (("-a", "to find"), ("?!", "no word"), ("a" * 1001, "characters"), ("a b " * 40, "")):
        if not told:
            assert len(parse_query(words).wanted) == 2
            continue
        with pytest.raises(UsageError, match=told):
            parse_query(words)


@pytest.mark.slow
def test_the_published_counts_of_two_character_words_are_those_of_a_plain_scan(
    tmp_path: Path, shared_dir: Path
) -> None:
    path = shared_dir / "data/wildchat/langid/langid_testdata.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if '"sentences"' in line]
    texts = [r["text"] for r in rows if r["kind"] == "sentences" and r["lang"] in ("zh", "ja", "ko", "th", "en")]
    opened = store_in(tmp_path)
    put(opened, *((text,) for text in texts))
    assert index(opened) == len(texts)
    for word, expected in (("学习", 6), ("研究", 8), ("学生", 4)):
        assert sum(word in r["text"] for r in rows if r["kind"] == "sentences") == expected
        assert len(found(opened, word)) == sum(word in text for text in texts)
    for word in ("東京", "ます", "한국", "ที่"):
        assert len(found(opened, word)) == sum(word in text for text in texts) > 0
    opened.close()


def test_the_index_follows_what_is_said_rated_and_annotated(store: Store) -> None:
    subject = subject_of(store)
    conversation = store.write(lambda c: conversations.create_conversation(c, subject))
    index(store)
    begun = begin(store, subject, conversation, "where do swallows sleep")
    first, reply = begun.parent_id, begun.message_id
    index(store)
    assert found(store, "swallows") and found(store, "reeds") == []
    store.write(lambda c: conversations.flush_reply(c, reply, "in the reeds"))
    index(store)
    assert found(store, "reeds") == [], "a reply is not indexed before it is whole"
    done = Ending(Status.COMPLETE)
    store.write(lambda c: conversations.finish_reply(c, reply, "in the reeds, I think", done))
    index(store)
    assert found(store, "reeds think") == ["in the reeds, I think"]
    assert found(store, model="m1", rating="up") == []
    store.write(lambda c: conversations.rate(c, subject, reply, 1, None))
    annotate(store, first, "lang", {"code": "en"})
    annotate(store, first, "geo", {"country_iso": "GB"})
    annotate(store, first, "pii", {"spans": [{"type": "URL", "start": 0, "end": 2}]})
    annotate(store, reply, "tox", {"flagged": True}, "linear:1")
    annotate(store, first, "topic", {"topic": 3, "x": 0.5, "y": -1.0, "terms": ["birds"]})
    index(store)
    every = {"language": "en", "country": "GB", "redacted": True, "toxic": True, "topic": 3, "rating": "up"}
    assert len(found(store, "swallows", **every, model="m1", min_turns=1, person=subject)) == 1
    annotate(store, reply, "tox", {"flagged": False}, "linear:2")
    index(store)
    assert found(store, toxic=True) == [] and len(found(store, toxic=False)) == 1


def test_filters_narrow_and_facets_count(store: Store) -> None:
    put(store, ("one apple", "yes"), ("two apples", "no", "apple again"), source="a", model="m1")
    put(store, ("apple pie",), ("a pear",), source="b")
    index(store)
    assert len(found(store, "apple")) == 3 and len(found(store, "apple", source="b")) == 1
    assert found(store, "apple", min_turns=2) == ["apple again"]
    with store.reading() as connection:
        counted = count(connection, Selection(words="apple"))
        everything = count(connection, Selection())
        assert count(connection, Selection(words="apple", source="b")).messages == 1
    assert (counted.conversations, counted.messages) == (3, 3)
    assert dict(counted.facets["source"]) == {"a": 2, "b": 1} and dict(counted.facets["model"]) == {"m1": 2, None: 1}
    assert everything.conversations == 4 and dict(everything.facets["toxic"]) == {None: 4}
    year = time.strftime("%Y", time.gmtime())
    assert len(found(store, since=f"{year}-01-01")) == 4 and found(store, until="2020-12-31") == []


def kept_counts(store: Store) -> Any:
    """The counts that are kept, seen to be those of the rows."""
    with store.reading() as connection:
        kept, counted = (count(connection, chosen, most=99) for chosen in (Selection(), Selection(min_turns=0)))
        assert kept == counted
        rows = connection.execute(select(SEARCH_COUNTS.c.conversations)).scalars().all()
    assert all(n > 0 for n in rows)
    return kept


def test_kept_counts_are_those_of_the_rows_through_changes_erasure_and_rebuilding(store: Store) -> None:
    assert kept_counts(store).conversations == 0
    put(store, ("one", "yes"), ("two", "no"), source="a", model="m1")
    subject = subject_of(store)
    mine = [store.write(lambda c: conversations.create_conversation(c, subject)) for _ in range(3)]
    said = [say(store, subject, conversation, f"text {i}") for i, conversation in enumerate(mine)]
    index(store)
    assert kept_counts(store).conversations == 5
    for message, code in ((said[0], "en"), (said[1], "en"), (said[2], "de"), (said[0], "fr")):
        annotate(store, message, "lang", {"code": code}, str(now_us()))
        annotate(store, message, "topic", {"topic": len(code), "x": 0.0, "y": 0.0, "terms": []}, str(now_us()))
    annotate(store, said[1], "tox", {"flagged": True}, "linear:1")
    index(store)
    assert dict(kept_counts(store).facets["language"]) == {"fr": 1, "en": 1, "de": 1, None: 2}
    store.write(lambda c: erase_conversations(c, subject, mine[1]))
    found = kept_counts(store)
    assert found.conversations == 4 and dict(found.facets["toxic"]) == {None: 4}
    before = kept_counts(store)
    index(store, rebuild=True)
    assert kept_counts(store) == before
    store.write(lambda c: erase_conversations(c, subject))
    assert kept_counts(store).conversations == 2


def test_a_store_from_before_the_counts_is_counted_when_it_is_opened(store: Store) -> None:
    put(store, ("one", "yes"), ("two",), source="a", model="m1")
    index(store)
    with store.reading() as connection:
        message = str(connection.scalar(select(MESSAGES.c.message_id).limit(1)))
    annotate(store, message, "topic", {"topic": 7, "x": 0.0, "y": 0.0, "terms": []})
    annotate(store, message, "pii", {"spans": []})
    index(store)
    before = kept_counts(store)
    with writing(store.engine) as connection:
        SEARCH_COUNTS.drop(connection)
        with Operations.context(MigrationContext.configure(connection)):
            import_module("agora.store.migrations.versions.0011_search_counts").upgrade()
    assert kept_counts(store) == before


@pytest.mark.slow
def test_pages_go_past_ten_thousand_without_a_gap_or_a_double(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, *((f"common word{i}",) for i in range(10_400)))
    index(store)
    for words in ("common", ""):
        seen: list[str] = []
        after: int | None = None
        with store.reading() as connection:
            while True:
                page, after = find(connection, Selection(words=words), limit=1000, after=after)
                seen += [hit.conversation_id for hit in page]
                if after is None:
                    break
            every = list(find_all(connection, Selection(words=words)))
        assert len(seen) == len(set(seen)) == 10_400 and every == seen
    store.close()


def test_erased_words_leave_the_index_and_its_files(store: Store, tmp_path: Path) -> None:
    subject, word = subject_of(store), "xylophonequark"
    held = [store.write(lambda c: conversations.create_conversation(c, subject)) for _ in range(3)]
    for i, conversation in enumerate(held):
        say(store, subject, conversation, f"my {word} and 学习 number{i}")
        index(store)
    say(store, subject, held[1], f"again {word}")
    index(store)
    assert len(found(store, word)) == 3
    store.write(lambda c: erase_conversations(c, subject, held[1]))
    assert len(found(store, word)) == 2 and len(found(store, "学习")) == 2
    for conversation in (held[0], held[2]):
        store.write(partial(erase_conversations, subject_id=subject, only=conversation))
    assert found(store, word) == []
    index(store)
    scrub(store.engine)
    assert found(store, word) == [] and found(store) == []
    with store.reading() as connection:
        assert read_state(connection).uncleaned == 0
    if store.engine.dialect.name == "sqlite":
        files = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
        assert word.encode() not in files and "学".encode() not in files and b"number1" not in files


def test_a_long_index_is_cleaned_too(tmp_path: Path) -> None:
    store, word = store_in(tmp_path), "zirconiumwalrus"
    subject, rng = subject_of(store), random.Random(0)
    conversation = store.write(lambda c: conversations.create_conversation(c, subject))
    for _ in range(7):  # many segments of many sizes
        put(store, *((" ".join(f"w{rng.randrange(4000)}" for _ in range(40)),) for _ in range(rng.randrange(5, 60))))
        index(store)
    say(store, subject, conversation, word)
    index(store)
    for _ in range(5):
        put(store, *((" ".join(f"w{rng.randrange(4000)}" for _ in range(40)),) for _ in range(20)))
        index(store)
    before = found(store, "w77")
    store.write(lambda c: erase_conversations(c, subject))
    scrub(store.engine)
    assert word.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert found(store, "w77") == before and before
    store.close()


def test_an_index_of_another_version_or_of_changed_text_is_thrown_away_and_built_anew(store: Store) -> None:
    subject = subject_of(store)
    held = [store.write(lambda c: conversations.create_conversation(c, subject)) for _ in range(2)]
    ids = [say(store, subject, conversation, f"word{i} common") for i, conversation in enumerate(held)]
    index(store)
    other = store.write(lambda c: conversations.content_columns("changed behind the index"))
    store.write(lambda c: c.execute(update(MESSAGES).where(MESSAGES.c.message_id == ids[0]).values(**other)))
    store.write(lambda c: erase_conversations(c, subject, held[0]))
    assert found(store, "common") == [], "nothing of it is trusted"
    index(store)
    assert found(store, "common") == ["word1 common"]
    store.write(lambda c: c.execute(update(SEARCH_STATE).values(version=0)))
    index(store)
    assert found(store, "common") == ["word1 common"]
    assert index(store, rebuild=True) == 1 and found(store, "common") == ["word1 common"]


def test_erasing_while_the_index_is_built_leaves_nothing(store: Store) -> None:
    subject = subject_of(store)
    stop = threading.Event()

    def build() -> None:
        while not stop.is_set():
            index_some(store, conversations=3, settled_us=0)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        for i in range(30):
            conversation = store.write(lambda c: conversations.create_conversation(c, subject))
            say(store, subject, conversation, f"ephemeral text {i}")
            if i % 3:
                store.write(partial(erase_conversations, subject_id=subject, only=conversation))
    finally:
        stop.set()
        thread.join(30)
    index(store)
    assert len(found(store, "ephemeral")) == 10 and len(found(store)) == 10
    clean_index(store.engine)
    assert len(found(store, "ephemeral")) == 10


def test_a_build_that_another_process_overtakes_goes_on_from_there(store: Store) -> None:
    put(store, *((f"common word{i}", "reply") for i in range(40)))
    index(store)
    store.write(start_anew)
    steps = index_all(store, conversations=3)
    assert next(steps) == 6
    assert index_some(store, conversations=7, settled_us=0) == (14, True)  # the step prepared for this place is void
    assert sum(steps) == 80 - 6 - 14
    with store.reading() as connection:
        assert read_state(connection).built_through is None
        assert connection.scalar(select(func.count()).select_from(SEARCH_MESSAGES)) == 80
    assert len(found(store, "common")) == 40 and len(found(store, "word39")) == 1


@pytest.mark.slow
def test_a_build_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, *((f"common word{i} " + "filler " * 200,) for i in range(1500)))
    script = (
        "import sys; from pathlib import Path; from agora.store import Store;"
        "from agora.rooms.collect.explore.indexer import index_all;"
        "s = Store.open(sys.argv[1], keys=Path(sys.argv[2]));"
        "[print(n, flush=True) for n in index_all(s, conversations=50)]"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "store.db"), str(tmp_path / "keys.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    with store.reading() as connection:
        before = read_state(connection)
    assert before.built_through
    assert 0 < index(store) < 1500
    assert len(found(store, "common")) == 1000 and len(set(found(store, "word700"))) == 1
    with store.reading() as connection:
        assert count(connection, Selection(words="common")).messages == 1500
    store.close()


def test_a_reader_who_waits_to_write_is_not_held_up_by_scrubbing(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.write(lambda c: c.execute(update(SEARCH_STATE).values(version=0)))  # something in the write-ahead log
    with store.reading() as connection:
        connection.execute(select(SEARCH_STATE)).all()
        scrubbing = threading.Thread(target=scrub, args=(store.engine,))
        scrubbing.start()
        time.sleep(0.2)  # it has met the reader by now
        store.submit(lambda c: c.execute(update(SEARCH_STATE).values(version=0))).result(timeout=5)
    scrubbing.join(10)
    assert not scrubbing.is_alive() and (tmp_path / "store.db-wal").stat().st_size == 0
    store.close()
