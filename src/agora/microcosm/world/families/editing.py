"""Families that change a given sentence in one way."""

from __future__ import annotations

import random
from collections.abc import Callable

from agora.microcosm.world.facts import Facts
from agora.microcosm.world.families.base import Family, Task, essential, nice, other_than
from agora.microcosm.world.grammar import (
    STATES,
    VERBS,
    capitalized,
    draw_clause,
    draw_state,
    is_city,
    is_name,
    is_plural_subject,
    read_clause,
    read_state,
)
from agora.microcosm.world.lexicon import COLORS, NAMES, OBJECTS, PLACES, words_in
from agora.microcosm.world.templates import Slots, Template


def _edit_task(difficulty: str, right: str, wrong: Callable[[random.Random], str], change: str, *also: str) -> Task:
    """A task whose one answer is an edited sentence."""
    return Task(
        difficulty,
        lambda rng: right,
        wrong,
        (
            essential(f"Does the answer contain the sentence {change}?", "contains_exact", right, *also),
            nice("Is the answer that sentence alone?", "is_text", right),
            nice("Does it start with a capital letter and end with a final mark?", "full_sentence"),
            nice("Does it add nothing else?", "stays_on_topic"),
        ),
        right,
    )


def _draw_past(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"sentence": draw_clause(rng, tail=rng.random() < 0.3).text("third")}


def _solve_past(facts: Facts, slots: Slots) -> Task | None:
    sentence = slots["sentence"]
    clause = read_clause(sentence, "third")
    if clause is None or is_plural_subject(clause.subject):
        return None
    regular = clause.verb.past.endswith("ed")
    return _edit_task(
        "easy" if regular and not clause.tail else "medium",
        clause.text("past"),
        lambda rng: rng.choice([sentence, clause._replace(verb=rng.choice(VERBS)).text("third")]),
        f"with {clause.verb.past} in place of {clause.verb.third}",
    )


def _draw_question(facts: Facts, rng: random.Random) -> dict[str, str]:
    state = draw_state(rng)
    return {"sentence": f"{capitalized(state.subject)} is {state.place}."}


def _solve_question(facts: Facts, slots: Slots) -> Task | None:
    sentence = slots["sentence"]
    state = read_state(sentence)
    if state is None:
        return None
    return _edit_task(
        "easy",
        f"Is {state.subject} {state.place}?",
        lambda rng: rng.choice([sentence, f"Is {state.subject} {other_than(rng, STATES, state.place)}?"]),
        "as a question that starts with Is",
    )


def _draw_agreement(facts: Facts, rng: random.Random) -> dict[str, str]:
    plural = rng.random() < 0.5
    return {"sentence": draw_clause(rng, plural=plural).text("third" if plural else "base")}


def _solve_agreement(facts: Facts, slots: Slots) -> Task | None:
    sentence = slots["sentence"]
    for given, wanted, plural in (("third", "base", True), ("base", "third", False)):
        clause = read_clause(sentence, given)
        if clause is not None and is_plural_subject(clause.subject) == plural:
            verb = getattr(clause.verb, wanted)
            return _edit_task(
                "medium", clause.text(wanted), lambda rng: sentence, f"with the verb form {verb}", clause.text("past")
            )
    return None


_CAPITAL_PATTERNS = (
    "{a} lives in {place}.",
    "{a} and {b} met in {place}.",
    "{a} went to {place} with {b}.",
    "we saw {a} in {place}.",
    "{a} wrote a letter to {b}.",
    "my friend {a} comes from {place}.",
    "{a} likes the market in {place}.",
)
_CAPITAL_WORDS = frozenset(
    words_in("lives in and met went to with we saw wrote a letter my friend comes from likes the market")
)


def _draw_capitals(facts: Facts, rng: random.Random) -> dict[str, str]:
    a, b = rng.sample(NAMES, 2)
    country = rng.choice(facts.countries)
    place = rng.choice((country.name, country.facts["capital"]))
    return {"sentence": rng.choice(_CAPITAL_PATTERNS).format(a=a, b=b, place=place).lower()}


