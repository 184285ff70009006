"""Families of creative writing, which have many right answers: stories, rhymes, cards."""

from __future__ import annotations

import random

from agora.microcosm.world.facts import Facts
from agora.microcosm.world.families.base import (
    FULL_SENTENCE,
    KNOWN_WORDS,
    NO_REPEATS,
    WELL_FORMED,
    Family,
    Task,
    essential,
    nice,
    other_than,
)
from agora.microcosm.world.grammar import (
    is_name,
    joined,
    with_article,
)
from agora.microcosm.world.lexicon import (
    NAMES,
    PLACES,
)
from agora.microcosm.world.stories import THINGS, tell_story
from agora.microcosm.world.templates import Slots, Template
from agora.microcosm.world.verses import COUPLETS, write_couplet

_THINGS = frozenset(THINGS)


def _bare(phrase: str) -> str:
    return phrase.split(" ", 1)[-1]


def _draw_story(facts: Facts, rng: random.Random) -> dict[str, str]:
    thing, second = rng.sample(THINGS, 2)
    slots = {"name": rng.choice(NAMES), "thing": with_article(thing)}
    roll = rng.random()
    if roll < 0.4:
        return slots | {"more": "none"}
    if roll < 0.7:
        return slots | {"more": "place", "place": rng.choice(PLACES)}
    return slots | {"more": "second", "second": with_article(second)}


def _solve_story(facts: Facts, slots: Slots) -> Task | None:
    name, thing = slots["name"], _bare(slots["thing"])
    second = _bare(slots["second"]) if "second" in slots else None
    place = slots.get("place")
    if not is_name(name) or thing not in _THINGS or with_article(thing) != slots["thing"]:
        return None
    if second is not None and (second not in _THINGS or second == thing or with_article(second) != slots["second"]):
        return None
    if place is not None and place not in PLACES:
        return None
    wanted = [word for word in (name, thing, second, place) if word]

    def wrong(rng: random.Random) -> str:
        other = other_than(rng, THINGS, *wanted)
        return " ".join(tell_story(rng, name, other, place=place))

    return Task(
        {2: "easy", 3: "medium"}[len(wanted)],
        lambda rng: " ".join(tell_story(rng, name, thing, second, place)),
        wrong,
        (
            essential(f"Does the story mention {joined(wanted)}?", "mentions", *wanted),
            essential("Does the story have exactly two complete sentences?", "sentences", "2"),
            WELL_FORMED,
            KNOWN_WORDS,
            NO_REPEATS,
        ),
        name,
    )


def _draw_rhyme(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"word": rng.choice(tuple(COUPLETS)), "name": rng.choice(NAMES)}


def _solve_rhyme(facts: Facts, slots: Slots) -> Task | None:
    word, name = slots["word"], slots["name"]
    if word not in COUPLETS or not is_name(name):
        return None

    def wrong(rng: random.Random) -> str:
        first = write_couplet(rng, word).splitlines()[0]
        return f"{first}\n{write_couplet(rng, other_than(rng, tuple(COUPLETS), word)).splitlines()[1]}"

    return Task(
        "hard",
        lambda rng: write_couplet(rng, word),
        wrong,
        (
            essential(f"Does a line of the rhyme end with {word}?", "ends_line", word),
            essential("Does the rhyme have two lines whose last words rhyme?", "rhymes"),
            nice("Is the rhyme between 8 and 24 words long?", "words_between", "8", "24"),
            KNOWN_WORDS,
            NO_REPEATS,
        ),
        word,
    )


#: Occasions for a card, and what is wished.
CARDS: dict[str, tuple[str, ...]] = {
    "birthday": ("happy birthday!", "all the best on your birthday!"),
    "wedding": ("all the best for your wedding!", "much joy on your wedding day!"),
    "holiday": ("have a lovely holiday!", "enjoy your holiday!"),
    "exam": ("good luck with your exam!", "you will do well in your exam!"),
    "journey": ("have a safe journey!", "I wish you a good journey!"),
    "new home": ("welcome to your new home!", "all the best in your new home!"),
    "new job": ("good luck in your new job!", "enjoy your new job!"),
}
_WISHES = (
    "May the days ahead be bright and calm.",
    "We all think of you with love.",
    "I hope to see you very soon.",
    "May all your wishes come true.",
    "You are a wonderful friend.",
)


