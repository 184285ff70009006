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
    return thing in ANIMAL_OF_NAME


def tell_story(
    rng: random.Random, name: str | None = None, thing: str | None = None, second: str | None = None, place: str | None = None
) -> tuple[str, str]:
    """Tell a story of two sentences: what happens, and how it ends.

    Args:
        name, thing, second, place: who and what must appear; drawn where None (`second` only if given).
    """
    name = name or rng.choice(NAMES)
    thing = thing or rng.choice(THINGS)
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


#: Couplets: a first line, and second lines by the word they end with.
COUPLET_LINES: dict[str, tuple[str, ...]] = {
    "day": ("We wish you joy, we wish you play,|may laughter fill your happy day.", "The sun is up, come out and play,|and smile at every passing day."),
    "night": ("The lamp is small, but warm and bright,|it keeps us company at night.", "The stars are out, their silver light|will guide you gently through the night."),
    "sun": ("Come out and play, come out and run,|come dance with us beneath the sun.", "The work is over, time for fun,|so let us sit beneath the sun."),
    "sea": ("The birds above are wild and free,|they fly with joy across the sea.", "We found a boat, a map and tea,|and sailed away across the sea."),
    "moon": ("The owl will sing a quiet tune|beneath the round and silver moon.", "Good night, my friend, and see you soon,|we meet again beneath the moon."),
    "sky": ("Look up and see the swallows fly|like little kites across the sky.", "The hill is steep, the hill is high,|and at the top we touch the sky."),
    "town": ("The leaves of autumn, gold and brown,|are falling softly on the town.", "The rain is gently falling down|on every roof of our small town."),
    "rain": ("We took the early morning train|and watched the silver drops of rain.", "The fields are green and fresh again,|because of all the summer rain."),
    "star": ("The way is long, the way is far,|but up above there shines a star.", "We have no horse, we have no car,|we follow just one little star."),
    "cake": ("We went for breakfast by the lake|and shared a piece of apple cake.", "A birthday song is what we make,|and then we light the candle cake."),
    "song": ("The road is dark, the road is long,|but we go on and sing a song.", "The little bird is brave and strong,|it fills the garden with its song."),
    "year": ("We hope that all you love is near|and wish you well for all the year.", "We sing for you and give a cheer,|may this become a lovely year."),
    "heart": ("When it is time for us to part,|I keep your letter in my heart.", "A gentle word is how we start|to open up a lonely heart."),
    "snow": ("The lamps along the river glow|upon a blanket made of snow.", "The winter wind begins to blow|and fills the garden with its snow."),
    "blue": ("The friend I have is kind and true,|her coat is red, her hat is blue.", "The flowers in the field are new,|the bells are white, the sky is blue."),
    "house": ("Behind the door there lives a mouse,|the smallest guest in all the house.",  "I know a brave and clever mouse|that built itself a paper house."),
    "spring": ("The children in the garden sing,|because today begins the spring.", "A golden bell, a silver ring,|they call us out to greet the spring."),
    "bread": ("The cat is sleeping on the bed,|the kitchen smells of morning bread.", "The apples on the tree are red,|we eat them with some cheese and bread."),
}  # fmt: skip


def write_couplet(rng: random.Random, word: str) -> str:
    """Two rhyming lines, the second of which ends with the word (a key of `COUPLET_LINES`)."""
    first, second = rng.choice(COUPLET_LINES[word]).split("|")
    return f"{first}\n{capitalized(second)}"


def all_wordings() -> list[str]:
    """Every fixed wording of the grammar, for the vocabulary."""
    groups = (TIMES, _OBJECT_STARTS, _OBJECT_ENDINGS, _ANIMAL_STARTS, _ANIMAL_ENDINGS, _TWO_STARTS, _TWO_ENDINGS)
    return [text for group in (*groups, *COUPLET_LINES.values()) for text in group]
