"""Parting pairs by prompt, so that no prompt that is trained on is tested on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from agora.core.errors import ConfigError
from agora.core.records import Message, PreferencePair, stable_id
from agora.curate.text import normalize


class Split(NamedTuple):
    """Pairs to train on, and pairs whose prompts are not among those."""

    train: list[PreferencePair]
    held_out: list[PreferencePair]


def prompt_key(prompt: Iterable[Message]) -> str:
    """What two prompts are compared by: roles and contents, lower case, white space collapsed."""
    return "\x1e".join(f"{m.role}\x1f{normalize(m.content)}" for m in prompt)


def split_by_prompt(
    pairs: Iterable[PreferencePair],
    share: float,
    seed: int = 0,
    *,
    by: Literal["prompt", "first_turn"] = "prompt",
) -> Split:
    """Hold out a share of the prompts, with all their pairs.

    Where a prompt goes depends on its text and the seed alone: more data, another order or other answers do not move
    it. The share of the pairs is met on average.

    Args:
        pairs: in any order, which is kept.
        share: of the prompts to hold out, in [0, 1].
        seed: another seed holds out other prompts.
        by: ``prompt`` keeps equal prompts together; ``first_turn`` also the later turns of one conversation.

    Raises:
        ConfigError: the share does not lie in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"share must lie in [0, 1], got {share}")
    split = Split([], [])
    for pair in pairs:
        prompt = pair.prompt if by == "prompt" else _first_turn(pair.prompt)
        place = int(stable_id("held out", seed, prompt_key(prompt)), 16) / 2**64
        (split.held_out if place < share else split.train).append(pair)
    return split


def _first_turn(prompt: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(m for m in prompt if m.role == "user")[:1] or prompt[:1]