def _draw_card(facts: Facts, rng: random.Random) -> dict[str, str]:
    sender, name = rng.sample(NAMES, 2)
    return {"name": name, "occasion": rng.choice(tuple(CARDS)), "sender": sender}


def _solve_card(facts: Facts, slots: Slots) -> Task | None:
    name, occasion, sender = slots["name"], slots["occasion"], slots["sender"]
    if not (is_name(name) and is_name(sender)) or occasion not in CARDS or name == sender:
        return None

    def write(rng: random.Random, about: str) -> str:
        return f"Dear {name}, {rng.choice(CARDS[about])} {rng.choice(_WISHES)} Yours, {sender}."

    return Task(
        "easy",
        lambda rng: write(rng, occasion),
        lambda rng: write(rng, other_than(rng, tuple(CARDS), occasion)),
        (
            essential(f"Does the card speak to {name} about the {occasion}?", "mentions", name, occasion),
            essential(f"Is the card signed by {sender}?", "mentions", sender),
            nice(f"Does it open with Dear {name}?", "starts_with", f"dear {name}"),
            KNOWN_WORDS,
            FULL_SENTENCE,
            nice("Is the card short, 8 to 21 words?", "words_between", "8", "21"),
        ),
        occasion,
    )


FAMILIES = (
    Family(
        "short_story",
        "Creative Writing",
        ("easy", "medium"),
        (
            Template("Write a story of two sentences about {name:name} and {thing:phrase}.", more="none"),
            Template("Tell me a two-sentence story with {name:name} and {thing:phrase}.", more="none"),
            Template("Invent a very short story, two sentences, about {name:name} and {thing:phrase}.", more="none"),
            Template(
                "Write a two-sentence story about {name:name}, {thing:phrase} and {second:phrase}.", more="second"
            ),
            Template(
                "Tell a story in two sentences with {name:name}, {thing:phrase} and {second:phrase}.", more="second"
            ),
            Template(
                "Write a two-sentence story about {name:name} and {thing:phrase} near the {place:word}.", more="place"
            ),
            Template(
                "Tell a story in two sentences: {name:name} and {thing:phrase} near the {place:word}.", more="place"
            ),
        ),
        _draw_story,
        _solve_story,
        count=3 * len(NAMES) * len(THINGS),
        weight=1.6,
        drills=("{answer}", "A story about {name} and {thing}. {answer}"),
    ),
    Family(
        "rhyme",
        "Creative Writing",
        ("hard",),
        (
            Template("Write a rhyme of two lines for {name:name}. The second line ends with {word:word}."),
            Template("Write two rhyming lines for {name:name}. The last word must be {word:word}."),
            Template("Make up a two-line rhyme for {name:name} that ends with {word:word}."),
        ),
        _draw_rhyme,
        _solve_rhyme,
        count=3 * len(NAMES) * len(COUPLETS),
        weight=0.7,
        drills=("{answer}", "A rhyme with {word}:\n{answer}"),
    ),
    Family(
        "greeting_card",
        "Creative Writing",
        ("easy",),
        (
            Template("Write a short card from {sender:name} to {name:name} for the {occasion:phrase}."),
            Template("{sender:name} wants to send {name:name} a card for the {occasion:phrase}. Write it."),
            Template("Write a few kind words from {sender:name} to {name:name} for the {occasion:phrase}."),
        ),
        _draw_card,
        _solve_card,
        count=3 * len(NAMES) * (len(NAMES) - 1) * len(CARDS),
        drills=("{answer}", "Card for the {occasion}: {answer}"),
    ),
)


def all_wordings() -> list[str]:
    """Every fixed wording that an answer may use, for the vocabulary."""
    return [*(wish for group in CARDS.values() for wish in group), *CARDS, *_WISHES, "Yours Dear"]
