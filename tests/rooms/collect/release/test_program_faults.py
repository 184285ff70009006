"""Gates that only fail when something is wrong with the program itself; and that nobody is asked on the way."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from agora.rooms.collect.release import build as building
from agora.rooms.collect.release import card
from agora.rooms.collect.release.build import GateError
from agora.rooms.collect.release.profiles import schema_of
from agora.rooms.collect.release.retract import retract_release
from agora.rooms.collect.statistics.numbers import numbers
from agora.rooms.collect.statistics.tally import count
from agora.rooms.collect.statistics.told import told_by_store
from agora.store import Store
from tests.rooms.collect.release.built import build
from tests.rooms.collect.release.test_imported import FIXTURES, bring


def test_files_of_another_schema_stop_a_release_and_the_difference_is_told(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drifted(profile: str) -> pa.Schema:
        schema = schema_of(profile).append(pa.field("mood", pa.int8()))
        talk = schema.field("conversation").type.value_type
        fields = [f if f.name != "toxic" else pa.field("toxic", pa.string()) for f in talk]
        return schema.set(3, pa.field("conversation", pa.list_(pa.struct(fields))))

    monkeypatch.setattr(building, "schema_of", drifted)
    told = "conversation[].toxic: string expected, bool found; mood: int8 expected, missing found;"
    with pytest.raises(GateError, match=r"gate 8 \(schema\) failed: 1 other schema; " + re.escape(told)):
        build(store, tmp_path / "r")
    assert not list(tmp_path.glob("r/**/*.parquet"))


def test_a_card_with_an_empty_section_stops_a_release(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "_limits", lambda facts: " ")
    with pytest.raises(GateError, match=r"gate 9 \(card\) failed: 1 empty section"):
        build(store, tmp_path / "r")
    told = json.loads((tmp_path / "r" / "gates.json").read_text())[8]
    assert told["reasons"]["empty_section"]["examples"] == ["Limits"]


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no published rows in {FIXTURES} (set AGORA_SHARED)")
def test_import_release_retraction_and_statistics_ask_nobody(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something tried to reach the network")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    assert bring(store, "wildchat_1m", tmp_path) == 8
    build(store, tmp_path / "r", "release.selection.sources=[wildchat-1m]")
    assert retract_release(store, "r", tmp_path / "r", tmp_path / "again")["removed"] == 0
    assert numbers(count(told_by_store(store, threshold=0.1)))["collection"]["conversations_released"] == 128
