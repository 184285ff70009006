"""A small synthetic world whose truth is known: exercises with checkers, documents, cultures, people and visitors."""

from __future__ import annotations

from agora.microcosm.world.checking import check
from agora.microcosm.world.cultures import Culture
from agora.microcosm.world.documents import Document
from agora.microcosm.world.families import FAMILIES
from agora.microcosm.world.flaws import FLAWS
from agora.microcosm.world.people import OPINION_TOPICS, QUALITIES, Person, PreferenceChoice
from agora.microcosm.world.types import CATEGORIES, GROUPS, CheckItem, CheckResult, Exercise
from agora.microcosm.world.visitors import PLANTS, Visitor
from agora.microcosm.world.world import World, is_held_out, recognize

__all__ = [
    "CATEGORIES",
    "FAMILIES",
    "FLAWS",
    "GROUPS",
    "OPINION_TOPICS",
    "PLANTS",
    "QUALITIES",
    "CheckItem",
    "CheckResult",
    "Culture",
    "Document",
    "Exercise",
    "Person",
    "PreferenceChoice",
    "Visitor",
    "World",
    "check",
    "is_held_out",
    "recognize",
]
