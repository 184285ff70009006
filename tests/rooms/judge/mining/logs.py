"""Logs whose truth is known: the microcosm's visitors, and rows made by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agora.core.tables import write_jsonl
from agora.microcosm.world import World
from agora.microcosm.world.visitors import Visitor


class Talk(NamedTuple):
    """A visitor and what was said."""

    visitor: Visitor
    messages: list[dict[str, str]]


def visitor_talks(n: int, seed: int = 0, **shares: float) -> Iterator[Talk]:
    """Visitors who talk with a model that answers right three times out of four."""
    world = World()
    rng = random.Random(f"talks/{seed}")
    for visitor in world.visitors(n, seed, **shares):
        history: list[dict[str, str]] = []
        while (said := visitor.next_message(history)) is not None and len(history) < 20:
            history.append({"role": "user", "content": said})
            goal = next((g for g, q in zip(visitor.goals, visitor.questions, strict=True) if said.endswith(q)), None)
            if goal is None:
                reply = "Hello! What can I do for you?"
            elif rng.random() < 0.75:
                reply = world.answer(goal, rng)
            else:
                reply = world.flawed_answer(goal, rng)
            history.append({"role": "assistant", "content": reply or "I do not know."})
        yield Talk(visitor, history)


def said_of(talk: Talk) -> list[str]:
    """What the visitor said."""
    return [message["content"] for message in talk.messages if message["role"] == "user"]


def write_talks(path: Path, talks: Sequence[Talk]) -> Path:
    """The talks as OpenAI messages, one a line, in the order of the visitors."""
    write_jsonl(path, ({"id": t.visitor.id, "user": t.visitor.id, "messages": t.messages} for t in talks))
    return path


def chat(*turns: str, **fields: Any) -> dict[str, Any]:
    """A row of OpenAI messages whose turns alternate, the user first."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)], **fields}


WORDS = (
    "river stone lamp garden clock winter market paper bridge violin copper window forest button carpet engine "
    "harbor island jacket kettle ladder mirror needle orange pencil quarry ribbon saddle tunnel urchin velvet walnut"
)


def request(i: int) -> str:
    """A request of 15 words that is like no other."""
    rng = random.Random(i)
    return f"Please explain to me how the {' '.join(rng.sample(WORDS.split(), 9))} works."


def rows(n: int) -> list[dict[str, Any]]:
    """Rows that all become tasks."""
    return [chat(request(i), "It works well.", id=f"c{i}", user=f"u{i}", language="English") for i in range(n)]
