"""The facts of the world: invented countries and what each is known for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

from agora.microcosm.world.lexicon import (
    ANIMAL_NAMES,
    CITY_POOL,
    COUNTRY_POOL,
    DISH_POOL,
    EXPORT_POOL,
    GARMENT_POOL,
    GREETING_POOL,
    INSTRUMENT_POOL,
)

NUM_COUNTRIES = 40

#: The topics on which every country has one fact, in a fixed order.
TOPICS: tuple[str, ...] = ("capital", "language", "animal", "export", "dish", "clothing", "music", "greeting")

_POOLS: Mapping[str, tuple[str, ...]] = {
    "capital": CITY_POOL,
    "animal": ANIMAL_NAMES,
    "export": EXPORT_POOL,
    "dish": DISH_POOL,
    "clothing": GARMENT_POOL,
    "music": INSTRUMENT_POOL,
    "greeting": GREETING_POOL,
}


class Country(NamedTuple):
    """A country and its facts; `facts` maps each topic of `TOPICS` to one value, unique among countries."""

    name: str
    adjective: str
    facts: Mapping[str, str]


def build_countries(seed: int) -> tuple[Country, ...]:
    """Draw the countries of a world and give each its facts. The same seed gives the same countries."""
    rng = random.Random(f"countries/{seed}")
    names = rng.sample(COUNTRY_POOL, NUM_COUNTRIES)
    columns = {topic: rng.sample(pool, NUM_COUNTRIES) for topic, pool in _POOLS.items()}
    countries = []
    for index, name in enumerate(names):
        adjective = name + "n"
        facts = {topic: adjective if topic == "language" else columns[topic][index] for topic in TOPICS}
        countries.append(Country(name, adjective, facts))
    return tuple(countries)


def members_of_topic(topic: str) -> tuple[str, ...]:
    """All values that any world may use for a topic."""
    if topic == "language":
        return tuple(name + "n" for name in COUNTRY_POOL)
    return COUNTRY_POOL if topic == "country" else _POOLS[topic]


class Facts:
    """The countries of one world, found by name or by what they are known for."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.countries = build_countries(seed)
        self.by_name = {country.name: country for country in self.countries}
        self._owner = {(topic, c.facts[topic].lower()): c for c in self.countries for topic in TOPICS}

    def country_with(self, topic: str, value: str) -> Country | None:
        """The one country whose fact on the topic is the value; None where there is none."""
        return self._owner.get((topic, value.lower()))
