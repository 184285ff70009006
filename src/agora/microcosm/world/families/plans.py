"""Families of planning: put appointments and steps in order, find a common time."""

from __future__ import annotations

import random
import re

from agora.microcosm.world.facts import Facts
from agora.microcosm.world.families.base import FULL_SENTENCE, ON_TOPIC, Family, Task, essential, nice
from agora.microcosm.world.grammar import is_name, joined, split_list
from agora.microcosm.world.lexicon import NAMES, words_in
from agora.microcosm.world.templates import Slots, Template

EVENTS = words_in(
    "swim lunch music dinner tea school work chess shopping painting tennis choir reading cleaning cooking "
    "football class gardening dancing supper "
)

#: Things to do, each with its steps in the only sensible order.
PROCESSES: dict[str, tuple[str, ...]] = {
    "make tea": ("boil the water", "pour it over the leaves", "drink the tea"),
    "send a letter": ("write the letter", "put on a stamp", "take it to the post office"),
    "bake bread": ("mix the flour and water", "let the dough rise", "bake the dough", "cut the bread"),
    "plant a tree": ("dig a hole", "set the tree in it", "water the roots"),
    "wash the dishes": ("fill the sink", "scrub the plates", "dry the plates"),
    "make a salad": ("wash the leaves", "cut the tomatoes", "add the oil", "serve the salad"),
    "paint a wall": ("clean the wall", "open the paint", "paint the wall", "let the paint dry"),
    "catch a fish": ("walk to the river", "throw the line", "pull out the fish"),
    "take a train": ("buy a ticket", "get on the train", "get off at the station"),
    "cook soup": ("cut the onions", "boil the soup", "taste the soup", "fill the bowls"),
    "fly a kite": ("find a windy hill", "let the kite rise", "roll up the string"),
    "borrow a book": ("go to the library", "choose a book", "read the book", "return the book"),
    "grow beans": ("sow the beans", "water the plants", "pick the beans"),
    "light a lamp": ("fill the lamp with oil", "strike a match", "light the wick"),
    "make a cake": ("mix the eggs and sugar", "pour it in a pan", "bake the cake", "eat the cake"),
    "wash a shirt": ("wet the shirt", "rub it with soap", "rinse it", "hang it up"),
}
_PROCESS_OF_STEPS = {frozenset(steps): steps for steps in PROCESSES.values()}

_EVENT = re.compile(r"([a-z]+) at (\d{1,2})")


def _sequence(steps: list[str]) -> str:
    """Write steps in order: "First a, then b, and last c"."""
    if len(steps) == 2:
        return f"First {steps[0]}, then {steps[1]}."
    middle = [f"then {step}" for step in steps[1:-1]]
    return f"First {', '.join([steps[0], *middle])}, and last {steps[-1]}."


def _shuffled(rng: random.Random, steps: list[str]) -> list[str]:
    while (mixed := rng.sample(steps, len(steps))) == steps:
        pass
    return mixed


def _draw_day(facts: Facts, rng: random.Random) -> dict[str, str]:
    size = rng.choice((2, 3, 3, 4))
    hours = rng.sample(range(7, 22), size)
    events = rng.sample(EVENTS, size)
    items = [f"{event} at {hour}" for event, hour in zip(events, hours, strict=True)]
    return {"items": joined(items), "name": rng.choice(NAMES)}


