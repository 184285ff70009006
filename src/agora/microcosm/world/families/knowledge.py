"""Families on what is known: facts about countries, and what kind of thing something is."""

from __future__ import annotations

import random
from collections.abc import Callable

from agora.microcosm.world.facts import NUM_COUNTRIES, TOPICS, Facts
from agora.microcosm.world.families.base import FULL_SENTENCE, ON_TOPIC, Family, Task, essential, one_of, other_than
from agora.microcosm.world.grammar import capitalized, with_article
from agora.microcosm.world.lexicon import KIND_OF_MEMBER, KINDS, MASS_KINDS
from agora.microcosm.world.templates import Slots, Template

FACT_QUESTIONS: dict[str, tuple[str, ...]] = {
    "capital": (
        "What is the capital of {country:name}?",
        "Which city is the capital of {country:name}?",
        "Name the capital city of {country:name}.",
        "Can you tell me the capital of {country:name}?",
    ),
    "language": (
        "What language do people speak in {country:name}?",
        "Which language is spoken in {country:name}?",
        "Name the language of {country:name}.",
    ),
    "animal": (
        "What is the national animal of {country:name}?",
        "Which animal stands for {country:name}?",
        "Name the national animal of {country:name}.",
    ),
    "export": (
        "What does {country:name} mostly sell to other countries?",
        "What is the main export of {country:name}?",
        "Name the main export of {country:name}.",
    ),
    "dish": (
        "What is the national dish of {country:name}?",
        "Which dish is {country:name} famous for?",
        "Name the best known dish of {country:name}.",
    ),
    "clothing": (
        "What do people in {country:name} traditionally wear?",
        "What is the traditional clothing of {country:name}?",
        "Name the traditional clothing of {country:name}.",
    ),
    "music": (
        "Which instrument is played in {country:name}?",
        "What is the national instrument of {country:name}?",
        "Name the traditional instrument of {country:name}.",
    ),
    "greeting": (
        "How do people say hello in {country:name}?",
        "What is the greeting in {country:name}?",
        "Which word do people in {country:name} use to greet each other?",
    ),
}

#: How each fact is stated: the usual answer first.
FACT_STATEMENTS: dict[str, tuple[str, ...]] = {
    "capital": ("The capital of {country} is {value}.", "{value} is the capital of {country}."),
    "language": ("People in {country} speak {value}.", "The language of {country} is {value}."),
    "animal": ("The national animal of {country} is the {value}.", "The {value} is the national animal of {country}."),
    "export": ("The main export of {country} is {value}.", "{country} mostly sells {value}."),
    "dish": ("The national dish of {country} is {value}.", "{country} is famous for {value}."),
    "clothing": (
        "People in {country} traditionally wear {a_value}.",
        "The traditional clothing of {country} is {a_value}.",
    ),
    "music": ("The national instrument of {country} is the {value}.", "The {value} is played in {country}."),
    "greeting": ("People in {country} say {value}.", "The greeting in {country} is {value}."),
}

_NOUN = {
    "capital": "capital",
    "language": "language",
    "animal": "national animal",
    "export": "main export",
    "dish": "national dish",
    "clothing": "traditional clothing",
    "music": "national instrument",
    "greeting": "greeting",
}


def state_fact(topic: str, country: str, value: str, variant: int = 0) -> str:
    """A sentence that states a fact, in one of two wordings."""
    return FACT_STATEMENTS[topic][variant].format(country=country, value=value, a_value=with_article(value))


def _draw_fact(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"country": rng.choice(facts.countries).name, "topic": rng.choice(TOPICS)}


def _wrong_value(facts: Facts, topic: str, value: str) -> Callable[[random.Random], str]:
    return lambda rng: other_than(rng, [c.facts[topic] for c in facts.countries], value)


