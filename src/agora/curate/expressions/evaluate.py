"""Evaluate expressions over a batch of rows at once, with three truth values: true, false, and unknown.

Unknown follows Kleene's logic: ``false and unknown`` is false, ``true or unknown`` is true, everything else that needs
what is unknown is unknown. Each field is read once a batch, whatever the number of clauses that use it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from agora.core.errors import ConfigError
from agora.core.records import JsonMap
from agora.curate.expressions.fields import FUNCTIONS, scale_of, spec_of
from agora.curate.expressions.nodes import All, Among, Any, Call, Compare, Field, Node, Not, Number, Text, Truth

if TYPE_CHECKING:
    import numpy as np

_ORDER: dict[str, Callable[..., np.ndarray]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Column(NamedTuple):
    """One value a row. ``kind`` is number (float64), truth (bool) or text (objects); ``known`` says where it counts."""

    kind: str
    values: np.ndarray
    known: np.ndarray

    def is_true(self) -> np.ndarray:
        """Where a truth is true."""
        found: np.ndarray = self.values & self.known
        return found


class Evaluator:
    """The values of expressions over one batch of rows."""

    def __init__(self, rows: Sequence[JsonMap]) -> None:
        self._rows = rows
        self._fields: dict[str, Column] = {}
        self._raw: dict[str, list[object]] = {}

    def truth(self, node: Node) -> Column:
        """The truth of a condition for every row.

        Raises:
            ConfigError: the node is a number or a text.
        """
        column = self.column(node)
        if column.kind != "truth":
            raise ConfigError(f"a {column.kind} is no condition", hint="compare it, as in len(answer) > 0")
        return column

    def number(self, node: Node) -> Column:
        """The number of a value for every row.

        Raises:
            ConfigError: the node is no number.
        """
        scale = scale_of(node)
        column = self._ranks(node) if scale and scale.ordered else self.column(node)
        if column.kind == "any":
            column = _as_numbers(self._raw_of(node))
        if column.kind != "number":
            raise ConfigError(f"rows are picked by a number, not by a {column.kind}", hint="such as len(answer)")
        return column

    def column(self, node: Node) -> Column:
        """The value of a node for every row; ``any`` for a free field, whose rows may differ in kind."""
        match node:
            case Field(name):
                return self._field(name)
            case Call(name, args):
                return self._call(name, args)
            case Compare(op, left, right):
                return self._compare(op, left, right)
            case Among(value, choices):
                return self._any([Compare("==", value, choice) for choice in choices])
            case Not(part):
                inner = self.truth(part)
                return Column("truth", ~inner.values, inner.known)
            case All(parts):
                return self._all(parts)
            case Any(parts):
                return self._any(parts)
            case Number() | Text() | Truth():
                return self._constant(node)

    def _constant(self, node: Number | Text | Truth) -> Column:
        import numpy as np

        kind = {Number: "number", Text: "text", Truth: "truth"}[type(node)]
        dtype = {"number": np.float64, "text": object, "truth": np.bool_}[kind]
        n = len(self._rows)
        return Column(kind, np.full(n, node.value, dtype=dtype), np.ones(n, dtype=bool))

    def _raw_values(self, name: str) -> list[object]:
        if name not in self._raw:
            get = spec_of(name).get
            self._raw[name] = [get(row) for row in self._rows]
        return self._raw[name]

    def _raw_of(self, node: Node) -> list[object]:
        return self._raw_values(node.name) if isinstance(node, Field) else list(self.column(node).values)

    def _field(self, name: str) -> Column:
        if name not in self._fields:
            kind = spec_of(name).kind
            raw = self._raw_values(name)
            make = {"number": _as_numbers, "truth": _as_truths}.get(kind, _as_objects)
            column = make(raw)
            self._fields[name] = column if kind in ("number", "truth") else column._replace(kind=_KINDS[kind])
        return self._fields[name]

    def _call(self, name: str, args: tuple[Node, ...]) -> Column:
        function = FUNCTIONS[name]
        columns = [self._argument(arg, kind, name) for arg, kind in zip(args, function.takes, strict=True)]
        known = columns[0].known
        for column in columns[1:]:
            known = known & column.known
        fn = function.fn
        lists = [column.values.tolist() for column in columns]
        if len(lists) == 1:
            values = [fn(v) if ok else 0 for v, ok in zip(lists[0], known.tolist(), strict=True)]
        else:
            values = [fn(*v) if ok else False for *v, ok in zip(*lists, known.tolist(), strict=True)]
        import numpy as np

        return Column(function.kind, np.array(values, dtype=np.float64 if function.kind == "number" else bool), known)

    def _argument(self, node: Node, kind: str, name: str) -> Column:
        column = self.column(node)
        if column.kind == "any":
            column = _as_texts(self._raw_of(node))
        if column.kind != kind:
            raise ConfigError(f"{name} takes a {kind}, not a {column.kind}")
        return column

    def _compare(self, op: str, left: Node, right: Node) -> Column:
        scale = scale_of(left)
        if scale is not None and scale.ordered:
            a, b = self._ranks(left), self._ranks(right, scale_of(right) or scale)
        else:
            a, b = self.column(left), self.column(right)
            a, b = self._alike(a, left, b), self._alike(b, right, a)
        if a.kind != b.kind:
            raise ConfigError(f"a {a.kind} cannot be compared with a {b.kind}")
        if a.kind != "number" and op not in ("==", "!="):
            raise ConfigError(f"a {a.kind} has no order; use == or !=")
        known = a.known & b.known
        values = _ORDER[op](a.values, b.values)
        return Column("truth", values.astype(bool) & known, known)

    def _alike(self, column: Column, node: Node, other: Column) -> Column:
        """A free field's rows as what they are compared with."""
        if column.kind != "any":
            return column
        make = {"number": _as_numbers, "truth": _as_truths}.get(other.kind, _as_texts)
        return make(self._raw_of(node))

    def _ranks(self, node: Node, scale: object = None) -> Column:
        """Labels of an ordered scale as 1, 2, 3, ..."""
        own = scale_of(node) or scale
        column = self.column(node)
        if column.kind == "number" or own is None:
            return column
        ranks = {value: rank for rank, value in enumerate(own.values, 1)}  # type: ignore[attr-defined]
        return _as_numbers([ranks.get(v) for v in column.values.tolist()])

    def _all(self, parts: Sequence[Node]) -> Column:
        import numpy as np

        true, false = np.ones(len(self._rows), dtype=bool), np.zeros(len(self._rows), dtype=bool)
        for column in map(self.truth, parts):
            true &= column.values & column.known
            false |= ~column.values & column.known
        return Column("truth", true, true | false)

    def _any(self, parts: Sequence[Node]) -> Column:
        import numpy as np

        true, false = np.zeros(len(self._rows), dtype=bool), np.ones(len(self._rows), dtype=bool)
        for column in map(self.truth, parts):
            true |= column.values & column.known
            false &= ~column.values & column.known
        return Column("truth", true, true | false)


_KINDS = {"label": "text", "text": "text", "any": "any"}


def _as_numbers(raw: Sequence[object]) -> Column:
    import numpy as np

    values = np.array(
        [v if isinstance(v, int | float) and not isinstance(v, bool) else np.nan for v in raw], dtype=np.float64
    )
    return Column("number", values, ~np.isnan(values))


def _as_truths(raw: Sequence[object]) -> Column:
    import numpy as np

    known = np.array([isinstance(v, bool) for v in raw], dtype=bool)
    return Column("truth", np.array([v is True for v in raw], dtype=bool), known)


def _as_texts(raw: Sequence[object]) -> Column:
    return _as_objects([v if isinstance(v, str) else None for v in raw])


def _as_objects(raw: Sequence[object]) -> Column:
    import numpy as np

    values = np.empty(len(raw), dtype=object)
    values[:] = raw
    return Column("text", values, np.array([v is not None for v in raw], dtype=bool))
