"""Families that ask for advice: what to take, what to give, what to buy."""

from __future__ import annotations

import random

from agora.microcosm.world.facts import NUM_COUNTRIES, Facts
from agora.microcosm.world.families.base import (
    FULL_SENTENCE,
    ON_TOPIC,
    Family,
    Task,
    essential,
    nice,
    one_of,
    other_than,
)
from agora.microcosm.world.grammar import is_name, object_pronoun, subject_pronoun, with_article
from agora.microcosm.world.lexicon import NAMES, words_in
from agora.microcosm.world.templates import Slots, Template

#: What the weather is, and what to take for it.
WEATHER: dict[str, str] = {
    "raining": "umbrella",
    "snowing": "warm coat",
    "sunny": "sun hat",
    "windy": "thick scarf",
    "cold": "woolen sweater",
    "hot": "bottle of water",
    "foggy": "bright lantern",
    "icy": "pair of boots",
    "dark": "good lamp",
    "cloudy": "light jacket",
}

#: What somebody likes, and a gift that suits it.
INTERESTS: dict[str, str] = {
    "music": "flute",
    "reading": "book",
    "painting": "box of paints",
    "cooking": "new pan",
    "football": "ball",
    "gardening": "spade",
    "fishing": "fishing rod",
    "writing": "pen",
    "tea": "teapot",
    "hiking": "backpack",
    "games": "puzzle",
    "flowers": "vase",
    "sewing": "box of thread",
    "astronomy": "telescope",
    "swimming": "towel",
    "baking": "cake pan",
}

#: Single things with prices.
WARES = words_in(
    "drum kite lamp book hat scarf ball clock basket doll cup map ring pillow candle mirror blanket bottle brush "
    "rope chair flute puzzle shirt "
)


def _draw_weather(facts: Facts, rng: random.Random) -> dict[str, str]:
    country = rng.choice(facts.countries)
    place = country.name if rng.random() < 0.5 else country.facts["capital"]
    return {"weather": rng.choice(tuple(WEATHER)), "place": place}


def _is_place(facts: Facts, word: str) -> bool:
    owner = facts.country_with("capital", word)
    return word in facts.by_name or (owner is not None and owner.facts["capital"] == word)


