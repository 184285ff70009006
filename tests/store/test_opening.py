"""Opening a store that must be there: a mistyped name is told in one line, and nothing is made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agora.core.errors import AgoraError, MissingError, UsageError
from agora.rooms.collect.commands import app as collect
from agora.site.commands import app as accounts
from agora.store import Store
from tests.postgres import fresh_database


def test_a_mistyped_file_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"agroa\.db: there is no such store; check --db"):
        Store.open(str(tmp_path / "agroa.db"), keys=tmp_path / "keys.json", make=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "text", "tables"])
def test_a_file_that_is_something_else_stays_as_it_is(tmp_path: Path, content: str) -> None:
    file = tmp_path / "notes.db"
    if content == "tables":
        with sqlite3.connect(file) as other:
            other.execute("CREATE TABLE notes(text)")
        other.close()
    else:
        file.write_text(content * 300)
    before = file.read_bytes()
    with pytest.raises(UsageError, match="no store"):
        Store.open(str(file), keys=tmp_path / "keys.json", make=False)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def test_a_text_file_is_not_made_a_store_of(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("text" * 300)
    with pytest.raises(UsageError, match="no store"):
        Store.open(str(file), keys=tmp_path / "keys.json")


def test_a_mistyped_file_of_keys_is_told_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGORA_SECRET", raising=False)
    Store.open(str(tmp_path / "store.db"), keys=tmp_path / "keys.json").close()
    with pytest.raises(MissingError, match=r"keyz\.json: there is no such file of keys; name the store's with --keys"):
        Store.open(str(tmp_path / "store.db"), keys=tmp_path / "keyz.json", make=False)
    assert not (tmp_path / "keyz.json").exists()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_store_that_was_made_is_opened(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = str(tmp_path / "store.db")
    if kind == "postgresql":
        url = fresh_database(request.getfixturevalue("postgres"), "new")
    Store.open(url, keys=tmp_path / "keys.json").close()
    Store.open(url, keys=tmp_path / "keys.json", make=False).close()


def test_an_empty_database_of_a_server_is_no_store(postgres: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no store"):
        Store.open(fresh_database(postgres, "empty"), keys=tmp_path / "keys.json", make=False)
    assert not (tmp_path / "keys.json").exists()


COMMANDS = [
    ["search", "word"],
    ["stats"],
    ["enrich"],
    ["verify"],
    ["export", "--out", "x.jsonl"],
    ["delete", "--conversation", "X"],
    ["expire"],
    ["release", "show"],
    ["release", "build", "--out", "x"],
    ["release", "retract", "x", "--from", "y", "--out", "z"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_commands_on_a_store_make_none(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(collect, [*command, "--db", "agroa.db"])
    assert isinstance(found.exception, AgoraError) and "no such store" in str(found.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["list"], ["disable", "ada"], ["role", "ada", "admin"]], ids=lambda w: str(w[0]))
def test_commands_on_accounts_make_no_store(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(accounts, [*command, "--db", "agroa.db"])
    assert isinstance(found.exception, MissingError) and list(tmp_path.iterdir()) == []