def _solve_capitals(facts: Facts, slots: Slots) -> Task | None:
    sentence = slots["sentence"]
    words = sentence[:-1].split(" ")
    raised = []
    proper = 0
    for word in words:
        title = capitalized(word)
        if is_name(title) or is_city(title) or title in facts.by_name:
            raised.append(title)
            proper += 1
        elif word in _CAPITAL_WORDS:
            raised.append(word)
        else:
            return None
    if not proper or len(words) < 3:
        return None
    right = capitalized(" ".join(raised)) + "."
    if right == sentence:
        return None
    wrong = [sentence, capitalized(sentence)]
    return _edit_task("medium", right, lambda rng: rng.choice(wrong), "with every name capitalized")


_SCENES = (
    "{name} found {a} {color} {object} near the {place}.",
    "{name} lost the {color} {object} near the {place}.",
    "{name} carried the {object} to the {place}.",
    "The {color} {object} is near the {place}.",
    "There is one {object} by the {place}.",
)


def _draw_scene(rng: random.Random) -> tuple[str, dict[str, str]]:
    parts = {
        "name": rng.choice(NAMES),
        "color": rng.choice(COLORS),
        "object": rng.choice(OBJECTS),
        "place": rng.choice(PLACES),
    }
    pattern = rng.choice(_SCENES)
    return pattern.format(a="a", **parts), {key: value for key, value in parts.items() if "{" + key + "}" in pattern}


_SWAPS = {"color": COLORS, "object": OBJECTS, "place": PLACES, "name": NAMES}
_SLOT_OF_WORD = {word: slot for slot, words in _SWAPS.items() for word in words}
_SCENE_WORDS = frozenset(words_in("found a near the lost carried to The is There one by"))


def _draw_replace(facts: Facts, rng: random.Random) -> dict[str, str]:
    sentence, parts = _draw_scene(rng)
    slot = rng.choice(tuple(parts))
    return {"sentence": sentence, "old": parts[slot], "new": other_than(rng, _SWAPS[slot], parts[slot])}


def _solve_replace(facts: Facts, slots: Slots) -> Task | None:
    sentence, old, new = slots["sentence"], slots["old"], slots["new"]
    words = sentence[:-1].split(" ")
    kind = _SLOT_OF_WORD.get(old)
    if kind is None or kind != _SLOT_OF_WORD.get(new) or words.count(old) != 1 or new in words or len(words) < 4:
        return None
    if any(word not in _SCENE_WORDS and word not in _SLOT_OF_WORD for word in words):
        return None
    index = words.index(old)
    if index and words[index - 1] in ("a", "an") and new[0] in "aeiou":
        return None
    right = " ".join(new if word == old else word for word in words) + "."
    return _edit_task("easy", right, lambda rng: sentence, f"with {new} in place of {old}")


def _draw_repeat(facts: Facts, rng: random.Random) -> dict[str, str]:
    sentence = draw_clause(rng, tail=rng.random() < 0.5).text("past") if rng.random() < 0.6 else _draw_scene(rng)[0]
    words = sentence[:-1].split(" ")
    index = rng.randint(1, len(words) - 1)
    words.insert(index, words[index])
    return {"sentence": " ".join(words) + "."}


def _solve_repeat(facts: Facts, slots: Slots) -> Task | None:
    sentence = slots["sentence"]
    words = sentence[:-1].split(" ")
    doubled = [index for index in range(1, len(words)) if words[index] == words[index - 1]]
    if len(doubled) != 1 or not words[0][:1].isupper():
        return None
    word = words.pop(doubled[0])
    right = " ".join(words) + "."
    scene = all(word in _SCENE_WORDS or word in _SLOT_OF_WORD for word in words)
    if read_clause(right, "past") is None and not (scene and len(words) >= 4):
        return None
    return _edit_task("easy", right, lambda rng: sentence, f"with {word} only once")


def _draw_joining(facts: Facts, rng: random.Random) -> dict[str, str]:
    first, second = draw_clause(rng), draw_clause(rng)
    second = second._replace(subject=first.subject)
    while second.verb == first.verb:
        second = draw_clause(rng)._replace(subject=first.subject)
    return {"first": first.text("past"), "second": second.text("past")}


