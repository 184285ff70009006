"""One way to talk to any model, named by a URI: ``microcosm:chat``, ``hf:NAME-OR-PATH``, ``openai:MODEL``,
``http://host:port/v1#MODEL``.
"""

from __future__ import annotations

from .registry import open_engine
from .types import (
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

__all__ = [
    "Capability",
    "ChatRequest",
    "CompleteRequest",
    "Engine",
    "FinishReason",
    "Generation",
    "Sampling",
    "Score",
    "ScoreRequest",
    "Usage",
    "open_engine",
]
