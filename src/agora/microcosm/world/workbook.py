"""Workbook pages: the skills of the families as exercises with answers, in wordings of their own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from agora.microcosm.world.families import FAMILIES, Family
from agora.microcosm.world.grammar import capitalized, is_name
from agora.microcosm.world.passages import Passage
from agora.microcosm.world.types import GROUP_OF_CATEGORY, GROUPS

if TYPE_CHECKING:
    from agora.microcosm.world.world import World

_GROUPED = tuple(
    tuple(family for family in FAMILIES.values() if GROUP_OF_CATEGORY[family.category] == group) for group in GROUPS
)
_WEIGHTS = tuple(tuple(family.weight for family in members) for members in _GROUPED)

_HEADINGS = (
    "Workbook.",
    "Lesson {n}.",
    "Exercises with answers.",
    "Page {n}.",
    "Homework.",
    "Practice.",
    "Test {n}.",
    "Notebook.",
)

#: How a question and its answer are written, by style.
_STYLES: tuple[str, ...] = (
    "Q: {question}\nA: {answer}",
    "Question {n}. {question}\nAnswer: {answer}",
    "Exercise {n}. {question}\nSolution: {answer}",
    "{n}. {question}\n{answer}",
    "Teacher: {question}\nStudent: {answer}",
    "{question}\n-> {answer}",
    '"{question}" the teacher asked.\n{answer}',
    "Task {n}: {question}\nResult: {answer}",
)

_MIN_WORDS, _MAX_WORDS = 30, 150


def write_page(world: World, rng: random.Random) -> Passage:
    """Write a page of 30 to 160 words: drills of one skill, or questions of one or several skills."""
    family = _draw_family(rng)
    if rng.random() < 0.5:
        wording = rng.choice(family.drills)
        draw: Callable[[int], tuple[str, str]] = lambda n: _drill(world, family, wording, rng)  # noqa: E731
        about = family.name.replace("_", " ")
    else:
        style = rng.choice(_STYLES)
        mixed = rng.random() < 0.5
        draw = lambda n: _question(world, _draw_family(rng) if mixed else family, style, n, rng)  # noqa: E731
        about = "several skills" if mixed else family.name.replace("_", " ")
    target = rng.randint(_MIN_WORDS + 10, _MAX_WORDS - 40)
    items: list[str] = []
    shorts: list[str] = []
    num_words = 0
    heading = rng.choice(_HEADINGS).format(n=rng.randint(1, 40)) if rng.random() < 0.5 else ""
    while num_words < max(target, _MIN_WORDS) and len(items) < 30:
        item, short = draw(len(items) + 1)
        length = len(item.split())
        if num_words >= _MIN_WORDS and num_words + length > _MAX_WORDS:
            break
        items.append(item)
        shorts.append(short)
        num_words += length
    text = "\n".join([heading, *items] if heading else items)
    return Passage(text, tuple(dict.fromkeys(shorts)), f"This is a workbook page on {about}.", "workbook", None)


def _draw_family(rng: random.Random) -> Family:
    index = rng.randrange(len(_GROUPED))
    return rng.choices(_GROUPED[index], _WEIGHTS[index])[0]


def _drill(world: World, family: Family, wording: str, rng: random.Random) -> tuple[str, str]:
    while True:
        slots = family.draw(world.facts, rng)
        template = next(template for template in family.templates if template.suits(slots))
        task = family.solve(world.facts, {name: slots[name] for name in template.slots} | template.fixed)
        if task is not None:
            answer = task.answers(rng)
            line = wording.format(**slots, answer=answer, short=task.short)
            # code keeps its own case
            text = line if family.category == "Coding & Debugging" else capitalized(line)
            return text, task.short if task.short in text else answer


def _question(world: World, family: Family, style: str, n: int, rng: random.Random) -> tuple[str, str]:
    while True:
        exercise = next(world.exercises(rng, 1, split="train", families=[family.name]))
        # a question that begins with a table or premises may contain a shorter, held-out one
        if not is_name(exercise.instruction.split(" ", 1)[0]):
            break
    return style.format(n=n, question=exercise.instruction, answer=exercise.reference), exercise.reference
