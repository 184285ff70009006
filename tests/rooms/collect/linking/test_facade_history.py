"""A stateless client's history finds its place as a log's row does."""

from __future__ import annotations

from pathlib import Path

from agora.rooms.collect.conversations import read_messages
from agora.rooms.collect.history import attach_history
from tests.store.test_consent import _published
from tests.stores import store_in


def test_a_history_is_attached_to_the_longest_part_of_it_that_is_stored(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    subject, _ = _published(store)

    def attach(*texts: str) -> tuple[str, str | None]:
        turns = [(("user", "assistant")[i % 2], text) for i, text in enumerate(texts)]
        place = store.write(lambda c: attach_history(c, subject.id, turns))
        return place.conversation_id, place.parent_id

    first, leaf = attach("a", "b")
    assert attach("a", "b") == (first, leaf)
    assert attach("a", "b", "c", "d")[0] == first
    assert attach("a", "b", "c2", "d")[0] == first
    other, _ = attach("a", "B")
    assert other != first
    with store.reading() as connection:
        said = [(m.content, m.status) for m in read_messages(connection, first)]
    assert sorted(said) == [(text, "reconstructed") for text in ("a", "b", "c", "c2", "d", "d")]
    store.close()
