"""What a family of exercises is made of."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agora.microcosm.world.facts import Facts
from agora.microcosm.world.templates import Slots, Template
from agora.microcosm.world.types import CheckItem


@dataclass(frozen=True, slots=True)
class Task:
    """An exercise that has been understood: how to answer it rightly, wrongly, and how to check.

    `answers` and `wrong` draw one answer each; `short` is the bare content of the answer.
    """

    difficulty: str
    answers: Callable[[random.Random], str]
    wrong: Callable[[random.Random], str]
    checks: tuple[CheckItem, ...]
    short: str


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of exercise.

    `draw` makes slots; `solve` understands them, and returns None where the task is ill-posed; `count` is a lower
    bound on the distinct instructions; `weight` is the share of its group; `drills` are workbook wordings of the same
    skill with the slots, `{answer}` and `{short}`.
    """

    name: str
    category: str
    levels: tuple[str, ...]
    templates: tuple[Template, ...]
    draw: Callable[[Facts, random.Random], dict[str, str]]
    solve: Callable[[Facts, Slots], Task | None]
    count: int
    weight: float = 1.0
    drills: tuple[str, ...] = ()


FULL_SENTENCE = CheckItem("Does the answer start with a capital letter and end with a final mark?", "full_sentence")
ON_TOPIC = CheckItem("Does the answer keep to what was asked and add nothing else?", "stays_on_topic")
WELL_FORMED = CheckItem("Is every sentence well formed, with a verb and with nouns after its articles?", "well_formed")
KNOWN_WORDS = CheckItem("Is the answer written in plain English words, without stray letters?", "known_words")
NO_REPEATS = CheckItem("Is the answer free of repeated sentences and phrases?", "no_repeats")


def essential(question: str, rule: str, *args: str) -> CheckItem:
    """An item that an answer must pass to be correct."""
    return CheckItem(question, rule, args, essential=True)


def nice(question: str, rule: str, *args: str) -> CheckItem:
    """An item that makes a correct answer better."""
    return CheckItem(question, rule, args)


def one_of(options: Sequence[str]) -> Callable[[random.Random], str]:
    """Draw among fixed answers; the first is the usual one and taken two times in three."""

    def draw(rng: random.Random) -> str:
        return options[0] if len(options) == 1 or rng.random() < 2 / 3 else rng.choice(options[1:])

    return draw


def other_than(rng: random.Random, options: Sequence[str], *avoid: str) -> str:
    """Draw an option that is none of those to avoid."""
    while (choice := rng.choice(options)) in avoid:
        pass
    return choice
