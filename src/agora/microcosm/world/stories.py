"""A small story grammar: scenes with a beginning and an ending about given people and things."""

from __future__ import annotations

import random

from agora.microcosm.world.grammar import capitalized, object_pronoun, possessive_pronoun, subject_pronoun, with_article
from agora.microcosm.world.lexicon import ANIMAL_NAMES, ANIMAL_OF_NAME, NAMES, OBJECTS, PLACES

TIMES = ("One morning", "One evening", "On a cold day", "After school", "Last summer", "On Sunday", "One quiet night")

_OBJECT_STARTS = (
    "{time}, {name} found {a_thing} near the {place}.",
    "{time}, {name} bought {a_thing} at the market.",
    "{time}, {name} saw {a_thing} not far from the {place}.",
    "{time}, a friend gave {name} {a_thing} on the way to the {place}.",
)
_OBJECT_ENDINGS = (
    "{They} took the {thing} home and kept it for many years.",
    "{They} gave the {thing} to {their} best friend, who was very happy.",
    "{They} showed the {thing} to everyone and smiled all day.",
    "With the {thing} in {their} hand, {they} walked home and sang a song.",
    "{They} cleaned the {thing} with care and it looked like new.",
)
_ANIMAL_STARTS = (
    "{time}, {name} met {a_thing} near the {place}.",
    "{time}, {name} saw {a_thing} not far from the {place}.",
    "{time}, {name} found {a_thing} that was lost near the {place}.",
    "{time}, {a_thing} followed {name} to the {place}.",
)
_ANIMAL_ENDINGS = (
    "{They} gave the {thing} some food, and they became good friends.",
    "The {thing} looked at {them} for a while and then went back home.",
    "{They} sat down very quietly, and the {thing} came close to {them}.",
    "{They} helped the {thing} to find its way home before night.",
    "The {thing} was not afraid, and {they} told it a long story.",
)
_TWO_STARTS = (
    "{time}, {name} found {a_thing} and {a_second} near the {place}.",
    "{time}, {name} went to the {place} with {a_thing} and {a_second}.",
    "{time}, {name} sat near the {place} and drew {a_thing} and {a_second}.",
)
_TWO_ENDINGS = (
    "{They} told {their} family about the {thing} and the {second} at dinner.",
    "{They} never forgot the {thing} and the {second}.",
    "At night {they} dreamed of the {thing} and the {second}.",
)

THINGS = OBJECTS + ANIMAL_NAMES


def is_animal(thing: str) -> bool:
    """Whether a thing of a story is an animal."""
    return thing in ANIMAL_OF_NAME


def tell_story(
    rng: random.Random,
    name: str | None = None,
    thing: str | None = None,
    second: str | None = None,
    place: str | None = None,
) -> tuple[str, str]:
    """Tell a story of two sentences: what happens, and how it ends.

    Args:
        name, thing, second, place: who and what must appear; drawn where None (`second` only if given).
    """
    name = name or rng.choice(NAMES)
    thing = thing or rng.choice(THINGS)
    starts: tuple[str, ...]
    endings: tuple[str, ...]
    if second is not None:
        starts, endings = _TWO_STARTS, _TWO_ENDINGS
    elif is_animal(thing):
        starts, endings = _ANIMAL_STARTS, _ANIMAL_ENDINGS
    else:
        starts, endings = _OBJECT_STARTS, _OBJECT_ENDINGS
    if place is not None:
        starts = tuple(start for start in starts if "{place}" in start)
    they = subject_pronoun(name)
    slots = {
        "time": rng.choice(TIMES),
        "name": name,
        "thing": thing,
        "a_thing": with_article(thing),
        "second": second or "",
        "a_second": with_article(second) if second else "",
        "place": place or rng.choice(PLACES),
        "they": they,
        "They": capitalized(they),
        "them": object_pronoun(name),
        "their": possessive_pronoun(name),
    }
    return rng.choice(starts).format(**slots), rng.choice(endings).format(**slots)


def all_wordings() -> list[str]:
    """Every fixed wording of the grammar, for the vocabulary."""
    groups = (TIMES, _OBJECT_STARTS, _OBJECT_ENDINGS, _ANIMAL_STARTS, _ANIMAL_ENDINGS, _TWO_STARTS, _TWO_ENDINGS)
    return [text for group in groups for text in group]
