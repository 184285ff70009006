"""What a filter expression is made of, once parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """A number written in the expression."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text, or a bare word that names no field: a label."""

    value: str


@dataclass(frozen=True, slots=True)
class Truth:
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the row, such as ``reward`` or ``meta.model``."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a field, such as ``len(answer)``."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """``left op right``; ``op`` is one of ``== != < <= > >=``."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Among:
    """``value in [a, b]``."""

    value: Node
    choices: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """``not part``."""

    part: Node


@dataclass(frozen=True, slots=True)
class All:
    """``a and b``."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """``a or b``."""

    parts: tuple[Node, ...]


Node: TypeAlias = Number | Text | Truth | Field | Call | Compare | Among | Not | All | Any


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition that a row must meet, in the words of its author: they are the reason of a row that fails it."""

    text: str
    node: Node


@dataclass(frozen=True, slots=True)
class Quota:
    """The ``n`` rows of the highest ``key`` (the lowest, if not ``highest``) among those that meet ``where``."""

    n: int
    key: Node
    highest: bool = True
    where: Clause | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """``top N by KEY``, or several quotas joined by ``plus``; the first quota whose ``where`` a row meets takes it."""

    text: str
    quotas: tuple[Quota, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """Clauses, then picks, each applied to what the one before left."""

    text: str
    clauses: tuple[Clause, ...]
    picks: tuple[Pick, ...] = ()


def walk(node: Node) -> list[Node]:
    """The node and everything inside it."""
    inner: tuple[Node, ...] = ()
    match node:
        case Call(_, inner) | All(inner) | Any(inner):
            pass
        case Compare(_, left, right):
            inner = (left, right)
        case Among(value, choices):
            inner = (value, *choices)
        case Not(part):
            inner = (part,)
    return [node, *(found for one in inner for found in walk(one))]
