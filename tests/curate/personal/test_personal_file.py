"""``agora curate personal``: any conversation file in, tokens in place of values, counts by type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora.cli import app
from agora.core.errors import MissingError, UsageError
from agora.core.tables import read_rows
from agora.curate.personal import residual
from agora.curate.personal.engines import find_engine
from agora.microcosm.world.world import World

TURNS = [
    {"role": "user", "content": "I am at ada@lovelace.org, my phone: 467 3395"},
    {"role": "assistant", "content": "Noted: Ada@lovelace.org and 467 3395."},
]


def chat_file(folder: Path, *conversations: list[dict[str, str]]) -> Path:
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in conversations))
    return path


def run(path: Path, out: Path, *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["curate", "personal", str(path), "--out", str(out), "--json", *options])
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def contents(path: Path) -> list[list[str]]:
    return [[m["content"] for m in row.data["messages"]] for row in read_rows(path)]


def test_values_become_numbered_tokens_and_are_counted(tmp_path: Path) -> None:
    out = tmp_path / "clean.jsonl"
    report = run(chat_file(tmp_path, TURNS, [{"role": "user", "content": "just a chat about cats"}]), out)
    assert contents(out)[0] == ["I am at <EMAIL_1>, my phone: <PHONE_1>", "Noted: <EMAIL_1> and <PHONE_1>."]
    assert report["facts"]["types"] == {"EMAIL_ADDRESS": 2, "PHONE_NUMBER": 1}
    assert (report["n_in"], report["n_out"], report["facts"]["rows_with_personal_data"]) == (2, 2, 1)
    tags = [row.data["tags"]["personal"] for row in read_rows(out)]
    assert [tag["value"] for tag in tags] == [3, 0]
    assert "lovelace" not in out.read_text() + out.with_name("clean.manifest.json").read_text()


def test_compat_tokens_and_marks_without_values(tmp_path: Path) -> None:
    path = chat_file(tmp_path, TURNS)
    run(path, tmp_path / "compat.jsonl", "--redact", "compat")
    assert "<PRESIDIO_ANONYMIZED_PHONE_NUMBER>" in contents(tmp_path / "compat.jsonl")[0][0]
    run(path, tmp_path / "marked.jsonl", "--redact", "none")
    [row] = [row.data for row in read_rows(tmp_path / "marked.jsonl")]
    assert [m["content"] for m in row["messages"]] == [m["content"] for m in TURNS]
    assert row["messages"][0]["meta"]["personal"][0]["type"] == "EMAIL_ADDRESS"


def test_what_the_microcosms_visitors_write_down_is_found_and_gone(tmp_path: Path) -> None:
    visitors = [v for v in World(seed=0).visitors(300) if v.plant == "personal_data"]
    assert len(visitors) > 5
    turns = [[{"role": "user", "content": f"{v.opening or ''} {v.lead} {v.questions[0]}"}] for v in visitors]
    out = tmp_path / "clean.jsonl"
    run(chat_file(tmp_path, *turns), out)
    written = out.read_text()
    assert not [value for v in visitors for value in v.planted if value in written]
    assert not any(residual([text for row in contents(out) for text in row]))


def test_a_model_that_is_not_there_is_said_and_nothing_is_downloaded() -> None:
    with pytest.raises(MissingError, match="spaCy"):
        find_engine("spacy:en_core_web_none")
    with pytest.raises(UsageError, match="no engine"):
        find_engine("spacey")


def test_recall_is_printed_by_type(shared_dir: Path) -> None:
    path = shared_dir / "data/wildchat/pii/presidio_synth_v2.jsonl.gz"
    done = CliRunner().invoke(app, ["curate", "personal-recall", str(path), "--json"])
    rows = {row["type"]: row for row in json.loads(done.stdout)}
    assert rows["IBAN_CODE"] == {"type": "IBAN_CODE", "n": 21, "found": 21, "exact": 21, "false": 0}
