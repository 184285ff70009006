"""A site with a release whose conversations everyone may read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import zstandard
from sqlalchemy import select, update

from agora.rooms.collect.explore.indexer import index_all
from agora.rooms.collect.release.tables import RELEASED_TEXTS
from agora.rooms.collect.tables import ANNOTATIONS, MESSAGES
from agora.store import Store
from tests.rooms.collect.live import ScriptedModel, live_app, settings
from tests.rooms.collect.release.built import build
from tests.rooms.collect.release.synthetic import fill
from tests.stores import store_in


@contextmanager
def released_site(folder: Path, *, explore: dict[str, Any] | None = None, **more: Any) -> Iterator[Any]:
    """A visitor without an account, and the store of an app whose synthetic conversations are out as ``first``.

    Args:
        folder: of the store and of the release.
        explore: settings of the explorer; flagged conversations are shown where they do not say otherwise.
        more: see :func:`release_first`.
    """
    chosen = {"toxic": True, "index": False, **(explore or {})}
    with live_app(folder, ScriptedModel(), settings(explore=chosen, enrich=())) as (address, store):
        release_first(store, folder, published=chosen.get("published", True), **more)
        with httpx.Client(base_url=address) as visitor:
            yield visitor, store


@contextmanager
def released_store(folder: Path, **more: Any) -> Iterator[Store]:
    """The store alone, see :func:`release_first`."""
    store = store_in(folder)
    release_first(store, folder, **more)
    yield store
    store.close()


def release_first(
    store: Store, folder: Path, *, conversations: int = 24, prompts: Sequence[str] = (), published: bool = True
) -> None:
    """Publish synthetic conversations of twelve people, some with personal data, as the release ``first``.

    Args:
        store: open.
        folder: of the release.
        conversations: how many.
        prompts: texts of first questions, in place of as many drawn ones.
        published: whether their texts are kept for the site.
    """
    fill(store, conversations, subjects=12, planted=0.6)
    if prompts:
        store.write(lambda c: _say(c, prompts))
    build(store, folder / "first", "release.profile=messages", f"collect.explore.published={str(published).lower()}")
    sum(index_all(store))


def _say(connection: Any, prompts: Sequence[str]) -> None:
    m = MESSAGES.c
    firsts = connection.scalars(select(m.message_id).where(m.parent_id.is_(None)).order_by(m.message_id)).all()
    for message, text in zip(firsts, prompts, strict=False):
        raw = text.encode()
        values = {"content_zstd": zstandard.compress(raw), "content_sha256": sha256(raw).digest()}
        connection.execute(update(MESSAGES).where(m.message_id == message).values(**values))
        found = (ANNOTATIONS.c.message_id == message) & ANNOTATIONS.c.kind.in_(("pii", "secret"))
        connection.execute(update(ANNOTATIONS).where(found).values(result_json='{"spans":[]}'))


def address_of(store: Store, conversation_id: str) -> str:
    """Where a conversation of the release is read; empty where its text is kept no more."""
    t = RELEASED_TEXTS.c
    with store.reading() as connection:
        digest = connection.scalar(select(t.row_sha256).where(t.conversation_id == conversation_id))
    return f"/explore/published/1/{bytes(digest).hex()}" if digest else ""


def released(store: Store) -> list[str]:
    """The ids of the conversations of the release."""
    t = RELEASED_TEXTS.c
    with store.reading() as connection:
        return list(connection.scalars(select(t.conversation_id).order_by(t.row_sha256)))
