"""Filter expressions: what they mean, what is unknown, and what a user is told."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import AgoraError, ConfigError
from agora.curate.expressions import Evaluator, parse_program
from agora.curate.scales import CATEGORY, DIFFICULTY, QUALITY
from tests.curate.labeled import talk


def verdicts(expression: str, *rows: dict[str, Any]) -> list[bool | None]:
    """True, False or None (unknown) of a one-clause expression for each row."""
    (clause,) = parse_program(expression).clauses
    truth = Evaluator(rows).truth(clause.node)
    return [bool(v) if k else None for v, k in zip(truth.values, truth.known, strict=True)]


def one(expression: str, **tags: Any) -> bool | None:
    return verdicts(expression, talk("Name a color: red or blue?", "Red.", **tags))[0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("quality >= good", True),
        ("quality > Excellent", False),
        ("quality == good", True),
        ("input_quality in [average, good]", True),
        ("quality not in [very poor, poor]", True),
        ("difficulty == very easy", True),
        ('difficulty < "easy"', True),
        ("category == Coding", True),
        ("task_category == 'Coding & Debugging'", True),
        ("reward > -12.5", True),
        ("reward <= -13", False),
        ("len(answer) == 4", True),
        ("words(instruction) = 6", True),
        ("ends(instruction, '?')", True),
        ("contains(answer, 'Red') and starts(answer, 'R')", True),
        ("not contains(answer, 'Blue')", True),
        ("turns == 1 and messages == 2", True),
        ("source == test", True),
        ("tags.score > 2 and tags.kind == odd", True),
        ("true", True),
        ("(quality == poor or difficulty == very easy) and not false", True),
    ],
)
def test_an_expression_says_what_it_reads_like(expression: str, expected: bool) -> None:
    row = talk(
        *("Name a color: red or blue?", "Red."),
        quality="GOOD",
        difficulty="Very Easy",
        category="Coding & Debugging",
        reward=-12.0,
        score=3,
        kind="odd",
    )
    truth = [verdicts(clause.text, row)[0] for clause in parse_program(expression).clauses]
    assert all(truth) is expected


def test_other_and_others_are_one_category() -> None:
    assert one("category == Others", category="Other") is True
    assert one("category == Other", category="Others") is True


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("quality >= good", None),
        ("not quality >= good", None),
        ("(quality >= good or turns == 1)", True),
        ("(quality >= good or turns == 2)", None),
        ("not (quality >= good and turns == 2)", True),
        ("dup.keeper", None),
        ("reward > 0", None),
        ("meta.nothing == 1", None),
    ],
)
def test_what_a_row_lacks_is_unknown_unless_the_rest_decides(expression: str, expected: bool | None) -> None:
    assert one(expression) is expected


def test_a_failed_label_is_lacking() -> None:
    failed = {"value": None, "status": "failed", "raw": "excellent!"}
    assert one("quality >= very poor", quality=failed) is None


def test_an_answer_that_is_not_there_has_no_length() -> None:
    assert verdicts("len(answer) < 10", talk("Hi?", None)) == [None]


def test_the_keeper_of_duplicates_is_the_row_that_stands_for_itself() -> None:
    keeper = talk(id="a", dedup={"keeper_id": "a", "nn_distance": 0.0})
    copy = talk(id="b", dedup={"keeper_id": "a", "nn_distance": 0.0})
    assert verdicts("dup.keeper", keeper, copy) == [True, False]
    assert verdicts("dup.distance > 0", keeper, copy) == [False, False]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "missing|expected"),
        ("qualty >= good", "did you mean quality"),
        ("quality >= goood", "did you mean good"),
        ("quality >=", "the end"),
        ("category > Math", "no order"),
        ("quality >= good and and reward > 1", "character 21"),
        ("len(answer) > 5 )", "not expected"),
        ("lenn(answer) > 5", "did you mean len"),
        ("len(answer, 5) > 5", "takes text"),
        ("reward > 1; import os", "';' has no meaning"),
        ("__import__('os')", "no function"),
        ("top 0 by len(answer)", "at least 1"),
        ("top 5", "expected `by`"),
        ("quality >= good then", "top N by"),
        ("(" * 60 + "true" + ")" * 60, "nested"),
        ("true and " * 2000 + "true", "characters"),
    ],
)
def test_a_mistake_is_told_with_its_place(expression: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_program(expression)


@pytest.mark.parametrize("expression", ["len(answer)", "instruction > 5", "instruction < 'a'", "len(reward) > 1"])
def test_kinds_that_do_not_fit_are_refused(expression: str) -> None:
    with pytest.raises(ConfigError):
        one(expression, reward=1.0)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(AgoraError):
        parse_program(text)


KNOWN = st.sampled_from([*QUALITY.values, None])
NUMBERS = st.none() | st.floats(-20, 5)


@st.composite
def conditions(draw: Any, depth: int = 0) -> tuple[str, Any]:
    """An expression and a function of a row's values that decides it by Kleene's tables, written apart."""
    kind = draw(st.sampled_from(["label", "number", "not", "and", "or"] if depth < 3 else ["label", "number"]))
    if kind == "label":
        word, op = draw(st.sampled_from(QUALITY.values)), draw(st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]))
        rank = QUALITY.values.index(word)
        ops = {"<": int.__lt__, "<=": int.__le__, "==": int.__eq__, "!=": int.__ne__, ">=": int.__ge__, ">": int.__gt__}
        return f"quality {op} {word}", lambda q, r: None if q is None else ops[op](QUALITY.values.index(q), rank)
    if kind == "number":
        bound = draw(st.integers(-20, 5))
        return f"reward > {bound}", lambda q, r: None if r is None else r > bound
    left, first = draw(conditions(depth + 1))
    if kind == "not":
        return f"not ({left})", lambda q, r: None if (v := first(q, r)) is None else not v
    right, second = draw(conditions(depth + 1))

    def both(q: Any, r: Any) -> bool | None:
        values = [first(q, r), second(q, r)]
        decisive = kind == "or"
        if decisive in values:
            return decisive
        return None if None in values else not decisive

    return f"({left}) {kind} ({right})", both


@settings(deadline=None)
@given(conditions(), st.lists(st.tuples(KNOWN, NUMBERS), min_size=1, max_size=8))
def test_three_valued_logic_agrees_with_its_tables(condition: tuple[str, Any], values: list[tuple[Any, Any]]) -> None:
    text, decide = condition
    rows = [talk(**({"quality": q} if q else {}), **({} if r is None else {"reward": r})) for q, r in values]
    # in parentheses, so that it is one clause
    assert verdicts(f"({text})", *rows) == [decide(q, r) for q, r in values]


@pytest.mark.parametrize("scale", [QUALITY, DIFFICULTY, CATEGORY])
@settings(deadline=None)
@given(data=st.data())
def test_a_label_is_known_in_any_case_and_dress(scale: Any, data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(scale.values))
    dress = data.draw(st.sampled_from(["{}", " {} ", '"{}"', "[{}]", "**{}**", "{}.", "<{}>", "({}),"]))
    case = data.draw(st.sampled_from([str.upper, str.lower, str.title]))
    assert scale.match(dress.format(case(value))) == value
    assert scale.match(value + " not") is None
