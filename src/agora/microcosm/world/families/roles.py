"""Families of role play and brainstorming, which have many right answers too."""

from __future__ import annotations

import random

from agora.microcosm.world.facts import NUM_COUNTRIES, Facts
from agora.microcosm.world.families.base import FULL_SENTENCE, KNOWN_WORDS, Family, Task, essential, nice, other_than
from agora.microcosm.world.grammar import (
    NUMBER_WORDS,
    capitalized,
    is_name,
    joined,
    with_article,
)
from agora.microcosm.world.lexicon import (
    ANIMAL_OF_NAME,
    JOB_NAMES,
    JOB_OF_NAME,
    KIND_OF_PLURAL,
    KIND_PLURAL,
    KINDS,
    NAMES,
)
from agora.microcosm.world.templates import Slots, Template


def _bare(phrase: str) -> str:
    return phrase.split(" ", 1)[-1]


_OFFERS = (
    "Would you like {ware}?",
    "Today I have {ware} for you.",
    "May I offer you {ware}?",
    "Here I sell {ware}.",
)


def _draw_role(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {
        "job": with_article(rng.choice(JOB_NAMES)),
        "country": rng.choice(facts.countries).name,
        "name": rng.choice(NAMES),
    }


def _solve_role(facts: Facts, slots: Slots) -> Task | None:
    job, country, name = JOB_OF_NAME.get(_bare(slots["job"])), facts.by_name.get(slots["country"]), slots["name"]
    if job is None or country is None or not is_name(name) or with_article(job.name) != slots["job"]:
        return None
    hello = country.facts["greeting"]

    def greet(rng: random.Random, word: str) -> str:
        ware = job.ware
        return f"{word}, {name}! Welcome to my {job.place}. {rng.choice(_OFFERS).format(ware=ware)}"

    def wrong(rng: random.Random) -> str:
        return greet(rng, other_than(rng, [c.facts["greeting"] for c in facts.countries], hello))

    return Task(
        "medium",
        lambda rng: greet(rng, hello),
        wrong,
        (
            essential(f"Does it greet with {hello}, as people in {country.name} do?", "names_only", "greeting", hello),
            essential(f"Does it speak to {name}?", "mentions", name),
            nice(f"Does it fit {slots['job']}: the {job.place} or {job.ware}?", "mentions_any", job.place, job.ware),
            nice("Is the answer between 5 and 20 words long?", "words_between", "5", "20"),
            KNOWN_WORDS,
            FULL_SENTENCE,
        ),
        hello,
    )


def _draw_animal(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"animal": with_article(rng.choice(tuple(ANIMAL_OF_NAME))), "name": rng.choice(NAMES)}


_ANIMAL_LINES = ("I am {a}, and I live {home}. I eat {food}.", "I am {a}. I live {home} and eat {food}.")


def _solve_animal(facts: Facts, slots: Slots) -> Task | None:
    animal, name = ANIMAL_OF_NAME.get(_bare(slots["animal"])), slots["name"]
    if animal is None or not is_name(name) or with_article(animal.name) != slots["animal"]:
        return None

    def speak(rng: random.Random, home: str, food: str) -> str:
        line = rng.choice(_ANIMAL_LINES).format(a=slots["animal"], home=home, food=food)
        return f"Hello, {name}! {line}"

    others = tuple(ANIMAL_OF_NAME.values())

    def wrong(rng: random.Random) -> str:
        other = rng.choice([a for a in others if a.food != animal.food and a.home != animal.home])
        return speak(rng, other.home, other.food)

    return Task(
        "medium",
        lambda rng: speak(rng, animal.home, animal.food),
        wrong,
        (
            essential(
                f"Does it speak as {slots['animal']} that lives {animal.home}?", "mentions", animal.name, animal.home
            ),
            essential(f"Does it say that it eats {animal.food}?", "mentions", animal.food),
            nice(f"Does it speak to {name} as I?", "mentions", name, "I"),
            nice("Is the answer between 6 and 24 words long?", "words_between", "6", "24"),
            KNOWN_WORDS,
            FULL_SENTENCE,
        ),
        animal.home,
    )


def _draw_naming(facts: Facts, rng: random.Random) -> dict[str, str]:
    kind = rng.choice(tuple(KINDS))
    count = rng.choice((2, 3, 3, 4))
    slots = {"count": NUMBER_WORDS[count], "plural": KIND_PLURAL[kind], "besides": "no"}
    if rng.random() < 0.6:
        slots |= {"besides": "yes", "but": rng.choice(KINDS[kind])}
    return slots


def _solve_naming(facts: Facts, slots: Slots) -> Task | None:
    count, kind = NUMBER_WORDS.index(slots["count"]), KIND_OF_PLURAL.get(slots["plural"])
    but = slots.get("but")
    if kind is None or count < 2 or (but is not None and but not in KINDS[kind]):
        return None
    members = [member for member in KINDS[kind] if member != but]
    if count > len(members):
        return None
    plural = KIND_PLURAL[kind]

    def write(rng: random.Random, items: list[str]) -> str:
        return f"{capitalized(slots['count'])} {plural} are {joined(items)}."

    def wrong(rng: random.Random) -> str:
        other = rng.choice([k for k in KINDS if k != kind])
        return write(rng, [*rng.sample(members, count - 1), rng.choice(KINDS[other])])

    excluded = (but,) if but else ()
    wanted = f"{slots['count']} different {plural}" + (f" other than {but}" if but else "")
    return Task(
        {2: "easy", 3: "medium"}.get(count, "hard"),
        lambda rng: write(rng, rng.sample(members, count)),
        wrong,
        (
            essential(f"Does the answer name {wanted}?", "lists_members", kind, str(count), *excluded),
            nice(
                f"Does it name exactly {slots['count']}, none twice and nothing else?",
                "lists_exactly",
                kind,
                str(count),
            ),
            nice("Is it a full sentence?", "full_sentence"),
            KNOWN_WORDS,
        ),
        plural,
    )


#: Occasions and ideas that suit them.
IDEAS: dict[str, tuple[str, ...]] = {
    "a rainy day": ("read a book", "bake a cake", "play cards", "draw a picture", "write a letter", "build a puzzle"),
    "a sunny day": (
        "swim in the lake",
        "fly a kite",
        "ride a bicycle",
        "have a picnic",
        "walk in the park",
        "play ball",
    ),
    "a long train ride": ("look out of the window", "read a story", "play cards", "sing songs", "count the bridges"),
    "a birthday party": ("sing a song", "bake a cake", "play a game", "light candles", "dance with friends"),
    "a winter evening": ("drink hot tea", "tell stories", "light a fire", "play chess", "cook soup"),
    "a day at the beach": ("collect shells", "swim in the sea", "build a sand house", "fly a kite", "watch the ships"),
    "a day on the farm": ("feed the hens", "pick apples", "ride a horse", "milk the cow", "plant beans"),
    "a walk in the forest": ("watch the birds", "pick berries", "climb a tree", "look for a fox", "collect leaves"),
}


def _draw_ideas(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {
        "count": rng.choice(("two", "two", "three")),
        "occasion": rng.choice(tuple(IDEAS)),
        "name": rng.choice(NAMES),
    }


def _solve_ideas(facts: Facts, slots: Slots) -> Task | None:
    name, occasion = slots["name"], slots["occasion"]
    count = NUMBER_WORDS.index(slots["count"])
    if occasion not in IDEAS or not is_name(name) or not 2 <= count <= 4:
        return None
    good = IDEAS[occasion]
    bad = sorted({idea for ideas in IDEAS.values() for idea in ideas} - set(good))

    def write_list(rng: random.Random, ideas: list[str]) -> str:
        return f"{name} could {', '.join(ideas[:-1])} or {ideas[-1]}."

    return Task(
        "easy" if count == 2 else "medium",
        lambda rng: write_list(rng, rng.sample(good, count)),
        lambda rng: write_list(rng, rng.sample(bad, count)),
        (
            essential(
                f"Does the answer give at least {slots['count']} ideas that suit {occasion}?",
                "mentions_some",
                str(count),
                *good,
            ),
            essential("Does it leave out ideas that suit other days only?", "omits", *bad),
            nice(f"Does it speak of {name}?", "mentions", name),
            nice("Is it one full sentence?", "sentences", "1"),
            KNOWN_WORDS,
        ),
        occasion,
    )


FAMILIES = (
    Family(
        "role_of_worker",
        "Role playing",
        ("medium",),
        (
            Template("You are {job:phrase} in {country:name}. Greet {name:name}."),
            Template("Pretend to be {job:phrase} in {country:name} and welcome {name:name}."),
            Template("Play the role of {job:phrase} from {country:name}. Say hello to {name:name}."),
        ),
        _draw_role,
        _solve_role,
        count=3 * len(JOB_NAMES) * NUM_COUNTRIES * len(NAMES),
        weight=1.2,
        drills=("{answer}", "In {country}, {job} says: {answer}"),
    ),
    Family(
        "role_of_animal",
        "Role playing",
        ("medium",),
        (
            Template("You are {animal:phrase}. Tell {name:name} where you live and what you eat."),
            Template("Pretend to be {animal:phrase} and tell {name:name} about your home and your food."),
            Template("Speak as {animal:phrase} to {name:name}: where do you live, and what do you eat?"),
        ),
        _draw_animal,
        _solve_animal,
        count=3 * len(ANIMAL_OF_NAME) * len(NAMES),
        drills=("{answer}", "{animal} says: {answer}"),
    ),
    Family(
        "name_some",
        "Brainstorming",
        ("easy", "medium", "hard"),
        (
            Template("Name {count:count} {plural:phrase}.", besides="no"),
            Template("Give me {count:count} examples of {plural:phrase}.", besides="no"),
            Template("List {count:count} different {plural:phrase}.", besides="no"),
            Template("Name {count:count} {plural:phrase}, but not {but:word}.", besides="yes"),
            Template("Give me {count:count} examples of {plural:phrase} other than {but:word}.", besides="yes"),
            Template("Think of {count:count} {plural:phrase}. Leave out {but:word}.", besides="yes"),
        ),
        _draw_naming,
        _solve_naming,
        count=9 * sum(len(members) for members in KINDS.values()),
        weight=0.9,
        drills=("{answer}", "{plural}, {count} of them: {answer}"),
    ),
    Family(
        "ideas",
        "Brainstorming",
        ("easy", "medium"),
        (
            Template("Give {name:name} {count:count} ideas for {occasion:phrase}."),
            Template("What could {name:name} do on {occasion:phrase}? Give {count:count} ideas."),
            Template("Suggest {count:count} things that {name:name} could do on {occasion:phrase}."),
        ),
        _draw_ideas,
        _solve_ideas,
        count=3 * 2 * len(NAMES) * len(IDEAS),
        weight=0.9,
        drills=("{answer}", "Ideas for {occasion}: {answer}"),
    ),
)


def all_wordings() -> list[str]:
    """Every fixed wording that an answer may use, for the vocabulary."""
    ideas = [idea for group in IDEAS.values() for idea in group]
    return [*ideas, *IDEAS, *_OFFERS, *_ANIMAL_LINES, "Hello Welcome"]