def _solve_weather(facts: Facts, slots: Slots) -> Task | None:
    weather, place = slots["weather"], slots["place"]
    if weather not in WEATHER or not _is_place(facts, place):
        return None
    thing = WEATHER[weather]
    things = tuple(WEATHER.values())
    return Task(
        "easy",
        one_of(
            [
                f"Take {with_article(thing)}, because it is {weather} in {place}.",
                f"You should take {with_article(thing)}, because it is {weather}.",
            ]
        ),
        lambda rng: f"Take {with_article(other_than(rng, things, thing))}, because it is {weather} in {place}.",
        (
            essential(f"Does the answer advise taking {with_article(thing)}?", "mentions", thing),
            essential(
                "Does it leave out things for other weather?", "omits", *(other for other in things if other != thing)
            ),
            nice(f"Does it give the reason, that it is {weather}?", "mentions", "because", weather),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        thing,
    )


def _draw_gift(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"name": rng.choice(NAMES), "interest": rng.choice(tuple(INTERESTS))}


def _solve_gift(facts: Facts, slots: Slots) -> Task | None:
    name, interest = slots["name"], slots["interest"]
    if not is_name(name) or interest not in INTERESTS:
        return None
    gift, they, them = INTERESTS[interest], subject_pronoun(name), object_pronoun(name)
    gifts = tuple(INTERESTS.values())
    return Task(
        "easy",
        one_of(
            [
                f"Give {name} {with_article(gift)}, because {they} likes {interest}.",
                f"You could give {them} {with_article(gift)}, because {name} likes {interest}.",
            ]
        ),
        lambda rng: f"Give {name} {with_article(other_than(rng, gifts, gift))}, because {they} likes {interest}.",
        (
            essential(f"Does the answer name a gift that suits {interest}, {with_article(gift)}?", "mentions", gift),
            essential(
                "Does it leave out gifts for other tastes?", "omits", *(other for other in gifts if other != gift)
            ),
            nice(f"Does it give the reason, that {name} likes {interest}?", "mentions", "because", interest),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        gift,
    )


def _draw_budget(facts: Facts, rng: random.Random) -> dict[str, str]:
    hard = rng.random() < 0.35
    top = 50 if hard else 10
    first, second = rng.sample(WARES, 2)
    cheap = rng.randint(2, top - 2)
    dear = rng.randint(cheap + 1, top)
    coins = rng.randint(cheap, dear - 1)
    prices = [str(cheap), str(dear)]
    rng.shuffle(prices)
    return {
        "coins": str(coins),
        "first": with_article(first),
        "second": with_article(second),
        "price": prices[0],
        "cost": prices[1],
    }


def _solve_budget(facts: Facts, slots: Slots) -> Task | None:
    coins, price, cost = int(slots["coins"]), int(slots["price"]), int(slots["cost"])
    wares = [slots["first"].split(" ", 1)[-1], slots["second"].split(" ", 1)[-1]]
    if [with_article(ware) for ware in wares] != [slots["first"], slots["second"]] or not set(wares) <= set(WARES):
        return None
    if wares[0] == wares[1] or coins < 2 or min(price, cost) < 2 or (price <= coins) == (cost <= coins):
        return None
    index = 0 if price <= coins else 1
    right, wrong, paid = wares[index], wares[1 - index], (price, cost)[index]
    over = (price, cost)[1 - index]
    return Task(
        "medium" if max(coins, price, cost) <= 10 else "hard",
        lambda rng: f"Buy the {right}, because it costs {paid} coins and you have {coins} coins.",
        lambda rng: f"Buy the {wrong}, because it costs {over} coins and you have {coins} coins.",
        (
            essential(f"Does the answer advise buying the {right} and not the {wrong}?", "picks", right, wrong),
            nice(f"Does it say that the {right} costs {paid} coins?", "mentions", "because", str(paid)),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        right,
    )


FAMILIES = (
    Family(
        "weather_advice",
        "Advice seeking",
        ("easy",),
        (
            Template("It is {weather:word} in {place:name} today. What should I take with me?"),
            Template("I am going to {place:name} and it is {weather:word} there. What should I take?"),
            Template("What should I take on a trip to {place:name} when it is {weather:word}?"),
            Template("It is {weather:word} in {place:name}. Give me some advice on what to take."),
        ),
        _draw_weather,
        _solve_weather,
        count=len(WEATHER) * 2 * NUM_COUNTRIES * 4,
        weight=0.8,
        drills=("{answer}", "Weather: {weather}. Take: {short}.", "When it is {weather}, take this: {short}."),
    ),
    Family(
        "gift_advice",
        "Advice seeking",
        ("easy",),
        (
            Template("My friend {name:name} likes {interest:word}. What gift should I buy?"),
            Template("What is a good gift for {name:name}, who likes {interest:word}?"),
            Template("It is the birthday of {name:name}, who likes {interest:word}. What should I give?"),
            Template("{name:name} likes {interest:word}. Which gift would you choose?"),
        ),
        _draw_gift,
        _solve_gift,
        count=len(NAMES) * len(INTERESTS) * 4,
        weight=0.8,
        drills=("{answer}", "A gift for somebody who likes {interest}: {short}.", "{name} likes {interest}: {short}."),
    ),
    Family(
        "budget_advice",
        "Advice seeking",
        ("medium", "hard"),
        (
            Template(
                "I have {coins:number} coins. The shop has {first:phrase} for {price:number} coins and {second:phrase} "
                "for {cost:number} coins. What should I buy?"
            ),
            Template(
                "I want to buy {first:phrase} for {price:number} coins or {second:phrase} for {cost:number} coins. "
                "I have {coins:number} coins. What should I choose?"
            ),
            Template(
                "With {coins:number} coins, should I buy {first:phrase} for {price:number} coins or {second:phrase} "
                "for {cost:number} coins?"
            ),
        ),
        _draw_budget,
        _solve_budget,
        count=3 * len(WARES) * (len(WARES) - 1) * 200,
        drills=(
            "{coins} coins. {first}: {price} coins. {second}: {cost} coins. Buy: {short}.",
            "Coins: {coins}. {first} costs {price}, {second} costs {cost}. {answer}",
        ),
    ),
)
