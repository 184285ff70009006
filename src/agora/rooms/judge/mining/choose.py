"""From rated tasks to those that are reviewed: a target mix of categories, and a part that stays private."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from agora.core.records import Task, stable_id
from agora.rooms.judge.mining.settings import TAGS
from agora.rooms.judge.types import GROUPS


class Cell(NamedTuple):
    """One part of the mix: its share among the rated or as asked for, and how many tasks it holds."""

    name: str
    share: float
    available: int
    chosen: int


class Chosen(NamedTuple):
    """The tasks of the mix in the order of the log, those beyond it, and how each cell came out."""

    tasks: list[Task]
    beyond: list[Task]
    cells: tuple[Cell, ...]


def original_mix(tasks: Sequence[Task]) -> dict[str, float]:
    """The share of each primary category; of those no rater spoke of, that of the empty name."""
    counts = Counter(task.primary_tag for task in tasks)
    return {tag: counts[tag] / len(tasks) for tag in (*TAGS, "") if counts[tag]}


def choose(tasks: Sequence[Task], mix: Mapping[str, float], max_tasks: int, seed: int) -> Chosen:
    """Draw tasks so that categories come as near to the mix as what is there allows.

    Args:
        tasks: with a primary category each.
        mix: weights by category or group; a category that is named goes before its group. What is not named is left
            out. Where a cell holds too few, the others take its places in proportion.
        max_tasks: how many to draw at most.
        seed: within a cell tasks are drawn evenly by a hash of it and the id.
    """
    by_cell: defaultdict[str, list[Task]] = defaultdict(list)
    for task in sorted(tasks, key=lambda task: stable_id(seed, "mix", task.id)):
        name = _cell_of(task, mix)
        if name is not None:
            by_cell[name].append(task)
    sizes = _sizes(mix, {name: len(found) for name, found in by_cell.items()}, max_tasks)
    chosen = {task.id for name, found in by_cell.items() for task in found[: sizes[name]]}
    total = sum(mix.values())
    cells = tuple(Cell(name, mix[name] / total, len(by_cell[name]), sizes.get(name, 0)) for name in mix)
    kept = [task for task in tasks if task.id in chosen]
    return Chosen(kept, [task for task in tasks if task.id not in chosen], cells)


def _cell_of(task: Task, mix: Mapping[str, float]) -> str | None:
    if task.primary_tag in mix:
        return task.primary_tag
    return next((group for group in GROUPS if group in mix and task.primary_tag in GROUPS[group]), None)


def _sizes(mix: Mapping[str, float], available: Mapping[str, int], wanted: int) -> dict[str, int]:
    """How many of each cell: in proportion, by largest remainder, and what a cell lacks goes to the others."""
    sizes = dict.fromkeys(available, 0)
    left = min(wanted, sum(n for name, n in available.items() if mix[name] > 0))
    while left > 0:
        open_cells = [name for name in sizes if sizes[name] < available[name] and mix[name] > 0]
        total = sum(mix[name] for name in open_cells)
        exact = {name: left * mix[name] / total for name in open_cells}
        given = {name: min(int(exact[name]), available[name] - sizes[name]) for name in open_cells}
        if not any(given.values()):  # less than one each: the largest remainders first
            for name in sorted(open_cells, key=lambda name: (-exact[name], name))[:left]:
                given[name] = 1
        for name, n in given.items():
            sizes[name] += n
        left -= sum(given.values())
    return sizes


def split_off_private(tasks: Sequence[Task], share: float, seed: int) -> list[Task]:
    """The tasks with ``split`` set: a share, rounded, is private; which ones is decided by a hash of seed and id."""
    ranked = sorted(tasks, key=lambda task: stable_id(seed, "private", task.id))
    private = {task.id for task in ranked[: round(share * len(tasks))]}
    return [replace(task, split="private" if task.id in private else "public") for task in tasks]
