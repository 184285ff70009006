"""What an imported conversation brought along: language, place, headers and moderation, in the place of annotations.

An annotation of our own goes before it. Personal data and secrets are never taken on trust: they are looked for here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agora.rooms.collect.ready import Carried, carried
from agora.rooms.collect.release.found import Findings, most_frequent


@dataclass(frozen=True, slots=True)
class Imported:
    """An imported conversation's person as its source calls them (None where it names nobody), and their headers."""

    person: str | None
    headers: Mapping[str, str]


def fill_from_import(imported_zstd: bytes, found: Sequence[Findings]) -> Imported:
    """Add to the findings what only the import knows.

    Args:
        imported_zstd: as the store keeps it.
        found: of the messages of the conversation as of the release, in the order of their ids; changed in place.
    """
    told = carried(imported_zstd)
    if len(found) != len(told.messages):
        return Imported(None, {})  # it came after the moment of the release
    row = told.meta.get("row")
    whole: Mapping[str, Any] = row if isinstance(row, Mapping) else {}
    for i, (held, own) in enumerate(zip(found, told.messages, strict=True)):
        _fill(held, own["meta"], _at(whole, "openai_moderation", i), _at(whole, "detoxify_moderation", i))
    persons = [m["meta"].get("hashed_ip") for m in told.messages]
    return Imported(most_frequent(persons) or _text(whole.get("hashed_ip")), _headers(told, whole))


def _fill(held: Findings, meta: Mapping[str, Any], openai: Mapping[str, Any], detoxify: Mapping[str, Any]) -> None:
    language, country = _text(meta.get("language")), _text(meta.get("country"))
    if language:
        held.bring("lang", {"name": language})
    if country:
        held.bring("geo", {"country": country, "state": _text(meta.get("state"))})
    if openai:
        told = {"categories": openai.get("categories") or {}, "scores": openai.get("category_scores") or {}}
        held.bring("tox", {"provider": "openai", "flagged": bool(openai.get("flagged")), **told}, "openai")
    if detoxify:
        held.bring("tox", {"provider": "detoxify", "flagged": False, "scores": detoxify}, "detoxify")


def _at(row: Mapping[str, Any], name: str, i: int) -> Mapping[str, Any]:
    """The entry of an utterance; nothing where it was not asked about (its members are all null)."""
    entries = row.get(name) or []
    entry = entries[i] if i < len(entries) else None
    if not isinstance(entry, Mapping) or all(value is None for value in entry.values()):
        return {}
    return entry


def _headers(told: Carried, row: Mapping[str, Any]) -> Mapping[str, str]:
    given = [row.get("header"), *(m["meta"].get("header") for m in told.messages)]
    kept = next((header for header in given if isinstance(header, Mapping)), {})
    return {name: text for name in ("accept-language", "user-agent") if (text := _text(kept.get(name)))}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
