"""What to change where a plan does not fit: the least change that does, found by planning again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agora.train.lora import LoraSettings
from agora.train.planning.estimate import Estimate, Work, estimate
from agora.train.planning.gpus import Cluster, known_gpus

_MOST_GPUS = 1024


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change and what the work needs after it."""

    change: str
    plan: Estimate

    def __str__(self) -> str:
        plan = self.plan
        return f"{self.change}: {plan.peak_gib:.0f} GiB of {plan.cluster.gpu.memory_gib:.0f}, {plan.hours:.1f} hours"


def remedies(work: Work, plan: Estimate) -> list[Remedy]:
    """Changes after which the work fits, from the one that changes least; empty where it fits as it is.

    Settings that leave the result as it is come first, then adapters, then more or other GPUs.
    """
    if plan.fits:
        return []
    found = [Remedy(name, estimate(work, plan.cluster, plan.assumptions, s)) for name, s in _settings(work.settings)]
    fitting = [remedy for remedy in found if remedy.plan.fits][:1]
    return [*fitting, *_more_gpus(work, plan), *_other_gpus(work, plan)]


def _settings(settings: Any) -> Iterator[tuple[str, Any]]:
    if settings is None:
        return
    saving = settings.train.model_copy(update={"gradient_checkpointing": True})
    small = saving.model_copy(update={"token_budget": min(2048, settings.train.token_budget)})
    yield "train.gradient_checkpointing=true", settings.model_copy(update={"train": saving})
    change = "train.gradient_checkpointing=true train.token_budget=2048"
    yield change, settings.model_copy(update={"train": small})
    if settings.lora is None:
        lora = LoraSettings(r=16, bf16_base=settings.train.bf16)
        change += " lora.r=16" + (" lora.bf16_base=true" if settings.train.bf16 else "")
        yield change, settings.model_copy(update={"lora": lora, "train": small})


def _more_gpus(work: Work, plan: Estimate) -> Iterator[Remedy]:
    """The least power of two of the same GPUs, with recomputed activations where there are any."""
    saved = next((s for _, s in _settings(work.settings)), None)
    count = plan.cluster.count * 2
    while count <= _MOST_GPUS:
        found = estimate(work, Cluster(plan.cluster.gpu, count), plan.assumptions, saved)
        if found.fits:
            yield Remedy(f"--gpus {found.cluster}" + (" train.gradient_checkpointing=true" if saved else ""), found)
            return
        count *= 2


def _other_gpus(work: Work, plan: Estimate) -> Iterator[Remedy]:
    """As many of the smallest larger GPU."""
    larger = [gpu for gpu in known_gpus().values() if gpu.memory_gib > plan.cluster.gpu.memory_gib]
    for gpu in sorted(larger, key=lambda g: g.memory_gib):
        found = estimate(work, Cluster(gpu, plan.cluster.count), plan.assumptions)
        if found.fits:
            yield Remedy(f"--gpus {found.cluster}", found)
            return
