"""GPUs by name, and what is assumed of how well they are used."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.core.yaml_text import parse_yaml

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator.

    Attributes:
        memory_gib: as sold.
        bf16_tflops: dense bf16 matrix products, 1e12 operations a second.
        fp32_tflops: the same in fp32.
        bandwidth: of its memory, TB/s.
        usd: assumed price of an hour.
        source: where the figures are from.
    """

    name: str
    memory_gib: float
    bf16_tflops: float
    fp32_tflops: float
    bandwidth: float
    usd: float
    source: str

    def peak(self, *, bf16: bool) -> float:
        """Operations a second."""
        return (self.bf16_tflops if bf16 else self.fp32_tflops) * 1e12


@dataclass(frozen=True, slots=True)
class Cluster:
    """A number of GPUs of one kind."""

    gpu: Gpu
    count: int = 1

    def __str__(self) -> str:
        return f"{self.count}x{self.gpu.name}"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a plan takes for granted; each is printed with it.

    Attributes:
        utilization: share of the peak that training reaches. Published dense trainings lie between 0.3 and 0.5.
        bandwidth_utilization: share of the memory bandwidth that sampling reaches.
        step_floor_s: least time of one sampled token of a batch in process, where launching operations is what costs.
        usable_memory: share of a GPU's memory that may be planned with; the rest is the driver's and fragmentation's.
        usd: price of a GPU hour; None: that of the table.
    """

    utilization: float = 0.35
    bandwidth_utilization: float = 0.5
    step_floor_s: float = 0.02
    usable_memory: float = 0.9
    usd: float | None = None

    def price(self, gpu: Gpu) -> float:
        """USD an hour of one GPU."""
        return gpu.usd if self.usd is None else self.usd


def known_gpus() -> dict[str, Gpu]:
    """All GPUs of the table, by name."""
    return {name: Gpu(name, **row) for name, row in _table().items()}


def parse_gpus(text: str) -> Cluster:
    """``8xH100``, or ``H100`` for one.

    Raises:
        UsageError: not so written, or an unknown GPU; names the nearest.
    """
    match = re.fullmatch(r"(?:(\d+)\s*[xX*]\s*)?(\S.*)", text.strip())
    if match is None or match[1] == "0":
        raise UsageError(f"{text!r} names no GPUs", where="--gpus", hint="such as 8xH100")
    known = known_gpus()
    wanted = match[2].upper().replace(" ", "-").removeprefix("NVIDIA-").removesuffix("-80GB").removesuffix("-SXM")
    name = next((name for name in known if name.upper() == wanted), None)
    if name is None:
        near = nearest(wanted, list(known))
        hint = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
        raise UsageError(f"unknown GPU {match[2]!r}", where="--gpus", hint=hint)
    return Cluster(known[name], int(match[1] or 1))


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    text = (files(__package__) / "gpus.yaml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = parse_yaml(text, "gpus.yaml")[0]
    return rows
