"""Who is shown first, laid out over all candidates of a task."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from agora.core.tables import read_rows
from agora.rooms.judge.types import Order, unit_draw

#: Task, candidate and baseline of a comparison.
Place: TypeAlias = tuple[str, str, str]


def balanced_orders(
    task_id: str, pairs: Iterable[tuple[str, str]], *, seed: int = 0, known: Mapping[Place, Sequence[Order]] = {}
) -> dict[tuple[str, str], tuple[Order, ...]]:
    """The orders of a task's comparisons, so that as many candidates stand first as second against each baseline.

    What was asked already keeps its order, and what is new fills up the lesser half. Among candidates that nothing was
    asked about, first and second alternate from one to the next and from one baseline to the next, from a drawn start;
    with an odd number of them one half has one more.

    Args:
        task_id: the task.
        pairs: candidate and baseline.
        seed: of the draw.
        known: orders that were asked before.
    """
    against: dict[str, list[str]] = defaultdict(list)
    for model, baseline in pairs:
        against[baseline].append(model)
    found: dict[tuple[str, str], tuple[Order, ...]] = {}
    for turn, baseline in enumerate(sorted(against)):
        models = sorted(against[baseline], key=lambda model: unit_draw(seed, "balanced", task_id, model))
        first_on_a_tie = (unit_draw(seed, "balanced", task_id) < 0.5) ^ bool(turn % 2)
        shown: Counter[Order] = Counter()
        for model in models:
            orders = tuple(known.get((task_id, model, baseline), ()))
            found[model, baseline] = orders
            shown.update(orders)
        for model in models:
            if not found[model, baseline]:
                gap = shown["candidate_first"] - shown["candidate_second"]
                first = gap < 0 or (gap == 0 and first_on_a_tie)
                found[model, baseline] = ("candidate_first" if first else "candidate_second",)
                shown.update(found[model, baseline])
    return found


def asked_orders(out: Path) -> dict[Place, tuple[Order, ...]]:
    """The orders of all comparisons that a judging's folder holds verdicts on."""
    found: dict[Place, dict[Order, None]] = defaultdict(dict)
    for path in sorted((out / "verdicts").glob("*.pair.jsonl")):
        if not path.stat().st_size:
            continue
        for _, row in read_rows(path):
            if row.get("order") is not None:
                found[row["task_id"], row["model"], row["baseline"]][row["order"]] = None
    return {place: tuple(orders) for place, orders in found.items()}
