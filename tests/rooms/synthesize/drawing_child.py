"""Draws in a process of its own, so that the test can kill it: ``drawing_child.py FOLDER N``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from agora.core.tables import write_jsonl
from agora.rooms.synthesize import PrefixTemplate, Slice, draw_instructions
from tests.rooms.synthesize.scripted import ScriptedEngine


class Match(NamedTuple):
    id: str


class SameEnd:
    """Calls two texts duplicates when they share their last words: enough to depend on the order."""

    def __init__(self) -> None:
        self._by_end: dict[str, str] = {}

    def add(self, id: str, text: str) -> Match | None:
        end = text[-12:]
        if end in self._by_end:
            return Match(self._by_end[end])
        self._by_end[end] = id
        return None


def main(folder: Path, n: int, in_flight: int, order: int) -> None:
    engine = ScriptedEngine(in_flight=in_flight, order=order, calls=folder / "calls.txt", delay_s=0.001)
    template = PrefixTemplate("scripted:1", "template", "U:", "A:", "U:", prefix_ids=(1,))
    schedule = [Slice("warm", n // 2), Slice("hot", n - n // 2, temperature=1.2)]
    samples = draw_instructions(
        engine, template, schedule, run_id="crash", journal=folder / "drawn.jsonl", on_duplicate=SameEnd()
    )
    write_jsonl(folder / "instructions.jsonl", samples)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
