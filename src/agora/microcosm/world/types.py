"""The records of the world: an exercise, its checklist and the result of checking an answer."""

from __future__ import annotations

from dataclasses import dataclass

#: WildBench's twelve task categories.
CATEGORIES: tuple[str, ...] = (
    "Information seeking",
    "Reasoning",
    "Planning",
    "Editing",
    "Coding & Debugging",
    "Math",
    "Role playing",
    "Data Analysis",
    "Creative Writing",
    "Advice seeking",
    "Brainstorming",
    "Others",
)

#: WildBench's five groups, each a union of categories.
GROUPS: dict[str, tuple[str, ...]] = {
    "Information/Advice seeking": ("Information seeking", "Advice seeking"),
    "Math & Data Analysis": ("Math", "Data Analysis"),
    "Planning & Reasoning": ("Reasoning", "Planning"),
    "Coding & Debugging": ("Coding & Debugging",),
    "Creative Tasks": ("Creative Writing", "Editing", "Brainstorming", "Role playing", "Others"),
}

GROUP_OF_CATEGORY: dict[str, str] = {category: group for group, members in GROUPS.items() for category in members}

DIFFICULTIES: tuple[str, ...] = ("easy", "medium", "hard")


@dataclass(frozen=True, slots=True)
class CheckItem:
    """One yes/no question about an answer, with the rule that settles it.

    Args:
        question: readable by a human judge, answered yes by a good answer.
        rule: name of a rule in `agora.microcosm.world.rules.RULES`.
        args: the rule's arguments, as text so that the item can be stored.
        essential: whether the answer is wrong without it.
    """

    question: str
    rule: str
    args: tuple[str, ...] = ()
    essential: bool = False


@dataclass(frozen=True, slots=True)
class Exercise:
    """An instruction whose correct answers are known.

    `id` is the BLAKE2b hash (16 hex digits) of the instruction; `reference` is one correct answer
    out of possibly many; `checklist` holds 3 to 6 items, the essential ones first.
    """

    id: str
    instruction: str
    reference: str
    family: str
    category: str
    group: str
    difficulty: str
    checklist: tuple[CheckItem, ...]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the checklist says of one answer: an outcome per item, correctness, and a score from 1 to 10."""

    passed: tuple[bool, ...]
    correct: bool
    score: int
