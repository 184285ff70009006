"""The recognizer: it accepts every well-posed instruction and refuses the rest."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.microcosm.world import World, recognize
from tests.examples import examples

WORLD = World(seed=0)
COUNTRY = WORLD.countries[0]


@pytest.mark.parametrize(
    ("instruction", "reference"),
    [
        ("What is 731 + 112?", "731 + 112 = 843."),
        ("Which number is the largest: 900, 3, 44, 45 and 899?", "The largest number is 900."),
        ("Sort the words zebra, yak and lynx from A to Z.", "In order: lynx, yak, zebra."),
        ("Rewrite this sentence in the past tense: Zoe drives to the harbor before dinner.", "Zoe drove to the harbor"),
        ("What does print(12 + 34) print?", "It prints 46."),
        ("Is a heron a mammal or a bird?", "A heron is a bird."),
        ("Turn this sentence into a question: The owl is late.", "Is the owl late?"),
        ("Put my day in order: tea at 23, choir at 22 and lunch at 6.", "First lunch at 6, then choir at 22, and last"),
    ],
)
def test_unseen_values_are_recognized_and_solved(instruction: str, reference: str) -> None:
    exercise = recognize(instruction)
    assert exercise is not None
    answer = exercise.reference
    assert reference in answer or "largest" in answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello there!",
        "What is the capital of Atlantis?",
        f"What is the capital of {COUNTRY.name.lower()}?",
        "Which country has Paris as its capital?",
        "Sort the words apple from A to Z.",
        "Sort the words apple, apple and pear from A to Z.",
        "Which number is the largest: seven and four?",
        "Which number is the largest: 4 and 4?",
        "Subtract 9 from 4.",
        "What number comes next: 1, 5, 2, 9?",
        "Ana is taller than Ben. Cora is taller than Dan. Who is the tallest?",
        "Ana is taller than Ben. Ben is taller than Ana. Who is the tallest?",
        "Ana is taller than Ben. Who is the oldest?",
        "Ana sold 5 apples and Ben sold 5 apples. Who sold the most apples?",
        "Ana sold 5 apples and Ben sold 9 apples. How many apples did Cora sell?",
        "Ana sold 5 apples and Ben sold 9 apples. How many pears did Ben sell?",
        "I have 2 coins. The shop has a drum for 5 coins and a kite for 9 coins. What should I buy?",
        "Find the odd one out: heron, hammer, tea and red.",
        "Is a hammer a bird or a fish?",
        "Is a apple a fruit or a tool?",
        "Ana is free from 9 to 10. Ben is free from 11 to 12. When can they meet?",
        "Name five metals, but not apple.",
        "Rewrite this sentence in the past tense: Ana walked to the market.",
        "Replace the word kite with lamp: Ana found a red ball near the mill.",
        "Remove the repeated word: Ana walked to the market.",
        "Fix this line of Python: import os",
        "What does print(open('x').read()) print?",
        'What does print(["sun", "moon"][7]) print?',
        "You are a dragon in Veldora. Greet Ana.",
        "Write a story of two sentences about Ana and an kite.",
        "Summarize this note in one sentence: The sky was gray in the morning.",
    ],
)
def test_ill_posed_instructions_are_refused(text: str) -> None:
    assert recognize(text) is None


def test_spaces_around_and_within_do_not_matter() -> None:
    assert recognize("  What   is 2 + 2? ") == recognize("What is 2 + 2?")


@given(st.text(max_size=200))
@settings(max_examples=examples(200), deadline=None)
def test_any_text_is_recognized_or_refused_without_error(text: str) -> None:
    recognize(text)


@given(st.integers(0, 10**6), st.integers(0, 60), st.characters())
@settings(max_examples=examples(200), deadline=None)
def test_a_changed_instruction_is_refused_or_solved_as_it_stands(seed: int, place: int, letter: str) -> None:
    text = next(WORLD.exercises(random.Random(seed), 1)).instruction
    changed = text[:place] + letter + text[place + 1 :]
    exercise = recognize(changed)
    if exercise is not None:
        assert exercise.instruction == " ".join(changed.split())
        assert WORLD.check(exercise, exercise.reference).score == 10


def test_facts_belong_to_their_world() -> None:
    question = f"What is the capital of {COUNTRY.name}?"
    answers = {exercise.reference for seed in range(12) if (exercise := World(seed).recognize(question))}
    assert len(answers) > 3


def test_seeds_change_the_facts_and_nothing_else() -> None:
    first, second = World(0), World(1)
    assert first.countries != second.countries
    assert first.recognize("What is 2 + 3?") == second.recognize("What is 2 + 3?")


def test_every_fact_is_unique_to_its_country() -> None:
    for topic in COUNTRY.facts:
        values = [country.facts[topic] for country in WORLD.countries]
        assert len(set(values)) == len(values) == 40
