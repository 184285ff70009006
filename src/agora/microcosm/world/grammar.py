"""Small English grammar: articles, lists, verbs, and simple sentences that can be read back."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from agora.microcosm.world.lexicon import CITY_POOL, FEMALE_NAMES, JOB_NAMES, JOB_PLURAL, MALE_NAMES, NAMES, words_in


def with_article(noun: str) -> str:
    """Put "a" or "an" before a noun phrase."""
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def capitalized(text: str) -> str:
    """Raise the first letter only."""
    return text[:1].upper() + text[1:]


def joined(items: Sequence[str]) -> str:
    """Write a list as English does: "a, b and c"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def split_list(text: str) -> list[str]:
    """Read back what `joined` wrote."""
    return re.split(r", | and ", text)


def subject_pronoun(name: str) -> str:
    """She or he."""
    return "she" if name in _FEMALE else "he"


def object_pronoun(name: str) -> str:
    """Her or him."""
    return "her" if name in _FEMALE else "him"


def possessive_pronoun(name: str) -> str:
    """Her or his."""
    return "her" if name in _FEMALE else "his"


_FEMALE = frozenset(FEMALE_NAMES)
_MALE = frozenset(MALE_NAMES)

NUMBER_WORDS = words_in("zero one two three four five six seven eight nine ten eleven twelve")
VALUE_OF_NUMBER_WORD = {word: value for value, word in enumerate(NUMBER_WORDS)}


class Verb(NamedTuple):
    """A verb in its base, third-person and past forms, with phrases that may follow it."""

    base: str
    third: str
    past: str
    endings: tuple[str, ...]


def _read_verb(line: str) -> Verb:
    forms, endings = line.split("|")
    base, third, past = forms.split()
    return Verb(base, third, past, tuple(endings.split(";")))


VERBS: tuple[Verb, ...] = tuple(
    _read_verb(line)
    for line in """\
walk walks walked|to the market;to school;along the river;through the park
bake bakes baked|fresh bread;a plum cake;two apple pies
carry carries carried|the basket;a heavy box;water to the garden
paint paints painted|the old door;a picture of the sea;the wall
cook cooks cooked|a pot of soup;lunch for the family;rice and beans
clean cleans cleaned|the kitchen;the window;the barn
open opens opened|the small shop;the letter;the gate
plant plants planted|roses in the garden;a young tree;carrots and peas
help helps helped|the farmer;an old friend;the new teacher
visit visits visited|the library;a friend in the village;the old tower
watch watches watched|the birds;the boats in the harbor;the stars
wash washes washed|the dishes;the dog;a blue shirt
play plays played|the flute;a game of cards;music in the park
call calls called|the doctor;a friend;the children
wait waits waited|for the bus;at the station;for a letter
count counts counted|the coins;the sheep;the boats
mix mixes mixed|flour and eggs;the paint
study studies studied|the map;old books
repair repairs repaired|the clock;a broken chair;the roof
climb climbs climbed|the hill;a tall tree;the ladder
buy buys bought|a new lamp;bread and cheese;a ticket
find finds found|a lost key;shells on the beach;a quiet place
see sees saw|a fox in the forest;the first snow;a ship
go goes went|to the library;home by train;to the lake
run runs ran|to the bridge;along the beach;through the rain
write writes wrote|a long letter;a short story;a song
eat eats ate|an apple;bread with honey;soup for dinner
drink drinks drank|a cup of tea;cold water;warm milk
sing sings sang|an old song;in the choir;to the children
take takes took|the early train;a warm coat;the map
give gives gave|a gift to a friend;corn to the hens
make makes made|a paper kite;a wooden chair;lemon tea
bring brings brought|flowers to the table;the tools;a lamp
build builds built|a small boat;a stone wall;a bird house
sell sells sold|apples at the market;old books;candles
catch catches caught|a big fish;the last bus;the ball
draw draws drew|a map of the island;a horse;flowers
ride rides rode|a bicycle to work;a brown horse
sweep sweeps swept|the floor;the steps
feed feeds fed|the ducks;the goats;the horse
hold holds held|the lantern;the rope
hide hides hid|the key;a gift under the bed
throw throws threw|the ball;a stone into the lake
wear wears wore|a red scarf;a straw hat
lose loses lost|a glove;the map
meet meets met|a friend at the station;the baker
keep keeps kept|the letters in a box;bees
teach teaches taught|the children;music at the school
speak speaks spoke|to the farmer;about the storm
drive drives drove|the truck;to the harbor""".splitlines()
)
VERB_OF_BASE = {verb.base: verb for verb in VERBS}
VERB_OF_THIRD = {verb.third: verb for verb in VERBS}
VERB_OF_PAST = {verb.past: verb for verb in VERBS}
ENDINGS = frozenset(ending for verb in VERBS for ending in verb.endings)
TAILS = ("in the morning", "every day", "after lunch", "in the evening", "before dinner", "with a smile")