def _solve_day(facts: Facts, slots: Slots) -> Task | None:
    hours: dict[str, int] = {}
    for part in split_list(slots["items"]):
        match = _EVENT.fullmatch(part)
        if not match or match[1] not in EVENTS or match[1] in hours or str(int(match[2])) != match[2]:
            return None
        hours[match[1]] = int(match[2])
    if not 2 <= len(hours) <= 5 or len(set(hours.values())) != len(hours) or max(hours.values()) > 24:
        return None
    if not is_name(slots.get("name", NAMES[0])):
        return None
    ordered = sorted(hours, key=hours.__getitem__)
    items = [f"{event} at {hours[event]}" for event in ordered]
    return Task(
        {2: "easy", 3: "medium"}.get(len(items), "hard"),
        lambda rng: _sequence(items),
        lambda rng: _sequence(_shuffled(rng, items)),
        (
            essential("Are all events there, each once, from early to late?", "in_order", *ordered),
            nice("Does each event stand with its own time?", "mentions", *items),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        ", ".join(items),
    )


def _draw_steps(facts: Facts, rng: random.Random) -> dict[str, str]:
    goal, steps = rng.choice(tuple(PROCESSES.items()))
    mixed = _shuffled(rng, list(steps))
    return {"goal": goal, "steps": ", ".join(mixed), "name": rng.choice(NAMES)}


def _solve_steps(facts: Facts, slots: Slots) -> Task | None:
    given = slots["steps"].split(", ")
    steps = _PROCESS_OF_STEPS.get(frozenset(given))
    if steps is None or len(given) != len(steps) or not is_name(slots.get("name", NAMES[0])):
        return None
    if "goal" in slots and PROCESSES.get(slots["goal"], steps) != steps:
        return None
    ordered = list(steps)
    return Task(
        "medium" if len(ordered) == 3 else "hard",
        lambda rng: _sequence(ordered),
        lambda rng: _sequence(_shuffled(rng, ordered)),
        (
            essential("Are all steps there, each once, in an order that works?", "in_order", *ordered),
            nice("Does the answer mark the order with first and last?", "mentions", "first", "last"),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        ", ".join(ordered),
    )


def _draw_plan(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"goal": rng.choice(tuple(PROCESSES)), "name": rng.choice(NAMES)}


def _solve_plan(facts: Facts, slots: Slots) -> Task | None:
    steps = PROCESSES.get(slots["goal"])
    if steps is None or not is_name(slots["name"]):
        return None
    ordered = list(steps)
    return Task(
        "medium",
        lambda rng: _sequence(ordered),
        lambda rng: _sequence(_shuffled(rng, ordered)),
        (
            essential("Does the answer give the needed steps in an order that works?", "in_order", *ordered),
            nice("Does the answer mark the order with first and last?", "mentions", "first", "last"),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        ", ".join(ordered),
    )


def _draw_meeting(facts: Facts, rng: random.Random) -> dict[str, str]:
    first, second = rng.sample(NAMES, 2)
    a, b, c, d = sorted(rng.sample(range(7, 23), 4))
    mine, yours = rng.choice((((a, c), (b, d)), ((b, d), (a, c)), ((a, d), (b, c)), ((b, c), (a, d))))
    names = {"first": first, "second": second}
    return names | {"a": str(mine[0]), "b": str(mine[1]), "c": str(yours[0]), "d": str(yours[1])}


def _solve_meeting(facts: Facts, slots: Slots) -> Task | None:
    a, b, c, d = (int(slots[key]) for key in "abcd")
    first, second = slots["first"], slots["second"]
    start, end = max(a, c), min(b, d)
    if not (is_name(first) and is_name(second)) or first == second or not (a < b <= 24 and c < d <= 24 and start < end):
        return None
    wrong_end = max(b, d) if b != d else end + 1
    wrong_start = min(a, c) if a != c else start - 1
    spans = (f"{start} to {end}", f"between {start} and {end}", f"{start} until {end}", f"{start}-{end}")
    return Task(
        "hard",
        lambda rng: f"{first} and {second} can meet from {start} to {end}.",
        lambda rng: (
            f"{first} and {second} can meet from "
            + rng.choice([f"{start} to {wrong_end}.", f"{wrong_start} to {end}."])
        ),
        (
            essential(f"Does the answer give the time from {start} to {end}?", "mentions_any", *spans),
            nice(f"Does it name {first} and {second}?", "mentions", first, second),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        f"{start} to {end}",
    )


FAMILIES = (
    Family(
        "order_the_day",
        "Planning",
        ("easy", "medium", "hard"),
        (
            Template("Put my day in order: {items:events}."),
            Template("Plan the day of {name:name} in order of time: {items:events}."),
            Template("I have {items:events}. What comes first, and what comes after?"),
            Template("Make a plan from early to late: {items:events}."),
        ),
        _draw_day,
        _solve_day,
        count=4 * 20 * 19 * 15 * 14,
        weight=1.2,
        drills=("{items}: {answer}", "In order of time: {short}.", "Day: {items}. Plan: {short}."),
    ),
    Family(
        "order_the_steps",
        "Planning",
        ("medium", "hard"),
        (
            Template("Put these steps in the right order: {steps:steps}."),
            Template("{name:name} wants to {goal:phrase}. Put the steps in order: {steps:steps}."),
            Template("How do I {goal:phrase}? Order these steps: {steps:steps}."),
        ),
        _draw_steps,
        _solve_steps,
        count=len(NAMES) * 200,
        drills=("How to {goal}: {answer}", "To {goal}: {short}.", "{answer}"),
    ),
    Family(
        "plan_a_task",
        "Planning",
        ("medium",),
        (
            Template("{name:name} wants to {goal:phrase}. List the steps in order."),
            Template("Write a short plan for {name:name} to {goal:phrase}."),
            Template("Tell {name:name} how to {goal:phrase}, step by step."),
        ),
        _draw_plan,
        _solve_plan,
        count=3 * len(NAMES) * len(PROCESSES),
        weight=0.8,
        drills=("Plan to {goal}: {answer}", "How does {name} {goal}? {answer}"),
    ),
    Family(
        "common_time",
        "Planning",
        ("hard",),
        (
            Template(
                "{first:name} is free from {a:number} to {b:number}. {second:name} is free from {c:number} to "
                "{d:number}. When can they meet?"
            ),
            Template(
                "Find a time for {first:name} and {second:name} to meet. {first:name} is free from {a:number} to "
                "{b:number} and {second:name} from {c:number} to {d:number}."
            ),
        ),
        _draw_meeting,
        _solve_meeting,
        count=2 * 60 * 59 * 100,
        weight=0.8,
        drills=("Free: {a} to {b} and {c} to {d}. Together: {short}.", "{answer}"),
    ),
)
