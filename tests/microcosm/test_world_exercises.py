"""Exercises: they are read back from their instruction, answered rightly, graded, spread and split as promised."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError, DataError
from agora.microcosm.world import CATEGORIES, FAMILIES, FLAWS, GROUPS, Exercise, World, check, is_held_out, recognize
from agora.microcosm.world.lexicon import NAMES
from agora.microcosm.world.types import DIFFICULTIES
from tests.examples import examples

WORLD = World(seed=0)
family_names = st.sampled_from(list(FAMILIES))
seeds = st.integers(0, 10**9)


def draw(seed: int, family: str | None = None, split: str = "all") -> Exercise:
    families = None if family is None else [family]
    return next(WORLD.exercises(random.Random(seed), 1, split=split, families=families))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exercise_is_rebuilt_from_its_instruction(family: str) -> None:
    for exercise in WORLD.exercises(random.Random(1), 40, split="all", families=[family]):
        assert WORLD.recognize(exercise.instruction) == exercise


@given(family_names, seeds)
@settings(max_examples=examples(150), deadline=None)
def test_any_drawn_exercise_is_rebuilt_from_its_instruction(family: str, seed: int) -> None:
    exercise = draw(seed, family)
    assert WORLD.recognize(exercise.instruction) == exercise
    assert exercise.family == family


@given(family_names, seeds)
@settings(max_examples=examples(150), deadline=None)
def test_references_and_answers_get_full_marks(family: str, seed: int) -> None:
    exercise = draw(seed, family)
    for answer in (exercise.reference, WORLD.answer(exercise, random.Random(seed))):
        result = check(exercise, answer)
        assert (result.correct, result.score) == (True, 10), (exercise.instruction, answer, result)


@given(family_names, seeds, st.sampled_from(FLAWS))
@settings(max_examples=examples(200), deadline=None)
def test_flawed_answers_score_lower(family: str, seed: int, flaw: str) -> None:
    exercise = draw(seed, family)
    assert check(exercise, WORLD.flawed_answer(exercise, random.Random(seed), flaw)).score < 10


@given(family_names, seeds)
@settings(max_examples=examples(150), deadline=None)
def test_wrong_answers_are_not_correct(family: str, seed: int) -> None:
    exercise = draw(seed, family)
    result = check(exercise, WORLD.flawed_answer(exercise, random.Random(seed), "wrong"))
    assert not result.correct
    assert result.score <= 4


@pytest.mark.parametrize("family", FAMILIES)
def test_checklists_are_short_and_start_with_what_is_essential(family: str) -> None:
    for exercise in WORLD.exercises(random.Random(2), 10, split="all", families=[family]):
        essentials = [item.essential for item in exercise.checklist]
        assert 3 <= len(exercise.checklist) <= 6
        assert essentials[0]
        assert essentials == sorted(essentials, reverse=True)
        assert all(item.question.endswith("?") for item in exercise.checklist)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_yields_the_difficulties_it_declares(family: str) -> None:
    for level in FAMILIES[family].levels:
        assert next(WORLD.exercises(random.Random(3), 1, families=[family], difficulty=level)).difficulty == level


def test_all_categories_groups_and_difficulties_occur() -> None:
    exercises = list(WORLD.exercises(random.Random(4), 2000, split="all"))
    assert {exercise.category for exercise in exercises} == set(CATEGORIES)
    assert {exercise.difficulty for exercise in exercises} == set(DIFFICULTIES)
    groups = Counter(exercise.group for exercise in exercises)
    assert set(groups) == set(GROUPS)
    assert min(groups.values()) > 300


def test_more_than_97_percent_of_drawn_instructions_are_distinct() -> None:
    instructions = [exercise.instruction for exercise in WORLD.exercises(random.Random(5), 2000, split="all")]
    assert len(set(instructions)) > 0.97 * len(instructions)


def test_instructions_and_answers_are_short() -> None:
    for exercise in WORLD.exercises(random.Random(6), 1000, split="all"):
        assert len(exercise.instruction.split()) <= 60
        assert len(exercise.reference.split()) <= 40


def test_one_family_alone_has_over_50_000_instructions() -> None:
    family = FAMILIES["greeting_card"]
    occasions = ["birthday", "wedding", "holiday", "exam", "journey", "new home", "new job"]
    texts = {
        template.fill({"sender": sender, "name": name, "occasion": occasion})
        for template in family.templates
        for sender in NAMES
        for name in NAMES
        for occasion in occasions
        if sender != name
    }
    assert len(texts) == family.count > 50_000
    assert WORLD.count_instructions() >= family.count
    assert all(recognize(text) for text in random.Random(7).sample(sorted(texts), 200))


@pytest.mark.parametrize("family", ["fact", "reverse_fact", "two_step_fact", "python_print", "weather_advice", "rhyme"])
def test_a_family_has_at_least_as_many_instructions_as_it_counts(family: str) -> None:
    rng = random.Random(8)
    found: set[str] = set()
    for _ in range(60_000):
        slots = FAMILIES[family].draw(WORLD.facts, rng)
        found.update(template.fill(slots) for template in FAMILIES[family].templates if template.suits(slots))
        if len(found) >= FAMILIES[family].count:
            return
    pytest.fail(f"found {len(found)} of {FAMILIES[family].count}")


def test_about_a_tenth_is_held_out() -> None:
    exercises = list(WORLD.exercises(random.Random(9), 3000, split="all"))
    share = sum(is_held_out(exercise.instruction) for exercise in exercises) / len(exercises)
    assert 0.08 < share < 0.12


def test_splits_keep_to_their_side() -> None:
    assert not any(is_held_out(e.instruction) for e in WORLD.exercises(random.Random(10), 500, split="train"))
    assert all(is_held_out(e.instruction) for e in WORLD.exercises(random.Random(10), 200, split="heldout"))


@given(seeds)
@settings(max_examples=examples(30), deadline=None)
def test_case_and_spaces_do_not_move_an_instruction_between_splits(seed: int) -> None:
    text = draw(seed).instruction
    assert is_held_out(text) == is_held_out(f"  {text.upper()} ") == is_held_out(text.replace(" ", "  "))


def test_the_same_seed_draws_the_same_exercises() -> None:
    first, second = (list(World(3).exercises(random.Random(11), 200)) for _ in range(2))
    assert first == second


def test_instructions_and_answers_are_good_english() -> None:
    for exercise in WORLD.exercises(random.Random(12), 1500, split="all"):
        for text in (exercise.instruction, exercise.reference):
            assert "  " not in text
            assert not re.search(r"\ba (?!a\b)[aeiou]|\ban [^aeiou]", text), text
        first = exercise.instruction[0]
        assert first.isupper()
        if exercise.group == "Coding & Debugging":
            continue
        assert exercise.instruction[-1] in ".?!"
        assert exercise.reference[0].isupper() or exercise.reference[0].isdigit()
        assert exercise.reference[-1] in ".?!"


def test_unknown_settings_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="heldout"):
        next(WORLD.exercises(random.Random(0), 1, split="test"))
    with pytest.raises(ConfigError, match="known: fact"):
        next(WORLD.exercises(random.Random(0), 1, families=["poetry"]))
    with pytest.raises(ConfigError, match="hard"):
        next(WORLD.exercises(random.Random(0), 1, families=["python_print"], difficulty="hard"))
    with pytest.raises(ConfigError, match="verbose"):
        WORLD.flawed_answer(draw(0), random.Random(0), "rude")


def test_an_exercise_of_another_world_is_refused() -> None:
    exercise = next(World(1).exercises(random.Random(0), 1, families=["fact"]))
    other = next(w for w in map(World, range(2, 40)) if w.recognize(exercise.instruction) is None)
    with pytest.raises(DataError, match="not an exercise"):
        other.answer(exercise, random.Random(0))
