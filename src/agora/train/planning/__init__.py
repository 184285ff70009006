"""What work needs on paper, before anyone pays: memory by part, operations, tokens, hours, cost."""

from agora.train.planning.advice import Remedy, remedies
from agora.train.planning.estimate import (
    Estimate,
    Phase,
    Work,
    estimate,
    online_work,
    row_work,
    sampling_work,
    scoring_work,
)
from agora.train.planning.flops import Rows
from agora.train.planning.gpus import Assumptions, Cluster, Gpu, known_gpus, parse_gpus
from agora.train.planning.memory import MemoryPart
from agora.train.planning.shapes import ModelShape, find_shape

__all__ = [
    "Assumptions",
    "Cluster",
    "Estimate",
    "Gpu",
    "MemoryPart",
    "ModelShape",
    "Phase",
    "Remedy",
    "Rows",
    "Work",
    "estimate",
    "find_shape",
    "known_gpus",
    "online_work",
    "parse_gpus",
    "remedies",
    "row_work",
    "sampling_work",
    "scoring_work",
]
