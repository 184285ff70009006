"""What differs between two nested configurations, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agora.core.json_text import dumps


class Difference(NamedTuple):
    """One key's two values; ``None`` also stands for a key that one side lacks."""

    old: Any
    new: Any


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested objects as one level of dotted keys; lists are values, empty objects leave no key."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Difference]:
    """The dotted keys whose values differ, in the order of ``old``, then those only in ``new``."""
    flat_old, flat_new = flatten(old), flatten(new)
    keys = list(flat_old) + [k for k in flat_new if k not in flat_old]
    pairs = {key: Difference(flat_old.get(key), flat_new.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair.old != pair.new or (key in flat_old) != (key in flat_new)}


def describe(found: Mapping[str, Difference], limit: int = 8) -> str:
    """``key: old -> new, ...`` in one line, long values shortened."""
    shown = [f"{key}: {_short(d.old)} -> {_short(d.new)}" for key, d in list(found.items())[:limit]]
    more = [f"and {len(found) - limit} more"] if len(found) > limit else []
    return ", ".join(shown + more)


def _short(value: Any) -> str:
    text = dumps(value).decode()
    return text if len(text) <= 40 else text[:37] + "..."
