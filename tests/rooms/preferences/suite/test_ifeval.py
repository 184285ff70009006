"""IFEval: every kind of instruction, both strictnesses, and what cannot be checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.rooms.preferences.suite.ifeval import IfEval
from agora.rooms.preferences.suite.instructions import (
    CHECKS,
    KINDS,
    LANGUAGE,
    check_instruction,
    cleaned_variants,
    count_sentences,
)
from agora.rooms.preferences.suite.run import run_suite
from tests.rooms.preferences.suite.support import FunctionEngine, answered

L, F, K = "length_constraints:", "detectable_format:", "keywords:"
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    (f"{K}existence", {"keywords": ["River", "boat"]}, "A boat on the river.", "A boat on the lake."),
    (f"{K}frequency", {"keyword": "cat", "frequency": 2, "relation": "at least"}, "Cat and cat.", "One cat."),
    (f"{K}frequency", {"keyword": "cat", "frequency": 2, "relation": "less than"}, "One cat.", "Cat and cat."),
    (f"{K}forbidden_words", {"forbidden_words": ["bad"]}, "A badger.", "A bad thing."),
    (f"{K}letter_frequency", {"letter": "e", "let_frequency": 3, "let_relation": "at least"}, "Eerie.", "Fee."),
    (f"{L}number_sentences", {"num_sentences": 3, "relation": "less than"}, "One. Two!", "One. Two! Three?"),
    (f"{L}number_sentences", {"num_sentences": 2, "relation": "at least"}, "I met Dr. Wu. We ate.", "I met Dr. Wu."),
    (f"{L}number_paragraphs", {"num_paragraphs": 2}, "One\n***\nTwo", "One\n\nTwo"),
    (f"{L}number_paragraphs", {"num_paragraphs": 2}, "***\nOne\n***\nTwo", "One\n***\n***\nTwo"),
    (f"{L}number_words", {"num_words": 4, "relation": "at least"}, "one two, three four", "one two three"),
    (
        f"{L}nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "So"},
        "One.\n\n'So, two.",
        "So one.\n\nTwo.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] at [place]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Hi.\nP. S. Bye.", "Hi. PS bye."),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Hi.\nP.P.S Bye.", "Hi.\nP.S. Bye."),
    (f"{F}number_bullet_lists", {"num_bullets": 2}, "* one\n- two", "* one\n** two"),
    (f"{F}constrained_response", {}, "My answer is maybe.", "Maybe."),
    (f"{F}number_highlighted_sections", {"num_highlights": 2}, "*one* and *two*", "*one* and **"),
    (
        f"{F}multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1\nx\nSECTION 2\ny",
        "SECTION 1\nx\nsection 2",
    ),
    (f"{F}json_format", {}, '```JSON\n{"a": [1]}\n```', "{'a': 1}"),
    (f"{F}title", {}, "<<Spring>>\nIt is.", "<< >>\nIt is."),
    ("combination:two_responses", {}, "One\n******\nTwo", "One\n******\nOne"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say Hi"}, "say hi\nHi!", "Hi! Say Hi"),
    ("startend:end_checker", {"end_phrase": "The end."}, 'And so. the END."', "The end. No"),
    ("startend:quotation", {}, '"All of it"', '"All of it'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "STOP it NOW.",
        "STOP It Now.",
    ),
    ("change_case:english_capital", {}, "ALL OF IT, 5!", "ALL OF it"),
    ("change_case:english_lowercase", {}, "all of it, 5!", "all of It"),
    ("punctuation:no_comma", {}, "No such thing.", "Well, one."),
]


@pytest.mark.parametrize(("kind", "arguments", "good", "bad"), CASES)
def test_kind_tells_followed_from_not_followed(kind: str, arguments: dict[str, Any], good: str, bad: str) -> None:
    assert check_instruction(kind, good, arguments) is True
    assert check_instruction(kind, bad, arguments) is False


def test_all_published_kinds_are_known_and_tested() -> None:
    assert len(KINDS) == 25
    assert {case[0] for case in CASES} == set(CHECKS) == KINDS - {LANGUAGE}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_empty_response_follows_nothing(case: tuple[str, dict[str, Any], str, str]) -> None:
    assert check_instruction(case[0], " \n", case[1]) is False


@given(st.text(max_size=80))
def test_any_response_can_be_checked(text: str) -> None:
    for kind, arguments, _, _ in CASES:
        assert check_instruction(kind, text, arguments) in (True, False)


def test_language_is_unknown_without_a_detector() -> None:
    assert check_instruction(LANGUAGE, "Hallo", {"language": "de"}) is None
    assert check_instruction(LANGUAGE, "Hallo", {"language": "de"}, detect=lambda text: "de") is True
    assert check_instruction(LANGUAGE, "Hallo", {"language": "de"}, detect=lambda text: "fr") is False
    assert check_instruction(LANGUAGE, "Hallo", {"language": "de"}, detect=lambda text: None) is None


def test_variants_are_the_eight_cleaned_ones() -> None:
    assert cleaned_variants("Sure:\n*a*\nBye") == [
        "Sure:\n*a*\nBye",
        "*a*\nBye",
        "Sure:\n*a*",
        "*a*",
        "Sure:\na\nBye",
        "a\nBye",
        "Sure:\na",
        "a",
    ]


@pytest.mark.parametrize(
    ("text", "n"),
    [("", 0), ("One", 1), ("One. Two", 2), ("Mr. Bo et al. left! Why?", 3), ("3.5 is it...", 1), ("好。是！", 2)],
)
def test_sentences_are_counted(text: str, n: int) -> None:
    assert count_sentences(text) == n


def rows(*instructions: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {
            "key": 1000 + i,
            "prompt": f"Prompt {i}",
            "instruction_id_list": [kind for kind, _ in pairs],
            "kwargs": [{"unused": None, **arguments} for _, arguments in pairs],
        }
        for i, pairs in enumerate(instructions)
    ]


def make(path: Path, data: list[dict[str, Any]], **options: Any) -> IfEval:
    path.write_text("".join(json.dumps(row) + "\n" for row in data), encoding="utf-8")
    return IfEval(path, **options)


NO_COMMA, TITLE = ("punctuation:no_comma", {}), ("detectable_format:title", {})
GERMAN = (LANGUAGE, {"language": "de"})


def test_prompt_is_followed_when_all_its_instructions_are(tmp_path: Path) -> None:
    test = make(tmp_path / "ifeval.jsonl", rows([NO_COMMA, TITLE], [NO_COMMA]))
    replies = {"Prompt 0": "Well, here:\n<<Spring>>\nIt is.", "Prompt 1": "Well, no."}
    report = run_suite(FunctionEngine(replies.__getitem__), [test], tmp_path / "run")
    first, second = report.results()
    assert (first.score, first.meta["prompt_strict"]) == (1.0, False)  # loose: without its first line
    assert (second.score, second.prediction) == (0.0, "0 of 1 followed")
    figures = report.by_test["ifeval"]
    assert figures.figure.value == 50.0
    assert figures.more == {
        "prompt strict": 0.0,
        "instruction strict": pytest.approx(100 / 3),
        "instruction loose": pytest.approx(200 / 3),
    }


def test_what_cannot_be_checked_is_missing_and_never_passed(tmp_path: Path) -> None:
    test = make(tmp_path / "ifeval.jsonl", rows([GERMAN, NO_COMMA], [GERMAN, NO_COMMA]))
    replies = {"Prompt 0": "Hallo", "Prompt 1": "Ja, hallo"}
    report = run_suite(FunctionEngine(replies.__getitem__), [test], tmp_path / "run")
    first, second = report.results()
    assert (first.status, first.score) == ("missing", None)
    assert "response_language" in first.meta["error"]
    assert (second.status, second.score) == ("ok", 0.0)  # failed whatever its language is
    assert report.by_test["ifeval"].figure.missing == 1


def test_a_detector_makes_the_language_checkable(tmp_path: Path) -> None:
    test = make(tmp_path / "ifeval.jsonl", rows([GERMAN]), detect=lambda text: "de")
    assert test.score(answered(test.items()[0], "Hallo")).score == 1.0


@pytest.mark.parametrize(
    ("kind", "arguments", "what"),
    [
        ("punctuation:no_semicolon", {}, "unknown kind"),
        (f"{L}number_words", {"num_words": 4}, "relation"),
        (f"{L}number_words", {"num_words": "four", "relation": "at least"}, "whole number"),
        (f"{K}existence", {"keywords": "cat"}, "list of texts"),
        (f"{K}frequency", {"keyword": "cat", "frequency": 2, "relation": "around"}, "at least"),
    ],
)
def test_bad_instruction_is_named_before_the_model_is_asked(
    tmp_path: Path, kind: str, arguments: dict[str, Any], what: str
) -> None:
    with pytest.raises(DataError, match=f"ifeval.jsonl:1.*{what}"):
        make(tmp_path / "ifeval.jsonl", rows([(kind, arguments)])).items()


def test_lists_of_different_length_are_refused(tmp_path: Path) -> None:
    data = rows([NO_COMMA])
    data[0]["kwargs"] = []
    with pytest.raises(DataError, match="1 instructions with 0"):
        make(tmp_path / "ifeval.jsonl", data).items()
