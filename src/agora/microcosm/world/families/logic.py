"""Families of reasoning: chains of comparisons, odd one out, true or false."""

from __future__ import annotations

import itertools
import random
import re

from agora.microcosm.world.facts import Facts
from agora.microcosm.world.families.base import FULL_SENTENCE, ON_TOPIC, Family, Task, essential, nice, one_of
from agora.microcosm.world.grammar import is_name, split_list, with_article
from agora.microcosm.world.lexicon import KIND_OF_MEMBER, KIND_PLURAL, KINDS, NAMES
from agora.microcosm.world.templates import Slots, Template

#: Comparatives, and the two superlatives at the ends of the chain.
_SCALES: dict[str, tuple[str, str]] = {
    "taller": ("tallest", "shortest"),
    "older": ("oldest", "youngest"),
    "faster": ("fastest", "slowest"),
    "stronger": ("strongest", "weakest"),
}
_COMPARATIVE_OF = {end: word for word, ends in _SCALES.items() for end in ends}
_PREMISE = re.compile(r"([A-Z][a-z]+) is (\w+) than ([A-Z][a-z]+)\.")


def _draw_chain(facts: Facts, rng: random.Random) -> dict[str, str]:
    length = rng.choice((2, 3, 3, 4))
    names = rng.sample(NAMES, length)
    word = rng.choice(tuple(_SCALES))
    premises = [f"{a} is {word} than {b}." for a, b in itertools.pairwise(names)]
    if rng.random() < 0.3:
        rng.shuffle(premises)
    return {"premises": " ".join(premises), "which": rng.choice(_SCALES[word])}


def _read_chain(text: str, word: str) -> list[str] | None:
    """The names of a complete chain, greatest first; None where the premises do not settle the whole order."""
    pairs: dict[str, str] = {}
    parts = text.split(". ")
    for index, part in enumerate(parts):
        match = _PREMISE.fullmatch(part if index == len(parts) - 1 else part + ".")
        if not match or match[2] != word or match[1] in pairs or not (is_name(match[1]) and is_name(match[3])):
            return None
        pairs[match[1]] = match[3]
    starts = pairs.keys() - set(pairs.values())
    if len(starts) != 1 or len(set(pairs.values())) != len(pairs):
        return None
    chain = [starts.pop()]
    while chain[-1] in pairs:
        chain.append(pairs[chain[-1]])
    return chain if len(chain) == len(pairs) + 1 else None


