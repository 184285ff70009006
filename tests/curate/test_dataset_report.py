"""The dataset page: its counts are those of the file, outside text stays text, and two sets stand side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from agora.curate.dataset import collect, dataset_report
from agora.curate.dataset.coverage import coverage
from agora.curate.dataset.root_verbs import root_verb
from agora.curate.filter_file import filter_file
from agora.curate.verbs import app
from tests.curate.labeled import talk, write
from tests.curate.test_filter_file import tagged

HOSTILE = '<script>alert(1)</script> & "quotes" <img src=x onerror=alert(2)>'


def test_counts_are_those_of_the_file(tmp_path: Path) -> None:
    rows = tagged(300)
    data = collect(write(tmp_path / "a.jsonl", rows))
    assert data.n == 300 == data.turns[1]
    for name in ("quality", "difficulty", "language"):
        expected: dict[str, int] = {}
        for row in rows:
            value = row["tags"][name]["value"]
            expected[value] = expected.get(value, 0) + 1
        assert dict(data.labels[name]) == expected
    assert data.labels["category"]["Others"] == sum(r["tags"]["category"]["value"] in ("Other", "Others") for r in rows)
    assert np.mean(data.numbers["reward"]) == pytest.approx(np.mean([r["tags"]["reward"]["value"] for r in rows]))
    assert data.repetitive == sum("again and again" in r["messages"][1]["content"] for r in rows)
    assert len(data.sizes) == 600


def test_examples_do_not_depend_on_the_order_of_the_file(tmp_path: Path) -> None:
    rows = tagged(200)
    first = collect(write(tmp_path / "a.jsonl", rows)).examples
    second = collect(write(tmp_path / "b.jsonl", rows[::-1])).examples

    def shown(found: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, dict[str, list[str]]]:
        return {k: {v: [r["id"] for r in rows] for v, rows in d.items()} for k, d in found.items()}

    assert shown(first) == shown(second)
    assert all(len(rows) == 2 for rows in first["quality"].values())


def test_the_way_to_the_file_and_what_was_left_out_are_on_the_page(tmp_path: Path) -> None:
    rows = [*tagged(200), talk(HOSTILE, HOSTILE, id="evil", quality="poor", reward=-1.0)]
    first = filter_file(write(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl", "quality >= average")
    second = filter_file(first.out, tmp_path / "c.jsonl", "reward > -12")
    data = collect(second.out)
    assert data.funnel is not None and data.funnel.n_in == 201 and data.funnel.n_out == data.n
    assert [step.verb for step in data.steps] == ["filter", "filter"]
    assert {one.reason for one in data.removed} >= {"not quality >= average", "not reward > -12"}
    page = dataset_report(data).html()
    for words in ("How it came about", "quality &gt;= average", "What was left out", "Cost", "Labels"):
        assert words in page


def test_outside_text_stays_text(tmp_path: Path) -> None:
    rows = [talk(HOSTILE, HOSTILE, id=f"e{i}", quality="good", category="Math") for i in range(12)]
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", str(write(tmp_path / "a.jsonl", rows)), "--out", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "<img src=x" not in text and "<script>alert" not in text
    assert not re.search(r"(?:src|href)=[\"']?https?:", text)


def test_two_data_sets_stand_side_by_side(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", tagged(120)), write(tmp_path / "b.jsonl", tagged(60, seed=1))
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", str(a), "--against", str(b), "--out", str(page), "--no-map", "--json"])
    told = json.loads(result.stdout)
    assert [d["rows"] for d in told["data_sets"]] == [120, 60]
    assert 0 < told["coverage"]["of_first"][0] <= told["coverage"]["of_first"][-1] <= 1
    assert "share of b.jsonl" in page.read_text() and "b.jsonl covered by a.jsonl" in page.read_text()


@pytest.mark.parametrize("rows", [[], [talk()], [talk("", None)], [talk("Hi?", None)] * 3])
def test_small_and_odd_files_give_a_page(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    if not rows:
        rows = [{**talk(), "tags": {"kept": False, "reason": "x"}}]
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", str(write(tmp_path / "a.jsonl", rows)), "--out", str(page)])
    assert result.exit_code in (0, 1), result.output
    if result.exit_code == 0:
        assert page.exists()


def test_a_tokenizer_counts_tokens_and_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    source = write(tmp_path / "a.jsonl", [talk(f"Question {i}?", id=str(i)) for i in range(5)])
    arguments = ["report", str(source), "--out", str(page), "--no-map", "--tokenizer", "microcosm:chat"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "tokens of microcosm:chat a message" in page.read_text()


def test_coverage_is_the_share_of_rows_with_a_near_one() -> None:
    first = np.eye(4, dtype=np.float32)
    second = np.eye(4, dtype=np.float32)[:1]
    found = coverage(first, second, (0.0, 1.9, 2.0))
    assert found.of_first == (0.25, 0.25, 1.0) and found.of_second == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write a short story about a dog.", ("write", "story")),
        ("Could you please explain how rain forms?", ("explain", "how")),
        ("Please, give me three tips for sleep", ("give", "tips")),
        ("I want you to act as a travel guide.", ("act", None)),
        ("Analyse the following data set: 1, 2", ("analyze", "set")),
        ("What is the capital of Peru?", None),
        ("My code does not work.", None),
        ("", None),
        ("### Translate this sentence\ninto French", ("translate", "sentence")),
    ],
)
def test_root_verbs_and_objects(text: str, expected: tuple[str, str | None] | None) -> None:
    assert root_verb(text) == expected
