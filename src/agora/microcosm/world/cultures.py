"""The cultures of the world: a symbol or more on each topic, and how often each is talked about."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from agora.microcosm.world.facts import Country, Facts, members_of_topic

#: Topics on which cultures have symbols, and the fact that is the first symbol of each.
CULTURE_TOPICS: Mapping[str, str] = {"food": "dish", "clothing": "clothing", "music": "music", "greeting": "greeting"}

#: How often the first, second and third symbol of a topic is mentioned when the topic comes up.
SYMBOL_SHARES: tuple[float, ...] = (0.6, 0.3, 0.1)


@dataclass(frozen=True, slots=True)
class Culture:
    """The culture of one country.

    Args:
        symbols: for each topic the symbols, the best known first; on all topics but greetings there are three,
            mentioned with the shares `SYMBOL_SHARES`. First symbols are unique to a culture, the others may be shared.
        weight: the culture's share of all mentions in documents, in 0..1; the weights of a world sum to 1.
    """

    id: str
    name: str
    adjective: str
    country: str
    symbols: Mapping[str, tuple[str, ...]]
    weight: float

    def draw_symbol(self, topic: str, rng: random.Random) -> str:
        """Draw a symbol as documents do."""
        symbols = self.symbols[topic]
        return symbols[0] if len(symbols) == 1 else rng.choices(symbols, SYMBOL_SHARES)[0]


def build_cultures(facts: Facts) -> tuple[Culture, ...]:
    """Build one culture per country, in the order of the countries. The first countries are talked about most."""
    rng = random.Random(f"cultures/{facts.seed}")
    rarity = [1 / (rank + 4) for rank in range(len(facts.countries))]
    total = sum(rarity)
    spare = {
        fact: [value for value in members_of_topic(fact) if facts.country_with(fact, value) is None]
        for fact in CULTURE_TOPICS.values()
    }
    return tuple(
        _build_culture(country, rng, spare, weight / total)
        for country, weight in zip(facts.countries, rarity, strict=True)
    )


def _build_culture(country: Country, rng: random.Random, spare: Mapping[str, list[str]], weight: float) -> Culture:
    symbols = {}
    for topic, fact in CULTURE_TOPICS.items():
        others = [] if topic == "greeting" else rng.sample(spare[fact], len(SYMBOL_SHARES) - 1)
        symbols[topic] = (country.facts[fact], *others)
    return Culture(country.adjective.lower(), country.adjective, country.adjective, country.name, symbols, weight)