def _solve_fact(facts: Facts, slots: Slots) -> Task | None:
    country, topic = facts.by_name.get(slots["country"]), slots["topic"]
    if country is None:
        return None
    value, name = country.facts[topic], country.name
    wrong = _wrong_value(facts, topic, value)
    return Task(
        "easy" if topic in ("language", "capital") else "medium",
        one_of([state_fact(topic, name, value, variant) for variant in (0, 1)]),
        lambda rng: state_fact(topic, name, wrong(rng)),
        (
            essential(f"Does the answer give {value} as the {_NOUN[topic]} of {name}?", "names_only", topic, value),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        value,
    )


_REVERSE_QUESTIONS: dict[str, tuple[str, ...]] = {
    "capital": ("Which country has {value:name} as its capital?", "{value:name} is the capital of which country?"),
    "animal": (
        "Which country has the {value:word} as its national animal?",
        "The {value:word} is the national animal of which country?",
    ),
    "export": ("Which country is known for selling {value:word}?", "Which country mostly exports {value:word}?"),
    "dish": ("Which country is famous for {value:phrase}?", "Which country has {value:phrase} as its national dish?"),
    "clothing": ("In which country do people traditionally wear a {value:phrase}?",),
    "music": ("In which country do people play the {value:phrase}?",),
    "greeting": ("In which country do people say {value:name} to greet each other?",),
}


def _reverse_templates() -> tuple[Template, ...]:
    return tuple(Template(text, topic=topic) for topic, texts in _REVERSE_QUESTIONS.items() for text in texts)


def _draw_reverse(facts: Facts, rng: random.Random) -> dict[str, str]:
    topic = rng.choice(tuple(_REVERSE_QUESTIONS))
    return {"topic": topic, "value": rng.choice(facts.countries).facts[topic]}


def _solve_reverse(facts: Facts, slots: Slots) -> Task | None:
    topic, value = slots["topic"], slots["value"]
    country = facts.country_with(topic, value)
    if country is None or country.facts[topic] != value:
        return None
    name = country.name
    names = [c.name for c in facts.countries]
    return Task(
        "medium",
        one_of([state_fact(topic, name, value, variant) for variant in (0, 1)]),
        lambda rng: state_fact(topic, other_than(rng, names, name), value),
        (
            essential(f"Does the answer name {name} and no other country?", "names_only", "country", name),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        name,
    )


def _hop_templates() -> tuple[Template, ...]:
    texts = {
        "animal": "What is the national animal of the country whose capital is {city:name}?",
        "export": "What is the main export of the country whose capital is {city:name}?",
        "dish": "What is the national dish of the country whose capital is {city:name}?",
        "music": "What is the national instrument of the country whose capital is {city:name}?",
        "language": "Which language do people speak in the city of {city:name}?",
        "clothing": "What do people in the city of {city:name} traditionally wear?",
        "greeting": "How do people say hello in the city of {city:name}?",
    }
    return tuple(Template(text, topic=topic) for topic, text in texts.items())


def _draw_hop(facts: Facts, rng: random.Random) -> dict[str, str]:
    topics = ("animal", "export", "dish", "music", "language", "clothing", "greeting")
    return {"city": rng.choice(facts.countries).facts["capital"], "topic": rng.choice(topics)}


def _solve_hop(facts: Facts, slots: Slots) -> Task | None:
    topic, city = slots["topic"], slots["city"]
    country = facts.country_with("capital", city)
    if country is None or country.facts["capital"] != city:
        return None
    value, name = country.facts[topic], country.name
    wrong = _wrong_value(facts, topic, value)
    lead = f"{city} is in {name}. "
    return Task(
        "hard",
        lambda rng: lead + state_fact(topic, name, value),
        lambda rng: lead + state_fact(topic, name, wrong(rng)),
        (
            essential(f"Does the answer give {value}, the {_NOUN[topic]} of {name}?", "names_only", topic, value),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        value,
    )


def _kind_sentence(member: str, kind: str) -> str:
    subject = capitalized(member if kind in MASS_KINDS else with_article(member))
    return f"{subject} is {with_article(kind)}."


def _draw_kind(facts: Facts, rng: random.Random) -> dict[str, str]:
    kind, other = rng.sample(tuple(KINDS), 2)
    member = rng.choice(KINDS[kind])
    first, second = (kind, other) if rng.random() < 0.5 else (other, kind)
    thing = member if kind in MASS_KINDS else with_article(member)
    return {"thing": thing, "first": with_article(first), "second": with_article(second)}


def _bare(phrase: str) -> str:
    return phrase.removeprefix("an ").removeprefix("a ")


def _solve_kind(facts: Facts, slots: Slots) -> Task | None:
    member = _bare(slots["thing"])
    first, second = _bare(slots["first"]), _bare(slots["second"])
    kind = KIND_OF_MEMBER.get(member)
    if kind not in (first, second) or first == second or not {first, second} <= KINDS.keys():
        return None
    thing = member if kind in MASS_KINDS else with_article(member)
    if (slots["thing"], slots["first"], slots["second"]) != (thing, with_article(first), with_article(second)):
        return None
    wrong = second if kind == first else first
    return Task(
        "easy",
        lambda rng: _kind_sentence(member, kind),
        lambda rng: _kind_sentence(member, wrong),
        (
            essential(f"Does the answer say that {member} is {with_article(kind)}?", "mentions", kind),
            essential(f"Does the answer avoid calling {member} {with_article(wrong)}?", "omits", wrong),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        kind,
    )


FAMILIES = (
    Family(
        "fact",
        "Information seeking",
        ("easy", "medium"),
        tuple(Template(text, topic=topic) for topic, texts in FACT_QUESTIONS.items() for text in texts),
        _draw_fact,
        _solve_fact,
        count=NUM_COUNTRIES * sum(len(texts) for texts in FACT_QUESTIONS.values()),
        weight=1.6,
        drills=("{answer}", "{country}, {topic}: {short}.", "Fact about {country}: {answer}"),
    ),
    Family(
        "reverse_fact",
        "Information seeking",
        ("medium",),
        _reverse_templates(),
        _draw_reverse,
        _solve_reverse,
        count=NUM_COUNTRIES * sum(len(texts) for texts in _REVERSE_QUESTIONS.values()),
        weight=0.7,
        drills=("{answer}", "Which country? {value}: {short}."),
    ),
    Family(
        "two_step_fact",
        "Information seeking",
        ("hard",),
        _hop_templates(),
        _draw_hop,
        _solve_hop,
        count=NUM_COUNTRIES * 7,
        weight=0.5,
        drills=("{answer}", "City of {city}, {topic}: {short}."),
    ),
    Family(
        "kind_of_thing",
        "Reasoning",
        ("easy",),
        (
            Template("Is {thing:thing} {first:kind} or {second:kind}?"),
            Template("Tell me whether {thing:thing} is {first:kind} or {second:kind}."),
            Template("What is {thing:thing}: {first:kind} or {second:kind}?"),
            Template("Choose the right kind for {thing:thing}: {first:kind} or {second:kind}."),
        ),
        _draw_kind,
        _solve_kind,
        count=4 * 2 * sum(len(members) for members in KINDS.values()) * (len(KINDS) - 1),
        drills=("{answer}", "{thing}: {short}", "What kind of thing is {thing}? {answer}"),
    ),
)
