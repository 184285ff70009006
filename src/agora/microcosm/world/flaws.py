"""Answers with a known defect, for noise and for preferences."""

from __future__ import annotations

import random

from agora.microcosm.world.families.base import Task
from agora.microcosm.world.types import Exercise

#: The kinds of defect, from subtle to plain.
FLAWS: tuple[str, ...] = ("verbose", "off_format", "wrong", "incomplete", "repeated", "garbage", "empty")

_RAMBLES = (
    "By the way, the weather has been quite pleasant lately.",
    "I hope that this helps, and please ask me whenever you need anything more.",
    "There are of course many other interesting things to say about such matters.",
    "Let me also mention that I enjoy this kind of conversation very much.",
)
_NOISE = ("xq", "zzv", "brr", "tlk", "wub", "qop", "vex", "jix")


def spoil(task: Task, exercise: Exercise, rng: random.Random, kind: str) -> str:
    """One answer to the exercise with the given kind of defect, one of `FLAWS`."""
    if kind == "wrong":
        return task.wrong(rng)
    right = task.answers(rng)
    if kind == "verbose":
        return f"{right} {' '.join(rng.sample(_RAMBLES, rng.choice((1, 2))))}"
    if kind == "off_format":
        text = right.rstrip(".!?")
        lowered = text[:1].lower() + text[1:]
        return f"well so i think {lowered} or so"
    if kind == "incomplete":
        words = right.split()
        return " ".join(words[: max(1, len(words) // 2)]).rstrip(".,!?")
    if kind == "repeated":
        return f"{right} {right} {right}"
    if kind == "garbage":
        return " ".join(rng.choice(_NOISE) for _ in range(rng.randint(3, 8)))
    return ""
