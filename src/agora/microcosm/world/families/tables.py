"""Families that read a small table in text, sort numbers, or count."""

from __future__ import annotations

import random
import re

from agora.microcosm.world.facts import Facts
from agora.microcosm.world.families.base import FULL_SENTENCE, ON_TOPIC, Family, Task, essential, nice, one_of
from agora.microcosm.world.grammar import is_name, joined, split_list
from agora.microcosm.world.lexicon import DAYS, GOODS, NAMES
from agora.microcosm.world.templates import Slots, Template

_ROW = re.compile(r"([A-Z][a-z]+) sold (\d{1,3}) ([a-z]+)")


def _draw_rows(rng: random.Random, sizes: tuple[int, ...], top: int) -> tuple[list[tuple[str, int]], str]:
    size = rng.choice(sizes)
    names = rng.sample(NAMES, size)
    counts = rng.sample(range(2, top + 1), size)
    return list(zip(names, counts, strict=True)), rng.choice(GOODS)


def _write_rows(rows: list[tuple[str, int]], goods: str) -> str:
    return joined([f"{name} sold {count} {goods}" for name, count in rows]) + "."


def _read_rows(text: str) -> tuple[dict[str, int], str] | None:
    """Read "Ana sold 5 apples, Ben sold 9 apples and Cora sold 2 apples."; None unless 2 to 5 distinct sellers."""
    rows: dict[str, int] = {}
    goods = set()
    for part in split_list(text[:-1]):
        match = _ROW.fullmatch(part)
        if not match or not is_name(match[1]) or match[1] in rows or match[2][0] == "0":
            return None
        rows[match[1]] = int(match[2])
        goods.add(match[3])
    if len(goods) != 1 or not goods <= set(GOODS) or not 2 <= len(rows) <= 5 or 1 in rows.values():
        return None
    return rows, goods.pop()


def _draw_lookup(facts: Facts, rng: random.Random) -> dict[str, str]:
    rows, goods = _draw_rows(rng, (2, 3, 3, 4), rng.choice((9, 40)))
    return {"rows": _write_rows(rows, goods), "name": rng.choice(rows)[0], "goods": goods}


