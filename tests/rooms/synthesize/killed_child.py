"""Makes pairs or turns in a process of its own, so that the test can kill it: ``killed_child.py KIND FOLDER N ...``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from agora.core.records import Message
from agora.engines.types import Sampling
from agora.rooms.synthesize.pairs import PairSettings, pairs_into
from agora.rooms.synthesize.turn_prefix import TurnPrefixes
from agora.rooms.synthesize.turns import TurnSettings
from agora.rooms.synthesize.turns_run import turns_into
from tests.rooms.synthesize.scripted import ScriptedEngine, write_either

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def score(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
    """A score that the text decides, with ties and gaps."""
    return [None if len(t[-1].content) % 13 == 0 else float(len(t[-1].content) % 5) for t in talks]


def main(kind: str, folder: Path, in_flight: int, order: int) -> None:
    engine = ScriptedEngine(write_either, in_flight=in_flight, order=order, calls=folder / "calls.txt", delay_s=0.001)
    source = folder.parent / "source.jsonl"
    if kind == "pairs":
        settings = PairSettings(k=4, sampling=Sampling(0.8, max_tokens=64, seed=5), test_share=0.1)
        pairs_into(folder / "out", source, "scripted:1", lambda: score, scorer_name="length", settings=settings,
                   engine=engine)  # fmt: skip
        return
    (folder / "t.jinja").write_text(TEMPLATE)
    assert TurnPrefixes(str(folder / "t.jinja")).takes_system
    turns_into(folder / "out", source, "scripted:1", tokenizer=str(folder / "t.jinja"),
               settings=TurnSettings(turns=3), engines=(engine, engine))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5]))
