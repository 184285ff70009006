"""The families of exercises, by name."""

from __future__ import annotations

from agora.microcosm.world.families import (
    advice,
    code,
    creation,
    editing,
    knowledge,
    logic,
    numbers,
    others,
    plans,
    roles,
    tables,
)
from agora.microcosm.world.families.base import Family, Task

_MODULES = (knowledge, advice, numbers, tables, logic, plans, code, editing, creation, roles, others)

#: Every family, by name, in a fixed order.
FAMILIES: dict[str, Family] = {family.name: family for module in _MODULES for family in module.FAMILIES}

__all__ = ["FAMILIES", "Family", "Task"]
