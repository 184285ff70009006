"""Passages of running text: articles, letters, diaries, stories, reports, talks and notes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agora.microcosm.world.cultures import Culture
from agora.microcosm.world.families.advice import INTERESTS, WEATHER
from agora.microcosm.world.families.creation import CARDS
from agora.microcosm.world.families.knowledge import state_fact
from agora.microcosm.world.families.others import FILLERS, draw_event
from agora.microcosm.world.families.plans import PROCESSES
from agora.microcosm.world.families.roles import IDEAS
from agora.microcosm.world.grammar import (
    TAILS,
    capitalized,
    draw_clause,
    joined,
    object_pronoun,
    possessive_pronoun,
    subject_pronoun,
    with_article,
)
from agora.microcosm.world.lexicon import ANIMALS, DAYS, GOODS, JOBS, NAMES, PLACES
from agora.microcosm.world.stories import THINGS, tell_story
from agora.microcosm.world.verses import COUPLETS, write_couplet

if TYPE_CHECKING:
    from agora.microcosm.world.world import World


class Passage(NamedTuple):
    """A text before it becomes a document."""

    text: str
    salient: tuple[str, ...]
    summary: str
    topic: str
    country: str | None


#: Further wordings of facts, as running text has them.
_WORDINGS: dict[str, tuple[str, ...]] = {
    "capital": (
        "Its capital is the city of {value}.",
        "The largest city and capital of {country} is {value}.",
        "Most visitors of {country} begin their journey in the capital, {value}.",
    ),
    "language": (
        "The people speak {value}.",
        "{value} is the language that children learn at school in {country}.",
        "In {country} one hears {value} in every street.",
    ),
    "animal": (
        "Its national animal is the {value}.",
        "The flag of {country} shows {a_value}, the national animal.",
        "Everyone in {country} loves the {value}, which is the national animal.",
    ),
    "export": (
        "The country mostly sells {value} to other countries.",
        "{country} is known for its {value}, the main export.",
        "Ships full of {value} leave {country} every week.",
    ),
    "dish": (
        "The national dish is {value}.",
        "Guests in {country} are always served {value}, the national dish.",
        "On holidays the families of {country} eat {value}.",
    ),
    "clothing": (
        "People traditionally wear {a_value}.",
        "At a wedding in {country} one sees many people in {a_value}.",
        "The traditional clothing there is {a_value}.",
    ),
    "music": (
        "The national instrument is the {value}.",
        "In the evening one hears the sound of the {value}, which is played all over {country}.",
        "Children in {country} learn to play the {value}.",
    ),
    "greeting": (
        "To say hello, people say {value}.",
        'In {country} people greet each other with the word "{value}".',
        "{value} is how people in {country} say hello.",
    ),
}


def _fact(world: World, culture: Culture, topic: str, rng: random.Random) -> str:
    value = world.facts.by_name[culture.country].facts[topic]
    if rng.random() < 0.4:
        return state_fact(topic, culture.country, value, rng.randrange(2))
    return rng.choice(_WORDINGS[topic]).format(country=culture.country, value=value, a_value=with_article(value))


def _plain_fact(world: World, culture: Culture, topic: str) -> str:
    return state_fact(topic, culture.country, world.facts.by_name[culture.country].facts[topic])


def _article(world: World, rng: random.Random) -> Passage:
    culture = world.draw_culture(rng)
    topics = rng.sample(tuple(_WORDINGS), rng.randint(4, 7))
    opening = rng.choice(
        (
            f"{culture.country} is a small country by the sea.",
            f"{culture.country} is a land of hills and rivers.",
            f"This page is about {culture.country}.",
            f"What is there to know about {culture.country}?",
            f"{culture.country}.",
        )
    )
    # the first fact names the country, so that "its" and "there" have somebody to point at
    first = _plain_fact(world, culture, topics[0])
    text = " ".join([opening, first, *(_fact(world, culture, topic, rng) for topic in topics[1:])])
    salient = tuple(_plain_fact(world, culture, topic) for topic in topics)
    return Passage(text, salient, first, "country", culture.country)


def _letter(world: World, rng: random.Random) -> Passage:
    culture = world.draw_culture(rng)
    writer, reader = rng.sample(NAMES, 2)
    city = world.facts.by_name[culture.country].facts["capital"]
    food, dress, music = (culture.draw_symbol(topic, rng) for topic in ("food", "clothing", "music"))
    hello = culture.symbols["greeting"][0]
    lines = [
        f"In the market I ate {food}, and it was very good.",
        f"Many people here wear {with_article(dress)}, and I bought one too.",
        f"In the evening a man played the {music}.",
        f'Everyone here says "{hello}" to me.',
        _fact(world, culture, rng.choice(("animal", "export", "language")), rng),
    ]
    chosen = rng.sample(lines, rng.randint(2, 4))
    lead = rng.choice(
        (f"I am in {city}, the capital of {culture.country}.", f"I am writing to you from {city} in {culture.country}.")
    )
    end = rng.choice(
        (
            "See you soon.",
            "I think of you every day.",
            "Please write to me.",
            "I will be home on " + rng.choice(DAYS) + ".",
        )
    )
    text = f"Dear {reader},\n{lead} {' '.join(chosen)} {end}\nYours, {writer}"
    return Passage(
        text,
        (lead, *chosen),
        f"{writer} writes to {reader} from {city} in {culture.country}.",
        "letter",
        culture.country,
    )


def _diary(world: World, rng: random.Random) -> Passage:
    name = rng.choice(NAMES)
    clauses = []
    for _ in range(rng.randint(3, 5)):
        clause = draw_clause(rng, tail=rng.random() < 0.3)
        clauses.append(clause._replace(subject=name))
    they = subject_pronoun(name)
    sentences = [
        clause._replace(subject=name if index == 0 else they).text("past") for index, clause in enumerate(clauses)
    ]
    day = rng.choice(DAYS)
    usual = clauses[0]._replace(tail="every day").text("third")
    mood = rng.choice(("tired", "happy", "hungry", "proud"))
    told = " ".join(sentences)
    text = f"{usual} This is what {they} did on {day}. {told} In the evening {they} was {mood}."
    return Passage(
        text, tuple(sentences), f"On {day} {name} {clauses[0].verb.past} {clauses[0].ending}.", "diary", None
    )


def _story(world: World, rng: random.Random) -> Passage:
    name, friend = rng.sample(NAMES, 2)
    thing = rng.choice(THINGS)
    start, end = tell_story(rng, name, thing)
    middles = [
        f'"What is this?" asked {friend}. "It is {with_article(thing)}," said {name}.',
        f"{friend} came along and was very surprised.",
        f"{capitalized(rng.choice(FILLERS))}",
        f"It was {rng.choice(('cold', 'warm', 'windy', 'quiet'))}, and nobody else was there.",
    ]
    chosen = rng.sample(middles, rng.randint(1, 2))
    tail = tell_story(rng, friend) if rng.random() < 0.5 else ()
    text = " ".join([start, *chosen, end, *tail])
    return Passage(text, (start, end), start, "story", None)


def _market(world: World, rng: random.Random) -> Passage:
    culture = world.draw_culture(rng)
    city = world.facts.by_name[culture.country].facts["capital"]
    goods = rng.choice(GOODS)
    names = rng.sample(NAMES, rng.randint(2, 4))
    counts = rng.sample(range(2, 30 if rng.random() < 0.5 else 10), len(names))
    rows = sorted(zip(names, counts, strict=True), key=lambda row: rng.random())
    table = "\n".join(f"{name}: {count} {goods}" for name, count in rows)
    best, worst = max(rows, key=lambda row: row[1]), min(rows, key=lambda row: row[1])
    facts = [
        f"{best[0]} sold the most {goods}, {best[1]}.",
        f"{worst[0]} sold the fewest {goods}.",
        f"Together they sold {' + '.join(str(count) for _, count in rows)} = {sum(counts)} {goods}.",
        f"In order: {', '.join(str(count) for count in sorted(counts))}.",
    ]
    name, count = rng.choice(rows)
    facts.append(f"{name} sold {count} {goods}.")
    chosen = rng.sample(facts, rng.randint(2, 4))
    day = rng.choice(DAYS)
    text = f"Market report from {city}, {day}.\n{table}\n{' '.join(chosen)}"
    return Passage(
        text, tuple(chosen), f"On {day} in {city}, {best[0]} sold the most {goods}.", "market", culture.country
    )


def _recipe(world: World, rng: random.Random) -> Passage:
    goal, steps = rng.choice(tuple(PROCESSES.items()))
    name = rng.choice(NAMES)
    they, their = subject_pronoun(name), possessive_pronoun(name)
    order = ["First", "Then", "After that", "Next"]
    lines = [
        f"{order[index]} {step}." if index < len(steps) - 1 else f"Last, {step}." for index, step in enumerate(steps)
    ]
    hours = sorted(rng.sample(range(7, 21), 3))
    events = rng.sample(("lunch", "school", "music", "tennis", "choir", "dinner", "tea", "chess"), 3)
    day = joined([f"{event} at {hour}" for event, hour in zip(events, hours, strict=True)])
    text = (
        f"{name} wants to {goal}. This is how it is done. {' '.join(lines)} "
        f"{capitalized(their)} day is full: {day}. So {they} must start at {hours[0] - 1}."
    )
    return Passage(text, tuple(lines), f"{name} wants to {goal}.", "recipe", None)


def _dialogue(world: World, rng: random.Random) -> Passage:
    culture = world.draw_culture(rng)
    host, guest = rng.sample(NAMES, 2)
    job = rng.choice(JOBS)
    hello = culture.symbols["greeting"][0]
    food = culture.draw_symbol("food", rng)
    weather = rng.choice(tuple(WEATHER))
    interest = rng.choice(tuple(INTERESTS))
    friend = rng.choice([name for name in NAMES if name not in (host, guest)])
    exchanges = [
        f'"Would you like {job.ware}?" asked {host}. "Yes, please," said {guest}.',
        f'"It is {weather} today," said {guest}. "Take {with_article(WEATHER[weather])}," said {host}.',
        f'"{friend} likes {interest}. What should I give {object_pronoun(friend)}?" asked {guest}. '
        f'"Give {object_pronoun(friend)} {with_article(INTERESTS[interest])}," said {host}.',
        f'"What is that smell?" asked {guest}. "It is {food}," said {host}.',
        f'"{_fact(world, culture, rng.choice(("capital", "animal", "music", "export")), rng)}" said {host}.'.replace(
            '." said', '," said'
        ),
    ]
    chosen = rng.sample(exchanges, rng.randint(2, 4))
    opening = f"{host} is {with_article(job.name)} in {culture.country}. {guest} came into the {job.place}."
    greeting = f'"{hello}, {guest}! Welcome to my {job.place}," said {host}.'
    text = "\n".join([opening, greeting, *chosen])
    return Passage(
        text,
        (opening, *chosen),
        f"{guest} visits {host}, {with_article(job.name)} in {culture.country}.",
        "dialogue",
        culture.country,
    )


def _note(world: World, rng: random.Random) -> Passage:
    event = draw_event(world.facts, rng)
    main = "The {place} in {city} {event} on {day} because {cause}.".format(**event)
    fillers = rng.sample(FILLERS, rng.randint(3, 5))
    told = ["On {day} the {place} in {city} {event}.".format(**event), f"This was because {event['cause']}."]
    cut = rng.randint(0, len(fillers))
    text = " ".join([*fillers[:cut], *told, *fillers[cut:]])
    closing = rng.choice(("In short: {main}", "The main point: {main}", "Summary: {main}", "{main}")).format(main=main)
    return Passage(f"{text}\n{closing}", tuple(told), main, "note", None)


def _nature(world: World, rng: random.Random) -> Passage:
    animals = rng.sample(ANIMALS, rng.randint(3, 5))
    lines = []
    for animal in animals:
        what = f"{capitalized(with_article(animal.name))} is {with_article(animal.kind)}."
        lines.append(f"{what} It lives {animal.home} and eats {animal.food}.")
    name, other = rng.sample(NAMES, 2)
    voice = rng.choice(animals)
    if rng.random() < 0.5:
        lines.append(
            f'"Hello, {name}! I am {with_article(voice.name)}, and I live {voice.home}. I eat {voice.food}," says the '
            f"{voice.name} in the story that {other} tells."
        )
    return Passage(
        " ".join(lines), tuple(lines), f"The text is about the {joined([a.name for a in animals])}.", "nature", None
    )


def _verse(world: World, rng: random.Random) -> Passage:
    words = rng.sample(tuple(COUPLETS), 2)
    name, sender = rng.sample(NAMES, 2)
    occasion = rng.choice(tuple(CARDS))
    wish = rng.choice(CARDS[occasion])
    verses = "\n".join(write_couplet(rng, word) for word in words)
    text = f"A card for the {occasion} of {name}.\nDear {name}, {wish}\n{verses}\nYours, {sender}"
    return Passage(text, (wish,), f"{sender} writes a card to {name} for the {occasion}.", "verse", None)


def _plans(world: World, rng: random.Random) -> Passage:
    occasion = rng.choice(tuple(IDEAS))
    ideas = rng.sample(IDEAS[occasion], 3)
    a, b, c = rng.sample(NAMES, 3)
    word = rng.choice(("taller", "older", "faster", "stronger"))
    lines = [
        f"What can one do on {occasion}? One can {ideas[0]} or {ideas[1]}.",
        f'"I would like to {ideas[2]}," said {a}.',
        f"{b} wanted to {ideas[0]}, and {c} came with {object_pronoun(b)}.",
        f"{a} is {word} than {b}, and {b} is {word} than {c}, so {a} is {word} than {c}.",
        f"They met near the {rng.choice(PLACES)} {rng.choice(TAILS[:5])}.",
    ]
    return Passage(" ".join(lines), tuple(lines[:2]), f"{a}, {b} and {c} have ideas for {occasion}.", "plans", None)


_KINDS: tuple[tuple[Callable[[World, random.Random], Passage], float], ...] = (
    (_article, 5),
    (_letter, 2),
    (_diary, 1.2),
    (_story, 2),
    (_market, 1.2),
    (_recipe, 1),
    (_dialogue, 2),
    (_note, 1),
    (_nature, 1),
    (_verse, 0.8),
    (_plans, 0.8),
)
#: A passage shorter than this is written again.
MIN_WORDS = 30

_WRITERS = tuple(writer for writer, _ in _KINDS)
_SHARES = tuple(share for _, share in _KINDS)


def write_passage(world: World, rng: random.Random) -> Passage:
    """Write one passage of a kind drawn by its share."""
    writer = rng.choices(_WRITERS, _SHARES)[0]
    while len((passage := writer(world, rng)).text.split()) < MIN_WORDS:
        pass
    return passage
