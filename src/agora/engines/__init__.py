"""One way to talk to any model, named by a URI: ``microcosm:chat``, ``hf:NAME-OR-PATH``, ``openai:MODEL``,
``http://host:port/v1#MODEL``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agora.engines.budget import Budget
from agora.engines.registry import find_engine, open_engine
from agora.engines.types import (
    Capability,
    ChatRequest,
    CompleteRequest,
    Engine,
    FinishReason,
    Generation,
    Sampling,
    Score,
    ScoreRequest,
    Usage,
)

if TYPE_CHECKING:
    from agora.engines._http import Retry
    from agora.engines._wire import Prices
    from agora.engines.batch import read_batch, write_batch
    from agora.engines.cache import CachedEngine
    from agora.engines.generate import GenerateReport, generate_file
    from agora.engines.probe import EngineReport, RawAccess, can, check_engine, probe_raw_access, require

# loaded when first used, so that importing this package costs next to nothing
_LATER = {
    "CachedEngine": "cache",
    "EngineReport": "probe",
    "GenerateReport": "generate",
    "Prices": "_wire",
    "RawAccess": "probe",
    "Retry": "_http",
    "can": "probe",
    "check_engine": "probe",
    "generate_file": "generate",
    "probe_raw_access": "probe",
    "read_batch": "batch",
    "require": "probe",
    "write_batch": "batch",
}

__all__ = [
    "Budget",
    "CachedEngine",
    "Capability",
    "ChatRequest",
    "CompleteRequest",
    "Engine",
    "EngineReport",
    "FinishReason",
    "GenerateReport",
    "Generation",
    "Prices",
    "RawAccess",
    "Retry",
    "Sampling",
    "Score",
    "ScoreRequest",
    "Usage",
    "can",
    "check_engine",
    "find_engine",
    "generate_file",
    "open_engine",
    "probe_raw_access",
    "read_batch",
    "require",
    "write_batch",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LATER[name]}", __name__), name)