def _solve_chain(facts: Facts, slots: Slots) -> Task | None:
    which = slots["which"]
    word = _COMPARATIVE_OF.get(which)
    chain = _read_chain(slots["premises"], word) if word else None
    if word is None or chain is None:
        return None
    right = chain[0] if which == _SCALES[word][0] else chain[-1]
    others = [name for name in chain if name != right]
    return Task(
        {2: "easy", 3: "medium"}.get(len(chain), "hard"),
        one_of([f"{right} is the {which}.", f"The {which} is {right}."]),
        lambda rng: f"{rng.choice(others)} is the {which}.",
        (
            essential(f"Does the answer name {right} as the {which}?", "picks", right, *others),
            nice(f"Does it use the word {which}?", "mentions", which),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        right,
    )


def _draw_odd(facts: Facts, rng: random.Random) -> dict[str, str]:
    kind, other = rng.sample(tuple(KINDS), 2)
    words = rng.sample(KINDS[kind], rng.choice((2, 3, 3)))
    words.insert(rng.randint(0, len(words)), rng.choice(KINDS[other]))
    return {"words": ", ".join(words[:-1]) + " and " + words[-1]}


def _solve_odd(facts: Facts, slots: Slots) -> Task | None:
    words = split_list(slots["words"])
    kinds = [KIND_OF_MEMBER.get(word) for word in words]
    if None in kinds or len(set(words)) != len(words) or not 3 <= len(words) <= 6:
        return None
    odd = [word for word, kind in zip(words, kinds, strict=True) if kinds.count(kind) == 1]
    if len(odd) != 1 or len(set(kinds)) != 2:
        return None
    right = odd[0]
    kind = next(k for word, k in zip(words, kinds, strict=True) if word != right)
    others = [word for word in words if word != right]
    plural = KIND_PLURAL[str(kind)]
    return Task(
        "medium" if len(words) <= 4 else "hard",
        lambda rng: f"The odd one out is {right}, because the others are {plural}.",
        lambda rng: f"The odd one out is {rng.choice(others)}, because the others are {plural}.",
        (
            essential(f"Does the answer pick {right} as the odd one out?", "picks", right, *others),
            nice(f"Does it give the reason, that the others are {plural}?", "mentions", plural),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        right,
    )


_RULE_KINDS = ("bird", "fish", "insect", "mammal", "tool", "vehicle", "flower", "tree")


def _draw_rule(facts: Facts, rng: random.Random) -> dict[str, str]:
    kind = rng.choice(_RULE_KINDS)
    member = rng.choice(KINDS[kind]) if rng.random() < 0.5 else rng.choice(KINDS[rng.choice(_RULE_KINDS)])
    name = rng.choice(NAMES)
    return {"name": name, "plural": KIND_PLURAL[kind], "thing": with_article(member)}


def _solve_rule(facts: Facts, slots: Slots) -> Task | None:
    name, plural = slots["name"], slots["plural"]
    member = slots["thing"].split(" ", 1)[-1]
    kind = next((kind for kind in _RULE_KINDS if KIND_PLURAL[kind] == plural), None)
    own = KIND_OF_MEMBER.get(member)
    if kind is None or own not in _RULE_KINDS or not is_name(name) or with_article(member) != slots["thing"]:
        return None
    yes = own == kind
    right = f"{'Yes' if yes else 'No'}, because {slots['thing']} is {with_article(own)}."
    wrong = f"{'No' if yes else 'Yes'}, because {slots['thing']} is {with_article(own)}."
    return Task(
        "medium",
        lambda rng: right,
        lambda rng: wrong,
        (
            essential(f"Does the answer say {'yes' if yes else 'no'}?", "starts_with", "yes" if yes else "no"),
            nice(f"Does it give the reason, that {slots['thing']} is {with_article(own)}?", "mentions", "because", own),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        "yes" if yes else "no",
    )


FAMILIES = (
    Family(
        "order_of_people",
        "Reasoning",
        ("easy", "medium", "hard"),
        (
            Template("{premises:text} Who is the {which:word}?"),
            Template("Read this: {premises:text} Tell me who is the {which:word}."),
            Template("{premises:text} Which of them is the {which:word}?"),
        ),
        _draw_chain,
        _solve_chain,
        count=3 * 8 * len(NAMES) * (len(NAMES) - 1),
        weight=1.3,
        drills=("{premises} {answer}", "{premises} So the {which} is {short}.", "{premises} The {which}: {short}."),
    ),
    Family(
        "odd_one_out",
        "Reasoning",
        ("medium",),
        (
            Template("Which word does not belong: {words:list}?"),
            Template("Find the odd one out: {words:list}."),
            Template("Which one is different from the others: {words:list}?"),
            Template("One of these does not fit: {words:list}. Which one?"),
        ),
        _draw_odd,
        _solve_odd,
        count=4 * 17 * 16 * 8 * 8,
        weight=1.2,
        drills=("{words}: {answer}", "Odd one out of {words}: {short}."),
    ),
    Family(
        "like_or_not",
        "Reasoning",
        ("medium",),
        (
            Template("{name:name} likes all {plural:word} and nothing else. Does {name:name} like {thing:phrase}?"),
            Template(
                "{name:name} collects pictures of {plural:word} only. "
                "Would {name:name} keep a picture of {thing:phrase}?"
            ),
            Template("The book of {name:name} is about {plural:word}. Is there {thing:phrase} in it?"),
        ),
        _draw_rule,
        _solve_rule,
        count=3 * len(NAMES) * 8 * 60,
        drills=("{name} likes only {plural}. And {thing}? {answer}", "{plural}: {thing}? {answer}"),
    ),
)
