"""A release that was just built as records of the other rooms: what its rows hold, and nothing else of the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from agora.core.errors import MissingError, UsageError
from agora.core.jsonl import read_json
from agora.core.records import Conversation, JsonMap, Message, Provenance
from agora.core.tables import read_rows
from agora.rooms.collect.release.profiles import row_sha256
from agora.rooms.collect.release.publish import find_release
from agora.rooms.collect.release.tables import RELEASE_ROWS
from agora.store import Store


def released_records(store: Store, folder: Path) -> Iterator[Conversation]:
    """The conversations of a release in the profile ``native``, in its order, under the store's own ids.

    Only who holds the store can tell which conversation a row is; what is said in it is read from the files.

    Args:
        store: from which the release was built.
        folder: of the release.

    Raises:
        MissingError: the store knows no such release.
        UsageError: the release has another profile.
    """
    manifest: Any = read_json(folder / "manifest.json")
    if manifest["profile"] != "native":
        raise UsageError(f"only a native release is read as records, not {manifest['profile']}", where=str(folder))
    with store.reading() as connection:
        release = find_release(connection, manifest["name"])
        if release is None:
            raise MissingError(f"the store knows no release called {manifest['name']!r}", where=str(folder))
        held = select(RELEASE_ROWS.c.row_sha256, RELEASE_ROWS.c.conversation_id)
        mine = held.where(RELEASE_ROWS.c.release_id == release.id)
        of_row = {bytes(row.row_sha256): row.conversation_id for row in connection.execute(mine)}
    for file in manifest["files"]:
        for row in read_rows(folder / file["path"]):
            said = row.data["messages"]
            digest = row_sha256(row.data["id"], [(m["role"], m["content"]) for m in said])
            yield _record(row.data, of_row[digest], manifest)


def _record(row: JsonMap, conversation_id: str, manifest: Mapping[str, Any]) -> Conversation:
    messages = tuple(
        Message(m["role"], m["content"], id=m["id"], parent=m["parent_id"], meta=_facts(m)) for m in row["messages"]
    )
    provenance = Provenance(
        source=row["source"],
        source_id=row["id"],
        licence=row["source_license"] or manifest["license"],
        consent=f"publish/{row['consent_version']}" if row["consent_version"] else "unknown",
    )
    return Conversation(conversation_id, messages, provenance, meta={"release": manifest["name"]})


def _facts(message: Mapping[str, Any]) -> JsonMap:
    return {name: message[name] for name in ("model", "status", "rating") if message[name] is not None}
