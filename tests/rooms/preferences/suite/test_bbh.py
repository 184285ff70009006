"""BIG-Bench Hard: prompts, items, extraction and matching."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agora.core.errors import DataError, MissingError
from agora.rooms.preferences.suite.bbh import Bbh, cut_shots, extract_answer, matches, read_bbh
from tests.rooms.preferences.suite.support import answered

PROMPT = "A warning.\n-----\nCount things.\n\n" + "\n\n".join(
    f"Q: one and {i}?\nA: Let's think step by step.\nWe add. So the answer is {i + 1}." for i in range(4)
)


@pytest.fixture
def bbh(tmp_path: Path) -> Bbh:
    rows = [
        {"task": task, "index": i, "input": f"{i} and {i}?", "target": str(2 * i)}
        for task, n in (("small", 3), ("large", 60))
        for i in range(n)
    ]
    (tmp_path / "bbh.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "prompts.json").write_text(json.dumps({"small": PROMPT, "large": PROMPT}), encoding="utf-8")
    return Bbh(tmp_path / "bbh.jsonl", tmp_path / "prompts.json")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("We see. So the answer is (B).", "(B)"),
        ("So the answer is 3.5.", "3.5"),  # the reference stops at the first period
        ("So the answer is 3.5. Done.", "3.5"),
        ("The answer is: valid", "valid"),
        ("So the answer is ] } >.\n\nQ: next", "] } >"),
        ("True", "True"),
        ("\n\nSo the answer is -7.", "-7"),
        ("First.\n\nSo the answer is 2.", "First."),
    ],
)
def test_answer_is_extracted(text: str, found: str) -> None:
    assert extract_answer(text) == found


@pytest.mark.parametrize(
    ("found", "gold", "same"),
    [
        ("(A)", "(A)", True),
        ("A", "(A)", True),
        ("a", "(A)", True),
        ("(B)", "(A)", False),
        ("3.50", "3.5", True),
        ("35", "3.5", False),  # punctuation is not taken out of numbers
        ("35", "-35", False),
        ("-35", "-35", True),
        ("1,200", "1200", True),
        ("] ]", "] ]", True),
        ("] )", "] ]", False),  # without punctuation all of these would be the same
        ("", "] ]", False),
        ("No.", "no", True),
        ("monsters inc", "Monsters, Inc", True),
    ],
)
def test_answers_match_by_meaning(found: str, gold: str, same: bool) -> None:
    assert matches(found, gold) is same


def test_items_take_turns_over_the_tasks(bbh: Bbh) -> None:
    items = bbh.items()
    assert len(items) == 43
    assert [item.meta["task"] for item in items[:4]] == ["large", "small", "large", "small"]
    assert len(bbh.items(limit=5)) == 5
    assert [item.id for item in items] == [item.id for item in bbh.items()]


def test_prompt_has_three_worked_examples_and_no_header(bbh: Bbh) -> None:
    item = bbh.items()[1]
    prompt = item.messages[0].content
    assert prompt.startswith("Count things.") and prompt.count("Q: ") == 4
    assert prompt.endswith(f"Q: {item.id.partition('/')[2]} and {item.id.partition('/')[2]}?")
    assert item.prefix == "A: Let's think step by step."
    assert cut_shots(PROMPT, 1).count("Q: ") == 1


def test_score_is_by_task(bbh: Bbh) -> None:
    item = bbh.items()[0]
    result = bbh.score(answered(item, f"We add. So the answer is {item.target}."))
    assert result.score == 1.0 and bbh.stratum(result) == "large"


def test_task_without_worked_examples_is_refused(bbh: Bbh, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps({"small": PROMPT}), encoding="utf-8")
    with pytest.raises(MissingError, match="large"):
        bbh.items()


def test_folder_of_tasks_is_read(tmp_path: Path) -> None:
    (tmp_path / "navigate.json").write_text(
        json.dumps({"canary": "x", "examples": [{"input": "Left?", "target": "No"}]}), encoding="utf-8"
    )
    assert read_bbh(tmp_path) == {"navigate": {"0": ("Left?", "No")}}


def test_row_that_stands_twice_is_named(tmp_path: Path) -> None:
    row = json.dumps({"task": "t", "index": 0, "input": "a", "target": "b"})
    (tmp_path / "bbh.jsonl").write_text(f"{row}\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bbh.jsonl:2.*twice"):
        read_bbh(tmp_path / "bbh.jsonl")


def test_gold_answers_of_all_6511_items_score_full(shared_dir: Path) -> None:
    folder = shared_dir / "data/preference/bbh"
    whole = Bbh(folder / "bbh.jsonl.gz", folder / "cot_prompts.json.gz", per_task=None)
    items = whole.items()
    assert len(items) == 6511 and len({item.meta["task"] for item in items}) == 27
    for item in items:
        assert whole.score(answered(item, f" We look at it.\nSo the answer is {item.target}.")).score == 1.0, item.id


def test_forty_a_task_are_1080(shared_dir: Path) -> None:
    folder = shared_dir / "data/preference/bbh"
    assert len(Bbh(folder / "bbh.jsonl.gz", folder / "cot_prompts.json.gz").items()) == 1080
