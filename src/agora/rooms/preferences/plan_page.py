"""A plan as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from agora.train.planning import Assumptions, Cluster, Estimate, Remedy

_MOST_ROWS = 12  # of pieces of work shown one by one; more are added up by kind
_WIDTH = 140


def print_plan(
    plans: Sequence[Estimate],
    changes: Mapping[str, Sequence[Remedy]],
    notes: Sequence[str],
    cluster: Cluster,
    assumptions: Assumptions,
) -> None:
    """Print a plan.

    Args:
        plans: of every piece of work.
        changes: what would make those fit that do not, by the name of the work.
        notes: what the figures rest on.
        cluster: the GPUs.
        assumptions: of utilization and price.
    """
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    console.print(_works(plans, cluster))
    console.print(_memory(max(plans, key=lambda found: found.peak_gib)))
    gpu = cluster.gpu
    for name, remedies in changes.items():
        console.print(
            f"{name} does not fit into {assumptions.usable_memory:.0%} of {gpu.memory_gib:g} GiB.", markup=False
        )
        for remedy in remedies:
            console.print(f"  it would with {remedy}", markup=False)
        if not remedies:
            console.print("  nothing that was tried makes it fit; take a smaller model", markup=False)
    console.print(
        f"assumed: {assumptions.utilization:.0%} of {gpu.bf16_tflops:g} TFLOPS in bf16 or {gpu.fp32_tflops:g} in fp32, "
        f"{assumptions.bandwidth_utilization:.0%} of {gpu.bandwidth:g} TB/s while sampling ({gpu.source}); "
        f"USD {assumptions.price(gpu):.2f} a GPU hour",
        markup=False,
    )
    for note in notes:
        console.print(f"note: {note}", markup=False)


def duration(hours: float) -> str:
    """A time in the unit that reads best."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.1f} s"


def size(gib: float) -> str:
    """An amount of memory in the unit that reads best."""
    return f"{gib:,.1f} GiB" if gib >= 1 else f"{gib * 1024:,.1f} MiB"


def _works(plans: Sequence[Estimate], cluster: Cluster) -> Table:
    table = Table("work", "updates", "tokens", "FLOPs", "time", "USD", "memory a GPU", "fits", title=f"on {cluster}")
    for group in _groups(plans):
        table.add_row(*_row(_title(group), group))
    if len(plans) > 1:
        table.add_section()
        table.add_row(*_row("all, one after the other", plans))
    return table


def _groups(plans: Sequence[Estimate]) -> list[list[Estimate]]:
    """Pieces of work one by one, or those of one kind and size together where there are many."""
    if len(plans) <= _MOST_ROWS:
        return [[found] for found in plans]
    ordered = sorted(plans, key=_kind)
    return [list(group) for _, group in groupby(ordered, key=_kind)]


def _kind(found: Estimate) -> tuple[str, tuple[int, ...]]:
    return found.kind, tuple(shape.parameters for shape in found.models.values())


def _title(group: Sequence[Estimate]) -> str:
    if len(group) == 1:
        return group[0].name
    roles = ", ".join(f"{role} {_parameters(shape.parameters)}" for role, shape in group[0].models.items())
    return f"{group[0].kind} ({roles}): {len(group)} times"


def _parameters(number: int) -> str:
    return f"{number / 1e9:.1f}B" if number >= 1e8 else f"{number / 1e6:.1f}M"


def _row(name: str, group: Sequence[Estimate]) -> list[str]:
    return [
        name,
        f"{sum(p.updates for p in group):,}",
        f"{sum(p.tokens for p in group):,}",
        f"{sum(p.flops for p in group):.2g}",
        duration(sum(p.hours for p in group)),
        f"{sum(p.usd for p in group):,.2f}",
        size(max(p.peak_gib for p in group)),
        "yes" if all(p.fits for p in group) else "NO",
    ]


def _memory(found: Estimate) -> Any:
    """The parts of the work that needs most memory, and what it computes."""
    from rich.columns import Columns

    from agora.train.planning.gpus import GIB

    memory = Table("part", "on each GPU", "held", title=f"memory of {found.name}")
    for part in sorted(found.memory, key=lambda p: -p.bytes):
        held = part.when if part.when == "always" else f"while {part.when}"
        memory.add_row(part.name, size(part.bytes / GIB), held)
    phases = Table("phase", "tokens", "FLOPs", "time", title="what it computes")
    for phase in found.phases:
        phases.add_row(phase.name, f"{phase.tokens:,}", f"{phase.flops:.2g}", duration(phase.seconds / 3600))
    return Columns([memory, phases])