def _solve_joining(facts: Facts, slots: Slots) -> Task | None:
    first, second = read_clause(slots["first"], "past"), read_clause(slots["second"], "past")
    if first is None or second is None or first.subject != second.subject or first.verb == second.verb:
        return None
    opening = first.text("past")[:-1]
    tail = " ".join(part for part in (second.verb.past, second.ending, second.tail) if part)
    right = f"{opening} and {tail}."
    full = f"{opening} and {first.subject} {tail}."
    return _edit_task(
        "medium", right, lambda rng: rng.choice([slots["first"], slots["second"]]), "that joins both with and", full
    )


FAMILIES = (
    Family(
        "past_tense",
        "Editing",
        ("easy", "medium"),
        (
            Template("Rewrite this sentence in the past tense: {sentence:sentence}"),
            Template("Put this into the past tense: {sentence:sentence}"),
            Template("Change the sentence to the past. {sentence:sentence}"),
            Template("How would you say this about yesterday? {sentence:sentence}"),
        ),
        _draw_past,
        _solve_past,
        count=4 * 80 * len(VERBS) * 2,
        weight=1.2,
        drills=(
            "Today: {sentence} Yesterday: {answer}",
            "Now: {sentence} Past: {answer}",
            "{sentence} In the past: {answer}",
        ),
    ),
    Family(
        "make_question",
        "Editing",
        ("easy",),
        (
            Template("Turn this sentence into a question: {sentence:sentence}"),
            Template("Rewrite this as a question: {sentence:sentence}"),
            Template("Make a question out of this sentence. {sentence:sentence}"),
        ),
        _draw_question,
        _solve_question,
        count=3 * 80 * len(STATES),
        drills=("{sentence} {answer}", "Statement: {sentence} Question: {answer}"),
    ),
    Family(
        "fix_agreement",
        "Editing",
        ("medium",),
        (
            Template("Correct the grammar: {sentence:sentence}"),
            Template("Fix the verb in this sentence: {sentence:sentence}"),
            Template("There is a grammar mistake here: {sentence:sentence} Write it correctly."),
        ),
        _draw_agreement,
        _solve_agreement,
        count=3 * 36 * len(VERBS) * 2,
        drills=("Wrong: {sentence} Right: {answer}", "Not: {sentence} But: {answer}"),
    ),
    Family(
        "capital_letters",
        "Editing",
        ("medium",),
        (
            Template("Add the missing capital letters: {sentence:sentence}"),
            Template("Write this with correct capital letters: {sentence:sentence}"),
            Template("Capitalize this sentence properly: {sentence:sentence}"),
        ),
        _draw_capitals,
        _solve_capitals,
        count=3 * 60 * 59 * 3,
        drills=("{sentence} With capitals: {answer}", "Before: {sentence} After: {answer}"),
    ),
    Family(
        "replace_word",
        "Editing",
        ("easy",),
        (
            Template("Replace the word {old:anyword} with {new:anyword}: {sentence:sentence}"),
            Template("In this sentence, change {old:anyword} to {new:anyword}. {sentence:sentence}"),
            Template("Write the sentence again with {new:anyword} in place of {old:anyword}. {sentence:sentence}"),
        ),
        _draw_replace,
        _solve_replace,
        count=3 * 60 * 10 * 30 * 16,
        drills=("{old} becomes {new}: {sentence} {answer}", "{sentence} With {new} for {old}: {answer}"),
    ),
    Family(
        "remove_repeat",
        "Editing",
        ("easy",),
        (
            Template("Remove the repeated word: {sentence:sentence}"),
            Template("One word stands twice in a row here. Fix it: {sentence:sentence}"),
            Template("Delete the word that is doubled by mistake: {sentence:sentence}"),
        ),
        _draw_repeat,
        _solve_repeat,
        count=3 * 80 * len(VERBS) * 2,
        drills=("Doubled: {sentence} Fixed: {answer}", "{sentence} Better: {answer}"),
    ),
    Family(
        "join_sentences",
        "Editing",
        ("medium",),
        (
            Template("Join these two sentences with and: {first:sentence} {second:sentence}"),
            Template("Make one sentence out of these two: {first:sentence} {second:sentence}"),
            Template("Combine the sentences using the word and. {first:sentence} {second:sentence}"),
        ),
        _draw_joining,
        _solve_joining,
        count=50_000,
        drills=("{first} {second} Joined: {answer}", "{first} + {second} = {answer}"),
    ),
)
