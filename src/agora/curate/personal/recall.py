"""How much of what a labeled file marks is found, and how much is found that it does not mark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agora.core.errors import DataError
from agora.core.tables import Rejects, read_rows
from agora.curate.personal.find import find
from agora.curate.personal.spans import Span

_SAME_AS = {"DOMAIN_NAME": "URL"}  # the labels' name -> ours


class Labeled(NamedTuple):
    """A text and what is marked in it: ``(type, start, end)``, types named as ours are."""

    text: str
    marks: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class TypeRecall:
    """Of one type: ``n`` marked spans, ``found`` of them touched, ``exact`` hit to the character, ``false`` found
    where nothing of the type is marked."""

    type: str
    n: int
    found: int
    exact: int
    false: int
    missed: tuple[tuple[int, int, int], ...] = field(default=(), repr=False)  # (text, start, end)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON without places."""
        return {name: getattr(self, name) for name in ("type", "n", "found", "exact", "false")}


def read_labeled(path: Path) -> list[Labeled]:
    """Read a file in the layout of presidio-research: ``full_text`` and ``spans`` with type and positions.

    Raises:
        MissingError: no such file.
        DataError: a row has another layout.
    """
    labeled = []
    for line, row in read_rows(Path(path), rejects=Rejects()):
        try:
            marks = [(s["entity_type"], int(s["start_position"]), int(s["end_position"])) for s in row["spans"]]
            labeled.append(Labeled(str(row["full_text"]), tuple((_SAME_AS.get(t, t), a, b) for t, a, b in marks)))
        except (KeyError, TypeError) as error:
            hint = "a row has full_text and spans with entity_type, start_position, end_position"
            raise DataError("not a file of labeled personal data", where=f"{path}:{line}", hint=hint) from error
    return labeled


def recall_of(labeled: Sequence[Labeled], finder: Callable[[str], Sequence[Span]] = find) -> list[TypeRecall]:
    """Recall and false spans of each type that the finder finds or could find, by name of the type.

    A span counts as found when a span of its type touches it, as in the published figures; ``exact`` is stricter.
    """
    n, found, exact, false = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    missed: dict[str, list[tuple[int, int, int]]] = {}
    for number, (text, marks) in enumerate(labeled):
        spans = [(_SAME_AS.get(s.type, s.type), s.start, s.end) for s in finder(text)]
        for type_, start, end in marks:
            near = [s for s in spans if s[0] == type_ and s[1] < end and start < s[2]]
            n[type_] += 1
            found[type_] += bool(near)
            exact[type_] += (type_, start, end) in near
            if not near:
                missed.setdefault(type_, []).append((number, start, end))
        for type_, start, end in spans:
            false[type_] += not any(t == type_ and a < end and start < b for t, a, b in marks)
    return [
        TypeRecall(t, n[t], found[t], exact[t], false[t], tuple(missed.get(t, ())))
        for t in sorted(set(found) | set(false))
        if found[t] or false[t]
    ]
