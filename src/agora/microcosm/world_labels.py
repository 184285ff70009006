"""The microcosm as a labeler whose labels are true: what the world says of its own instructions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from agora.core.records import JsonMap
from agora.curate.labels.by_model import Spent
from agora.curate.rows import instruction_of, with_tag

if TYPE_CHECKING:
    from agora.curate.labels.kinds import LabelKind

URI = "microcosm:world"


class WorldLabeler:
    """Knows the category and the difficulty of every exercise of the shipped world; of all else it says nothing."""

    def __init__(self) -> None:
        self.name = URI
        self.spent = Spent()

    def label(self, rows: Iterable[JsonMap], kinds: Sequence[LabelKind]) -> Iterator[JsonMap]:
        """The rows in order, each with a tag a kind; ``failed`` where the world has no answer."""
        from agora.microcosm.world.world import recognize

        for row in rows:
            exercise = recognize(instruction_of(row))
            known = {} if exercise is None else {"category": exercise.category, "difficulty": exercise.difficulty}
            for kind in kinds:
                value = kind.scale.match(known.get(kind.name))
                tag: JsonMap = {"value": value, "generator": URI, "status": "ok" if value else "failed"}
                if value is None:
                    tag["error"] = "no exercise of the world" if exercise is None else f"the world knows no {kind.name}"
                row = with_tag(row, kind.name, tag)
            yield row
