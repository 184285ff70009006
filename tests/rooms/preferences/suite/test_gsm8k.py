"""GSM8K: reading both formats, the published subset, and what counts as the last number."""

from __future__ import annotations

import gzip
import json
import random
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.rooms.preferences.suite.gsm8k import SHOTS, Gsm8k, last_number, numbers_in, read_gsm8k
from tests.rooms.preferences.suite.support import answered


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is -10.", "-10"),  # the reference drops the minus
        ("So 3 - 3 = 0", "0"),  # the reference calls a 0 a failure
        ("It makes 2,125 dollars.", "2125"),
        ("It makes $1,450,000.", "1450000"),
        ("The price is $-5.50", "-5.5"),
        ("He owes -$12", "-12"),
        ("That is 3.14.", "3.14"),
        ("half, or .5", "0.5"),
        ("7 - 3", "3"),  # a subtraction, not a negative number
        ("7-3", "3"),
        ("(5)-3", "3"),
        ("x=-4", "-4"),
        ("Temperature: −7 degrees", "-7"),
        ("**-42**", "-42"),
        ("the pairs 1,2,3", "3"),
        ("18 apples", "18"),
        ("50%", "50"),
        (r"\boxed{1{,}000}", "1000"),
        ("-3 and 1000.00", "1000"),
    ],
)
def test_last_number_is_read_as_a_person_reads_it(text: str, number: str) -> None:
    assert last_number(text) == Decimal(number)


def test_text_without_a_number_has_none() -> None:
    assert last_number("I do not know.") is None
    assert last_number("") is None


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12),
    st.sampled_from(["{}", "The answer is {}.", "= {} apples", "${}", "it costs {}, I think", "**{}**", "({})"]),
)
def test_any_written_number_is_read_back(value: Decimal, frame: str) -> None:
    assert last_number(frame.format(f"{value:,}")) == value
    assert last_number(frame.format(f"{value}")) == value
    assert last_number(frame.format(f"{int(value):,}")) == int(value)


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    numbers_in(text)


def write_rows(path: Path, n: int) -> Path:
    rows = [{"question": f"What is {i} - 5?", "answer": f"We subtract.\n#### {i - 5:,}"} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_items_ask_eight_worked_examples_and_then_the_question(tmp_path: Path) -> None:
    test = Gsm8k(write_rows(tmp_path / "gsm8k.jsonl", 3))
    item = test.items()[0]
    prompt = item.messages[0].content
    assert prompt.count("Question: ") == 9 and prompt.count("Answer: ") == 8
    assert prompt.endswith("Question: What is 0 - 5?")
    assert item.prefix == "Answer:"
    sampling = test.request(item).sampling  # type: ignore[union-attr]
    assert (sampling.temperature, sampling.max_tokens) == (0.0, 512)


def test_worked_examples_end_in_their_right_answers() -> None:
    assert [last_number(shot.answer) for shot in SHOTS] == [15, 36, 55, 60, 84, 50, 15, 24]


def test_subset_is_the_one_of_seed_42(tmp_path: Path) -> None:
    test = Gsm8k(write_rows(tmp_path / "gsm8k.jsonl", 500))
    questions = [item.messages[0].content.rpartition("Question: ")[2] for item in test.items()]
    expected = random.Random(42).sample([f"What is {i} - 5?" for i in range(500)], 200)
    assert questions == expected
    assert len(test.items(limit=7)) == 7


@pytest.mark.parametrize(
    ("text", "score"), [("We get -5.", 1.0), ("We get 5.", 0.0), ("No idea", 0.0), ("-5.00 dollars", 1.0)]
)
def test_answer_scores_by_value(tmp_path: Path, text: str, score: float) -> None:
    test = Gsm8k(write_rows(tmp_path / "gsm8k.jsonl", 1))
    assert test.score(answered(test.items()[0], text)).score == score


def test_a_question_that_a_base_model_adds_is_not_read(tmp_path: Path) -> None:
    test = Gsm8k(write_rows(tmp_path / "gsm8k.jsonl", 1))
    result = test.score(answered(test.items()[0], "It is -5.\nQuestion: What is 7?"))
    assert (result.score, result.prediction) == (1.0, "-5")


def test_line_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "test.txt.gz"
    path.write_bytes(gzip.compress(b"How many?||<<2*3=6>> #### 6\n\nHow few?||<<1-4=-3>> #### -3\n"))
    assert read_gsm8k(path) == [("How many?", "6"), ("How few?", "-3")]


@pytest.mark.parametrize("line", ["How many? #### 6", "How many?||2*3 #### six", "How many?||#### 6 or 7"])
def test_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "test.txt"
    path.write_text(f"Good?||#### 1\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test\.txt:2"):
        read_gsm8k(path)


def test_shared_test_set_is_read_whole(shared_dir: Path) -> None:
    test = Gsm8k(shared_dir / "data/icot/data/gsm8k/test.txt.gz")
    assert len(read_gsm8k(test.path)) == 1319
    items = test.items()
    assert len(items) == 200 and len({item.id for item in items}) == 200
    for item in Gsm8k(test.path, subset=None).items():
        assert test.score(answered(item, f"We work it out. The answer is {item.target}.")).score == 1.0
