"""Verbs with their rows shared out: the bytes of one process, whatever the file holds and wherever the rows go."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import ConfigError
from agora.core.json_rows import Row
from agora.core.jsonl import Rejects, read_json
from agora.curate import row_parts
from agora.curate.contamination.decontaminate import DecontaminateSettings, decontaminate_file
from agora.curate.dataset import collect
from agora.curate.filter_file import filter_file
from agora.curate.labels import LabelSettings, label_file
from agora.curate.row_parts import parts_of
from agora.curate.rows import mark_of, open_source, read_record_rows
from agora.curate.sample_file import parse_mix, sample_file

TEST = "A farmer has nine sheep and buys four more of them on every market day in spring. How many after five days?"
QUALITIES = ("poor", "average", "good", "excellent")
LANGUAGES = ("Tell me about rivers, please.", "Wie heißen die großen Flüsse Europas?", "¿Cuáles son los ríos largos?")


def lines() -> list[str]:
    """Rows of every kind that one part can hold: good ones, repeated ids, marked ones, broken ones, blank lines."""
    found = []
    for n in range(90):
        text = TEST if n % 17 == 5 else f"{LANGUAGES[n % 3]} {n}"
        row: dict[str, Any] = {
            "schema": "conversation/1",
            "id": f"id{n % 70}",
            "messages": [
                {"role": "user", "content": text, "id": "0", "parent": None},
                {"role": "assistant", "content": f"Answer {n}. " * (n % 11 + 1), "id": "1", "parent": "0"},
            ],
            "provenance": {"source": "test"},
            "tags": {"quality": {"value": QUALITIES[n % 4], "status": "ok"}},
        }
        if n % 19 == 3:
            row["tags"] |= {"kept": False, "reason": "said so"}
        if n % 23 == 7:
            del row["messages"]
        found.append("{broken" if n % 29 == 11 else "" if n % 31 == 1 else json.dumps(row))
    return found


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(row_parts, "ROWS_A_PART", 16)
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(lines()) + "\n")
    return path


def ids_of(rows: list[Row]) -> list[tuple[int, str]]:
    return [(row.line, row.data["id"]) for row in rows]


def read_apart(path: Path, **more: Any) -> tuple[list[Any], list[Any]]:
    parts = list(parts_of(open_source(path), ids_of, path.parent / "parts", label="test", **more))
    return [one for part in parts for one in part.result], [one for part in parts for one in part.aside]


@pytest.mark.parametrize("layout", ["plain", "gz"])
def test_workers_read_the_rows_that_one_process_reads(source: Path, layout: str) -> None:
    if layout == "gz":
        source = source.with_suffix(".jsonl.gz")
        source.write_bytes(gzip.compress("\n".join(lines()).encode()))
    expected = [row for row in read_record_rows(open_source(source), Rejects()) if mark_of(row.data) is None]
    alone, apart = read_apart(source), read_apart(source, workers=2)
    assert alone == apart
    assert alone[0] == ids_of(expected)
    assert len({name for _, name in alone[0]}) == len(alone[0]), "a repeated id got a new one"
    assert {aside.marked for aside in alone[1]} == {True, False}
    assert not list(source.parent.glob("parts*"))


def test_what_a_killed_process_left_is_swept(source: Path) -> None:
    left = source.parent / "parts" / "000000.part"
    left.parent.mkdir()
    left.write_bytes(b"half")
    assert read_apart(source)[0]
    assert not left.parent.exists()


def test_a_place_that_does_not_exist_is_told_before_the_work(source: Path) -> None:
    with pytest.raises(ConfigError, match='"rya" is no place to run on'):
        sample_file(source, source.with_name("out.jsonl"), 3, on="rya")


Verb = Callable[[Path, Path, dict[str, Any]], Any]


def _filter(path: Path, out: Path, where: dict[str, Any]) -> Any:
    return filter_file(path, out, "quality >= average then top 20 by len(answer)", **where)


def _sample(path: Path, out: Path, where: dict[str, Any]) -> Any:
    return sample_file(path, out, 30, mix=parse_mix("quality: good=1, *=2"), splits={"test": 0.2}, **where)


def _label(path: Path, out: Path, where: dict[str, Any]) -> Any:
    shutil.rmtree(out.with_suffix(".run"), ignore_errors=True)
    return label_file(path, out, LabelSettings(("language",)), **where)


def _decontaminate(path: Path, out: Path, where: dict[str, Any]) -> Any:
    test = path.with_name("test.jsonl")
    test.write_text(json.dumps({"question": TEST}) + "\n")
    shutil.rmtree(out.with_suffix(".work"), ignore_errors=True)
    return decontaminate_file(path, out, [test], DecontaminateSettings(top=2), **where)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("on", ["local", "ray"])
@pytest.mark.parametrize("verb", [_filter, _sample, _label, _decontaminate])
def test_a_verb_writes_the_same_bytes_with_one_process_two_or_on_ray(source: Path, verb: Verb, on: str) -> None:
    if on == "ray":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    out, written = source.with_name("out.jsonl"), {}
    for where in ({}, {"on": on, "workers": 2}):
        verb(source, out, where)
        files = {path.name: path.read_bytes() for path in source.parent.glob("out*.jsonl")}
        told = read_json(source.with_name("out.manifest.json")) | {"seconds": 0}
        written[len(written)] = files, told
    assert written[0] == written[1]
    assert len(written[0][0]) > 1, "what was set aside is compared too"


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("on", ["local", "ray"])
def test_a_report_counts_the_same_with_one_process_two_or_on_ray(source: Path, on: str) -> None:
    if on == "ray":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    alone, apart = collect(source), collect(source, on=on, workers=2)
    assert alone == apart
    assert (alone.n, alone.marked, alone.unreadable) == (75, 5, 7)