def _solve_lookup(facts: Facts, slots: Slots) -> Task | None:
    read = _read_rows(slots["rows"])
    if read is None or slots["name"] not in read[0] or slots["goods"] != read[1]:
        return None
    rows, goods = read
    name = slots["name"]
    right = rows[name]
    others = [count for count in rows.values() if count != right]
    return Task(
        "easy" if len(rows) <= 3 else "medium",
        lambda rng: f"{name} sold {right} {goods}.",
        lambda rng: f"{name} sold {rng.choice(others or [right + 1])} {goods}.",
        (
            essential(f"Does the answer say that {name} sold {right} {goods}?", "mentions", str(right)),
            essential("Does it leave out the numbers of the others?", "omits", *map(str, others)),
            nice(f"Does it speak of {name}?", "mentions", name),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        str(right),
    )


def _draw_most(facts: Facts, rng: random.Random) -> dict[str, str]:
    rows, goods = _draw_rows(rng, (2, 3, 3, 4), rng.choice((9, 9, 40)))
    return {"rows": _write_rows(rows, goods), "which": rng.choice(("most", "fewest")), "goods": goods}


def _solve_most(facts: Facts, slots: Slots) -> Task | None:
    read = _read_rows(slots["rows"])
    if read is None or slots["goods"] != read[1]:
        return None
    rows, goods = read
    which = slots["which"]
    best = max(rows.values()) if which == "most" else min(rows.values())
    winners = [name for name, count in rows.items() if count == best]
    if len(winners) != 1:
        return None
    right = winners[0]
    others = [name for name in rows if name != right]
    return Task(
        {2: "easy", 3: "medium"}.get(len(rows), "hard"),
        one_of([f"{right} sold the {which} {goods}.", f"{right} sold the {which} {goods}, {best}."]),
        lambda rng: f"{rng.choice(others)} sold the {which} {goods}.",
        (
            essential(f"Does the answer name {right} first of all sellers?", "picks", right, *others),
            nice("Does it leave out the other sellers?", "omits", *others),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        right,
    )


def _draw_total(facts: Facts, rng: random.Random) -> dict[str, str]:
    rows, goods = _draw_rows(rng, (2, 2, 3), 9)
    return {"rows": _write_rows(rows, goods), "goods": goods}


def _solve_total(facts: Facts, slots: Slots) -> Task | None:
    read = _read_rows(slots["rows"])
    if read is None or slots["goods"] != read[1]:
        return None
    rows, goods = read
    counts = list(rows.values())
    right = sum(counts)
    sum_text = " + ".join(map(str, counts))
    return Task(
        "medium" if len(rows) == 2 and max(counts) < 10 else "hard",
        lambda rng: f"They sold {sum_text} = {right} {goods} in all.",
        lambda rng: f"They sold {sum_text} = {right + rng.choice((1, 2, 3, -1))} {goods} in all.",
        (
            essential(f"Is the total {right}?", "equals_number", str(right)),
            nice(f"Does it say what was sold, {goods}?", "mentions", goods),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        str(right),
    )


def _draw_sorting(facts: Facts, rng: random.Random) -> dict[str, str]:
    size, top = rng.choice(((3, 9), (3, 30), (4, 60), (5, 90)))
    return {"values": joined([str(value) for value in rng.sample(range(1, top + 1), size)])}


def _solve_sorting(facts: Facts, slots: Slots) -> Task | None:
    values = [int(value) for value in split_list(slots["values"])]
    if len(set(values)) != len(values) or not 3 <= len(values) <= 6:
        return None
    ordered = [str(value) for value in sorted(values)]

    def wrong(rng: random.Random) -> str:
        while (mixed := rng.sample(ordered, len(ordered))) == ordered:
            pass
        return f"In order: {', '.join(mixed)}."

    return Task(
        {3: "easy", 4: "medium"}.get(len(values), "hard"),
        lambda rng: f"In order: {', '.join(ordered)}.",
        wrong,
        (
            essential("Are the numbers in order, from small to large, each once?", "in_order", *ordered),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        ", ".join(ordered),
    )


_DAY_ROW = re.compile(r"([A-Z][a-z]+): (\d{1,2})")


def _draw_day(facts: Facts, rng: random.Random) -> dict[str, str]:
    size = rng.choice((2, 3, 4))
    days = sorted(rng.sample(range(7), size))
    values = rng.sample(range(1, 31), size)
    rows = ", ".join(f"{DAYS[day]}: {value}" for day, value in zip(days, values, strict=True))
    return {"rows": rows + ".", "which": rng.choice(("warmest", "coldest"))}


def _solve_day(facts: Facts, slots: Slots) -> Task | None:
    rows: dict[str, int] = {}
    for part in slots["rows"][:-1].split(", "):
        match = _DAY_ROW.fullmatch(part)
        if not match or match[1] not in DAYS or match[1] in rows or str(int(match[2])) != match[2]:
            return None
        rows[match[1]] = int(match[2])
    which = slots["which"]
    if not 2 <= len(rows) <= 7:
        return None
    best = max(rows.values()) if which == "warmest" else min(rows.values())
    winners = [day for day, value in rows.items() if value == best]
    if len(winners) != 1:
        return None
    right = winners[0]
    others = [day for day in rows if day != right]
    return Task(
        {2: "easy", 3: "medium"}.get(len(rows), "hard"),
        one_of([f"{right} was the {which} day.", f"The {which} day was {right}."]),
        lambda rng: f"{rng.choice(others)} was the {which} day.",
        (
            essential(f"Does the answer name {right}?", "picks", right, *others),
            nice("Does it leave out the other days?", "omits", *others),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        right,
    )


FAMILIES = (
    Family(
        "table_lookup",
        "Data Analysis",
        ("easy", "medium"),
        (
            Template("{rows:text} How many {goods:word} did {name:name} sell?"),
            Template("Read this: {rows:text} Tell me how many {goods:word} {name:name} sold."),
            Template("Here are the sales. {rows:text} What number of {goods:word} did {name:name} sell?"),
        ),
        _draw_lookup,
        _solve_lookup,
        count=50_000,
        drills=("{rows} {answer}", "Sales: {rows} {name}: {short}.", "{rows} So {name} sold {short}."),
    ),
    Family(
        "table_most",
        "Data Analysis",
        ("easy", "medium", "hard"),
        tuple(
            Template(text.replace("WHICH", which), which=which)
            for which in ("most", "fewest")
            for text in (
                "{rows:text} Who sold the WHICH {goods:word}?",
                "Read this: {rows:text} Tell me who sold the WHICH {goods:word}.",
                "Here are the sales. {rows:text} Which person sold the WHICH {goods:word}?",
            )
        ),
        _draw_most,
        _solve_most,
        count=50_000,
        drills=("{rows} {answer}", "Sales: {rows} The {which}: {short}."),
    ),
    Family(
        "table_total",
        "Data Analysis",
        ("medium", "hard"),
        (
            Template("{rows:text} How many {goods:word} did they sell in all?"),
            Template("Read this: {rows:text} What is the total number of {goods:word}?"),
            Template("Here are the sales. {rows:text} Add up all the {goods:word}."),
        ),
        _draw_total,
        _solve_total,
        count=50_000,
        weight=0.7,
        drills=("{rows} {answer}", "Sales: {rows} Total: {short}."),
    ),
    Family(
        "sort_numbers",
        "Data Analysis",
        ("easy", "medium", "hard"),
        (
            Template("Sort these numbers from small to large: {values:numbers}."),
            Template("Put the numbers {values:numbers} in order, the smallest first."),
            Template("Order these numbers, starting with the smallest: {values:numbers}."),
        ),
        _draw_sorting,
        _solve_sorting,
        count=3 * 30 * 29 * 28,
        drills=("{values} in order: {short}", "Sorted: {values} becomes {short}."),
    ),
    Family(
        "warmest_day",
        "Data Analysis",
        ("easy", "medium", "hard"),
        tuple(
            Template(text.replace("WHICH", which), which=which)
            for which in ("warmest", "coldest")
            for text in (
                "Degrees by day: {rows:days} Which day was the WHICH?",
                "Which day was the WHICH? Degrees by day: {rows:days}",
                "Read the table of degrees. {rows:days} Name the WHICH day.",
            )
        ),
        _draw_day,
        _solve_day,
        count=6 * 21 * 30 * 29,
        drills=("{rows} {answer}", "Degrees: {rows} The {which}: {short}."),
    ),
)