SINGULAR_SUBJECTS = (*(f"the {job}" for job in JOB_NAMES), "the teacher", "the old man", "my sister", "the girl")
PLURAL_SUBJECTS = (*(f"the {plural}" for plural in JOB_PLURAL.values()), "the children", "my friends", "the girls")
_SINGULAR = frozenset(SINGULAR_SUBJECTS)
_PLURAL = frozenset(PLURAL_SUBJECTS)


class Clause(NamedTuple):
    """One simple sentence in its parts: "Ana | walks | to school | every day"."""

    subject: str
    verb: Verb
    ending: str
    tail: str

    def text(self, form: str) -> str:
        """The sentence with the verb in the given form: "base", "third" or "past"."""
        parts = [self.subject, getattr(self.verb, form), self.ending, self.tail]
        return capitalized(" ".join(part for part in parts if part)) + "."


def draw_clause(rng: random.Random, *, plural: bool | None = None, tail: bool = False) -> Clause:
    """Draw a clause; `plural` None allows a person's name as the subject."""
    if plural is None:
        subject = rng.choice(NAMES) if rng.random() < 0.7 else rng.choice(SINGULAR_SUBJECTS)
    else:
        subject = rng.choice(PLURAL_SUBJECTS if plural else SINGULAR_SUBJECTS)
    verb = rng.choice(VERBS)
    return Clause(subject, verb, rng.choice(verb.endings), rng.choice(TAILS) if tail else "")


def read_clause(sentence: str, form: str) -> Clause | None:
    """Read a clause whose verb has the given form; None where the sentence is not one."""
    if not sentence.endswith("."):
        return None
    words = sentence[:-1].split()
    verbs = {"base": VERB_OF_BASE, "third": VERB_OF_THIRD, "past": VERB_OF_PAST}[form]
    for index in range(1, min(4, len(words))):
        if words[index] in verbs:
            verb = verbs[words[index]]
            break
    else:
        return None
    subject = " ".join(words[:index])
    subject = subject if subject in _FEMALE or subject in _MALE else subject[:1].lower() + subject[1:]
    rest = " ".join(words[index + 1 :])
    tail = next((tail for tail in TAILS if rest.endswith(" " + tail)), "")
    ending = rest[: len(rest) - len(tail)].rstrip() if tail else rest
    known = subject in _FEMALE or subject in _MALE or subject in _SINGULAR or subject in _PLURAL
    clause = Clause(subject, verb, ending, tail)
    if not known or ending not in ENDINGS or clause.text(form) != sentence:
        return None
    return clause


def is_plural_subject(subject: str) -> bool:
    """Whether a subject takes the plural verb."""
    return subject in _PLURAL


#: Predicates for "Ana is ..." sentences.
STATES = (
    "in the garden", "at the market", "at home", "on the bridge", "in the kitchen", "at the station", "by the lake",
    "in the library", "happy", "tired", "hungry", "ready", "late", "busy", "very proud", "ready for school",
    "late for dinner", "angry today", "in the old tower", "on the train",
)  # fmt: skip
_STATES = frozenset(STATES)
BE_SUBJECTS = NAMES + tuple(f"the {noun}" for noun in (*JOB_NAMES, "cat", "dog", "horse", "teacher", "owl", "goat"))
_BE_SUBJECTS = frozenset(BE_SUBJECTS)


class State(NamedTuple):
    """A sentence with "is": "Ana | in the garden"."""

    subject: str
    place: str


def draw_state(rng: random.Random) -> State:
    """Draw who is where, or how."""
    return State(rng.choice(BE_SUBJECTS), rng.choice(STATES))


def read_state(sentence: str) -> State | None:
    """Read "X is Y."; None where X or Y is unknown."""
    match = re.fullmatch(r"(.+?) is (.+)\.", sentence)
    if not match:
        return None
    subject = match[1] if match[1] in _FEMALE or match[1] in _MALE else match[1][:1].lower() + match[1][1:]
    if subject not in _BE_SUBJECTS or match[2] not in _STATES or capitalized(subject) != match[1]:
        return None
    return State(subject, match[2])


_CITIES = frozenset(CITY_POOL)


def is_city(word: str) -> bool:
    """Whether some world has a city of this name."""
    return word in _CITIES


def is_name(word: str) -> bool:
    """Whether the word is a person's first name."""
    return word in _FEMALE or word in _MALE
