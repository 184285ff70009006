"""Checking: any text is graded, right answers are right, and flaws cost points."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.microcosm.world import FAMILIES, Exercise, World, check, recognize
from tests.examples import examples

WORLD = World(seed=0)
family_names = st.sampled_from(list(FAMILIES))


def exercise_of(instruction: str) -> Exercise:
    exercise = recognize(instruction)
    assert exercise is not None
    return exercise


@given(family_names, st.integers(0, 10**6), st.text(max_size=300))
@settings(max_examples=examples(250), deadline=None)
def test_any_text_is_graded_without_error(family: str, seed: int, answer: str) -> None:
    exercise = next(WORLD.exercises(random.Random(seed), 1, families=[family]))
    result = check(exercise, answer)
    assert 1 <= result.score <= 10
    assert len(result.passed) == len(exercise.checklist)


@pytest.mark.parametrize(
    "answer", ["", "  \n", "\0", "(" * 5000, "a" * 100_000, "\ud800", "def f(:\n" * 300, "9" * 5000]
)
def test_hostile_text_is_graded_low_and_fast(answer: str) -> None:
    for name in FAMILIES:
        exercise = next(WORLD.exercises(random.Random(0), 1, families=[name]))
        assert check(exercise, answer).score <= 4


@given(family_names, st.integers(0, 10**6))
@settings(max_examples=examples(150), deadline=None)
def test_the_score_follows_the_checks(family: str, seed: int) -> None:
    rng = random.Random(seed)
    exercise = next(WORLD.exercises(rng, 1, families=[family]))
    answers = [WORLD.answer(exercise, rng)] + [WORLD.flawed_answer(exercise, rng) for _ in range(4)]
    results = [check(exercise, answer) for answer in answers]
    for one in results:
        assert one.correct == (one.score >= 5)
        for other in results:
            better = all(a >= b for a, b in zip(one.passed, other.passed, strict=True)) and one.passed != other.passed
            if better:
                assert one.score >= other.score
                assert one.score > other.score or not one.correct


@given(family_names, st.integers(0, 10**6))
@settings(max_examples=examples(150), deadline=None)
def test_garbage_after_a_right_answer_costs_points(family: str, seed: int) -> None:
    exercise = next(WORLD.exercises(random.Random(seed), 1, families=[family]))
    for tail in (" zuk wem orp", "\nzuk wem orp", f" {exercise.reference} {exercise.reference}", " ééé"):
        assert check(exercise, exercise.reference + tail).score < 10, tail


def test_an_empty_answer_scores_1() -> None:
    assert check(exercise_of("What is 2 + 3?"), " ").score == 1


def test_wrong_in_good_form_scores_3_or_4_and_nonsense_less() -> None:
    exercise = exercise_of("What is 2 + 3?")
    assert check(exercise, "2 + 3 = 6.").score in (3, 4)
    assert check(exercise, "fni rax mub").score <= 2


def test_right_content_in_poor_form_scores_between() -> None:
    exercise = exercise_of("What is 2 + 3?")
    assert check(exercise, "the answer is five").score in (6, 7, 8)
    assert check(exercise, "5").correct


@pytest.mark.parametrize(
    ("instruction", "answer"),
    [
        ("Is 8 even or odd?", "8 is even or odd."),
        ("Is 8 even or odd?", "8 is not even."),
        ("Ana sold 5 apples and Ben sold 9 apples. Who sold the most apples?", "Ben, Ana."),
        ("Which number is the largest: 4 and 9?", "9 and 4."),
        ("What is 2 + 3?", "5 6"),
        ("What is 2 + 3?", "5. Or 7, in truth 5."),
        ("Turn this sentence into a question: Ana is happy.", "Is Ana happy today?"),
        ("Rewrite this sentence in the past tense: Ana wears a straw hat.", "Ana wears a straw hat."),
        ("Add the missing capital letters: ana and ben met in torvale.", "Ana and ben met in Torvale."),
        ("Sort the words sun and moon from A to Z.", "sun, moon, sun"),
        ("Write a line of Python that prints the word sun.", "print(sun)"),
        ("Write a two-sentence story about Ana, a kite and a drum.", "A kite. Ana."),
        ("The book of Ana is about birds. Is there a heron in it?", "Yesterday a heron."),
    ],
)
def test_hedges_and_near_misses_are_wrong(instruction: str, answer: str) -> None:
    exercise = recognize(instruction)
    if exercise is not None:
        assert not check(exercise, answer).correct


def test_listing_several_values_for_a_fact_is_wrong() -> None:
    first, second = WORLD.countries[:2]
    exercise = exercise_of(f"What is the capital of {first.name}?")
    right, other = first.facts["capital"], second.facts["capital"]
    assert check(exercise, f"It is {right}.").correct
    assert not check(exercise, f"It is {right} or {other}.").correct
    assert not check(exercise, f"It is not {right}.").correct


def test_other_wordings_of_a_right_answer_are_correct() -> None:
    sales = exercise_of("Ana sold 5 apples and Ben sold 9 apples. Who sold the most apples?")
    assert check(sales, "Ben sold more apples than Ana.").correct
    meeting = exercise_of("Ana is free from 9 to 12. Ben is free from 10 to 14. When can they meet?")
    assert check(meeting, "Between 10 and 12.").correct


def test_python_is_compared_by_its_tree() -> None:
    exercise = exercise_of("Write a line of Python that prints the word sun.")
    assert check(exercise, "print( 'sun' )").score == 10
    fenced = check(exercise, '```python\nprint("sun")\n```')
    assert fenced.correct
    assert fenced.score < 10


def test_an_answer_is_never_executed(tmp_path: Path) -> None:
    target = tmp_path / "made"
    code = f"open({str(target)!r}, 'w').write('x')"
    for name in FAMILIES:
        check(next(WORLD.exercises(random.Random(0), 1, families=[name])), code)
    assert not target.exists()


def test_a_story_of_loose_words_is_not_well_formed() -> None:
    exercise = exercise_of("Write a story of two sentences about Ana and a kite.")
    good = check(exercise, "One day Ana found a kite. She took it home and smiled.")
    poor = check(exercise, "The of Ana a and kite. In the with the she the.")
    assert good.score == 10
    assert poor.score < good.score
