"""``agora data import`` prints what it did; with ``--json`` one object and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from agora.curate.commands import app

GOOD = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


def chat_log(folder: Path) -> Path:
    path = folder / "log.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + '{"messages": [{"role": "user", "content": null}]}\n')
    return path


def test_import_prints_one_json_object(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    result = CliRunner().invoke(app, ["import", str(chat_log(tmp_path)), "--out", str(out), "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert out.exists()
    assert (told["format"], told["n_read"], told["n_imported"], told["n_rejected"]) == ("openai", 2, 1, 1)
    assert told["reasons"] == {"null content": 1}
    assert (told["n_messages"], told["n_leaves"], told["out"]) == (2, 1, str(out))
    assert Path(told["rejects_path"]).exists()


def test_import_says_what_was_rejected_and_where_it_is(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    result = CliRunner().invoke(app, ["import", str(chat_log(tmp_path)), "--out", str(out), "--format", "openai"])
    assert "openai: 1 of 2 rows imported, 2 messages" in result.stdout
    assert "rejected 1: null content" in result.stdout
    assert str(tmp_path / "o.rejects.jsonl") in result.stdout
    assert str(out) in result.stdout
