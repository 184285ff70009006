"""Families of arithmetic and number sense."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

from agora.microcosm.world.facts import Facts
from agora.microcosm.world.families.base import FULL_SENTENCE, ON_TOPIC, Family, Task, essential, nice, one_of
from agora.microcosm.world.grammar import joined, split_list
from agora.microcosm.world.lexicon import words_in
from agora.microcosm.world.templates import Slots, Template


def _off_by_some(right: int) -> Callable[[random.Random], int]:
    return lambda rng: right + rng.choice([1, 2, 3, 10] if right < 3 else [1, -1, 2, -2, 10])


def _number_task(difficulty: str, sentence: str, right: int, *also: str) -> Task:
    """A task whose answer is one number; `sentence` has `{n}` where it stands."""
    wrong = _off_by_some(right)
    return Task(
        difficulty,
        one_of([sentence.format(n=right), *(text.format(n=right) for text in also)]),
        lambda rng: sentence.format(n=wrong(rng)),
        (
            essential(f"Is the result {right}?", "equals_number", str(right)),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        str(right),
    )


def _draw_pair(rng: random.Random) -> tuple[int, int]:
    top = rng.choice((9, 9, 20, 60))
    return rng.randint(1, top), rng.randint(1, top)


def _draw_sum(facts: Facts, rng: random.Random) -> dict[str, str]:
    if rng.random() < 0.2:
        a, b, c = (rng.randint(1, 9) for _ in range(3))
        return {"a": str(a), "b": str(b), "c": str(c), "terms": "3"}
    a, b = _draw_pair(rng)
    return {"a": str(a), "b": str(b), "terms": "2"}


def _solve_sum(facts: Facts, slots: Slots) -> Task | None:
    a, b, c = int(slots["a"]), int(slots["b"]), slots.get("c")
    if c:
        return _number_task("hard", f"{a} + {b} + {c} = {{n}}.", a + b + int(c))
    level = "easy" if max(a, b) < 10 else "medium" if a + b < 100 else "hard"
    return _number_task(level, f"{a} + {b} = {{n}}.", a + b, f"The sum of {a} and {b} is {{n}}.")


def _draw_difference(facts: Facts, rng: random.Random) -> dict[str, str]:
    a, b = sorted(_draw_pair(rng), reverse=True)
    return {"a": str(a), "b": str(b)}


def _solve_difference(facts: Facts, slots: Slots) -> Task | None:
    a, b = int(slots["a"]), int(slots["b"])
    if b > a:
        return None
    level = "easy" if a < 10 else "medium" if a < 100 else "hard"
    return _number_task(level, f"{a} - {b} = {{n}}.", a - b)


def _draw_largest(facts: Facts, rng: random.Random) -> dict[str, str]:
    length, top = rng.choice(((2, 20), (2, 99), (3, 30), (3, 99), (4, 99)))
    values = rng.sample(range(1, top + 1), length)
    return {"values": joined([str(value) for value in values]), "which": rng.choice(("largest", "smallest"))}


def _solve_largest(facts: Facts, slots: Slots) -> Task | None:
    values = [int(value) for value in split_list(slots["values"])]
    if len(set(values)) != len(values) or not 2 <= len(values) <= 6:
        return None
    which = slots["which"]
    right = max(values) if which == "largest" else min(values)
    others = [value for value in values if value != right]
    level = {2: "easy", 3: "medium"}.get(len(values), "hard")
    return Task(
        level,
        one_of([f"The {which} number is {right}.", f"{right} is the {which} number."]),
        lambda rng: f"The {which} number is {rng.choice(others)}.",
        (
            essential(f"Does the answer give {right} as the {which} number?", "mentions", str(right)),
            essential("Does it leave out the other numbers?", "omits", *map(str, others)),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        str(right),
    )


def _draw_neighbor(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"a": str(rng.randint(1, rng.choice((20, 99, 250)))), "side": rng.choice(("after", "before"))}


def _solve_neighbor(facts: Facts, slots: Slots) -> Task | None:
    a, side = int(slots["a"]), slots["side"]
    if a == 0:
        return None
    right = a + 1 if side == "after" else a - 1
    return _number_task("easy" if a < 100 else "medium", f"The number {side} {a} is {{n}}.", right)


def _draw_parity(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"a": str(rng.randint(1, rng.choice((20, 99, 999))))}


def _solve_parity(facts: Facts, slots: Slots) -> Task | None:
    a = int(slots["a"])
    right, wrong = ("even", "odd") if a % 2 == 0 else ("odd", "even")
    return Task(
        "easy" if a < 100 else "medium",
        lambda rng: f"{a} is {right}.",
        lambda rng: f"{a} is {wrong}.",
        (
            essential(f"Does the answer say that {a} is {right}, not {wrong}?", "picks", right, wrong),
            nice("Does it leave out the other choice?", "omits", wrong),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        right,
    )


def _draw_series(facts: Facts, rng: random.Random) -> dict[str, str]:
    step = rng.choice((1, 2, 2, 3, 5, 10, -1, -2))
    start = rng.randint(1, 30) if step > 0 else rng.randint(12, 40)
    return {"series": ", ".join(str(start + step * index) for index in range(4))}


def _solve_series(facts: Facts, slots: Slots) -> Task | None:
    values = [int(value) for value in slots["series"].split(", ")]
    steps = {b - a for a, b in itertools.pairwise(values)}
    if len(steps) != 1 or steps == {0} or min(values) < 0:
        return None
    step = steps.pop()
    right = values[-1] + step
    if right < 0:
        return None
    level = "easy" if abs(step) == 1 else "medium" if step in (2, -2, 5, 10) else "hard"
    return _number_task(level, "The next number is {n}.", right, "{n} comes next.")


_COUNTED = words_in("apples pears coins books eggs cups lamps hats stones shells cards buttons")


def _draw_doubling(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"a": str(rng.randint(2, rng.choice((10, 30)))), "things": rng.choice(_COUNTED)}


def _solve_doubling(facts: Facts, slots: Slots) -> Task | None:
    a, things = int(slots["a"]), slots["things"]
    if things not in _COUNTED or a < 2:
        return None
    return _number_task("medium" if a <= 10 else "hard", f"Twice as many {things} is {{n}} {things}.", 2 * a)


FAMILIES = (
    Family(
        "sum",
        "Math",
        ("easy", "medium", "hard"),
        (
            Template("What is {a:number} + {b:number}?", terms="2"),
            Template("Add {a:number} and {b:number}.", terms="2"),
            Template("What is the sum of {a:number} and {b:number}?", terms="2"),
            Template("Calculate {a:number} + {b:number}.", terms="2"),
            Template("What is {a:number} + {b:number} + {c:number}?", terms="3"),
            Template("Calculate {a:number} + {b:number} + {c:number}.", terms="3"),
        ),
        _draw_sum,
        _solve_sum,
        count=4 * 60 * 60 + 2 * 9**3,
        weight=1.2,
        drills=("{answer}",),
    ),
    Family(
        "difference",
        "Math",
        ("easy", "medium"),
        (
            Template("What is {a:number} - {b:number}?"),
            Template("Subtract {b:number} from {a:number}."),
            Template("Calculate {a:number} - {b:number}."),
            Template("How much is {a:number} minus {b:number}?"),
        ),
        _draw_difference,
        _solve_difference,
        count=4 * 60 * 61 // 2,
        drills=("{answer}",),
    ),
    Family(
        "largest_number",
        "Math",
        ("easy", "medium", "hard"),
        tuple(
            Template(text.replace("WHICH", which), which=which)
            for which in ("largest", "smallest")
            for text in (
                "Which number is the WHICH: {values:numbers}?",
                "Find the WHICH of these numbers: {values:numbers}.",
                "Which of {values:numbers} is the WHICH number?",
                "Tell me the WHICH number among {values:numbers}.",
            )
        ),
        _draw_largest,
        _solve_largest,
        count=8 * 99 * 98 // 2,
        drills=("{which} of {values}: {short}", "Numbers: {values}. {answer}", "{values} ({which}): {short}"),
    ),
    Family(
        "neighbor_number",
        "Math",
        ("easy", "medium"),
        tuple(
            Template(text.replace("SIDE", side), side=side)
            for side in ("after", "before")
            for text in (
                "Which number comes right SIDE {a:number}?",
                "What number is just SIDE {a:number}?",
                "Name the number that comes SIDE {a:number}.",
            )
        ),
        _draw_neighbor,
        _solve_neighbor,
        count=6 * 250,
        weight=0.5,
        drills=("{answer}", "{side} {a}: {short}"),
    ),
    Family(
        "even_or_odd",
        "Math",
        ("easy", "medium"),
        (
            Template("Is {a:number} even or odd?"),
            Template("Tell me whether {a:number} is an even or an odd number."),
            Template("Is the number {a:number} odd or even?"),
        ),
        _draw_parity,
        _solve_parity,
        count=3 * 999,
        weight=0.6,
        drills=("{answer}", "{a}: {short}"),
    ),
    Family(
        "next_in_series",
        "Math",
        ("easy", "medium", "hard"),
        (
            Template("What number comes next: {series:series}?"),
            Template("Continue the series with one number: {series:series}."),
            Template("Which number follows in the series {series:series}?"),
        ),
        _draw_series,
        _solve_series,
        count=3 * (6 * 30 + 2 * 28),
        weight=0.5,
        drills=("{series}, {short}", "Series: {series}. {answer}"),
    ),
    Family(
        "twice_as_many",
        "Math",
        ("medium", "hard"),
        (
            Template("What is twice as many as {a:number} {things:word}?"),
            Template("I have {a:number} {things:word} and want twice as many. How many {things:word} is that?"),
            Template("Double the number of {things:word}: {a:number} {things:word}."),
        ),
        _draw_doubling,
        _solve_doubling,
        count=3 * 30 * len(_COUNTED),
        weight=0.5,
        drills=("{answer}", "Twice {a} is {short}."),
    ),
)
