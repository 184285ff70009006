"""Personal data and secrets as kinds of the enrichment pipeline (`agora.rooms.collect.enrich.kinds.Kind`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agora.curate.personal.find import VERSION, annotate_personal, annotate_secrets


@dataclass(frozen=True, slots=True)
class SpanKind:
    """Spans of one kind; the result depends on the text alone, so only the default regions are asked for numbers."""

    name: str
    version: str
    find: Callable[[Sequence[str]], list[dict[str, Any]]]

    def annotate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """``{"spans": [...]}`` for each text, without values."""
        return self.find(texts)


def pii() -> SpanKind:
    """Layers A and C."""
    return SpanKind("pii", f"patterns:{VERSION}", annotate_personal)


def secret() -> SpanKind:
    """Layer D."""
    return SpanKind("secret", f"patterns:{VERSION}", annotate_secrets)
