"""Families that fit no other category: summaries, sorting words, letters."""

from __future__ import annotations

import random

from agora.microcosm.world.facts import Facts
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
from agora.microcosm.world.grammar import is_city, joined, split_list
from agora.microcosm.world.lexicon import BUILDINGS, DAYS, PLAIN_WORDS
from agora.microcosm.world.templates import Slots, Template

#: What happened to a place, each with its possible causes. Together they are what a summary must keep.
EVENTS: dict[str, tuple[str, ...]] = {
    "was closed": (
        "a storm broke the roof",
        "the workers were ill",
        "the water was too high",
        "the doors were painted",
    ),
    "was full of people": (
        "a famous singer was there",
        "there was a festival",
        "it was a holiday",
        "it was warm inside",
    ),
    "opened again": ("the repairs were done", "the snow was gone", "a new owner came", "the roof was ready"),
    "was very quiet": ("everyone was at the festival", "it rained all day", "it was very cold", "the train was late"),
    "got a new clock": ("the old one was broken", "a rich man paid for it", "the town won a prize"),
}
#: Sentences that say nothing of importance.
FILLERS = (
    "Some children played outside.",
    "A dog slept near the door.",
    "The sky was gray in the morning.",
    "Two old men talked about the weather.",
    "The birds sang as they always do.",
    "A woman with a basket walked by.",
    "Later the lamps were lit.",
    "The air smelled of bread.",
    "A cart stood by the wall.",
    "Nobody was in a hurry.",
)


def draw_event(facts: Facts, rng: random.Random) -> dict[str, str]:
    """Draw a place, a city, a day, what happened there and why."""
    event = rng.choice(tuple(EVENTS))
    return {
        "place": rng.choice(BUILDINGS),
        "city": rng.choice(facts.countries).facts["capital"],
        "day": rng.choice(DAYS),
        "event": event,
        "cause": rng.choice(EVENTS[event]),
    }


def _write_note(rng: random.Random, event: dict[str, str], num_fillers: int) -> str:
    first = "On {day} the {place} in {city} {event}.".format(**event)
    cause = f"This was because {event['cause']}."
    fillers = rng.sample(FILLERS, num_fillers)
    # fillers stand before, between and after the two sentences that matter
    parts: list[str] = []
    for index, sentence in enumerate((first, cause)):
        before = rng.randint(0, len(fillers)) if index == 0 else len(fillers)
        parts += fillers[:before] if rng.random() < 0.6 else []
        fillers = [filler for filler in fillers if filler not in parts]
        parts.append(sentence)
    return " ".join(parts + fillers)


def _draw_summary(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"note": _write_note(rng, draw_event(facts, rng), rng.choice((0, 1, 1, 2, 3)))}


_EVENT_SENTENCE = Template("On {day:name} the {place:word} in {city:name} {event:phrase}.")
_CAUSE_SENTENCE = Template("This was because {cause:phrase}.")
_FILLERS = frozenset(FILLERS)


def _solve_summary(facts: Facts, slots: Slots) -> Task | None:
    sentences = [part + "." for part in slots["note"].removesuffix(".").split(". ")]
    telling = [sentence for sentence in sentences if sentence not in _FILLERS]
    if len(telling) != 2 or len(sentences) > 6 or len(set(sentences)) != len(sentences):
        return None
    event, cause_slots = _EVENT_SENTENCE.read(telling[0]), _CAUSE_SENTENCE.read(telling[1])
    if event is None or cause_slots is None:
        return None
    cause = cause_slots["cause"]
    known = event["day"] in DAYS and event["place"] in BUILDINGS and is_city(event["city"])
    if not known or cause not in EVENTS.get(event["event"], ()):
        return None
    main = "The {place} in {city} {event}".format(**event)
    alternative = [c for c in EVENTS[event["event"]] if c != cause]
    return Task(
        "easy" if len(sentences) == 2 else "medium" if len(sentences) <= 4 else "hard",
        one_of([f"{main} on {event['day']} because {cause}.", f"On {event['day']} the {main[4:]} because {cause}."]),
        lambda rng: f"{main} on {event['day']} because {rng.choice(alternative)}.",
        (
            essential(f"Does the summary say that {main[0].lower()}{main[1:]}?", "contains_text", main),
            essential(f"Does it give the cause, that {cause}?", "mentions", cause),
            nice(f"Does it say that it was on {event['day']}?", "mentions", event["day"]),
            nice("Is it one sentence?", "sentences", "1"),
            nice("Does it leave out what does not matter?", "stays_on_topic"),
        ),
        cause,
    )


def _draw_sorting(facts: Facts, rng: random.Random) -> dict[str, str]:
    size = rng.choice((2, 3, 3, 4, 5))
    words: list[str] = []
    while len(words) < size:
        word = rng.choice(PLAIN_WORDS)
        # distinct first letters: the skill is the order of letters, not of spellings
        if all(word[0] != other[0] for other in words):
            words.append(word)
    return {"words": joined(words)}


def _solve_sorting(facts: Facts, slots: Slots) -> Task | None:
    words = split_list(slots["words"])
    if len(set(words)) != len(words) or not 2 <= len(words) <= 6:
        return None
    ordered = sorted(words)

    def wrong(rng: random.Random) -> str:
        while (mixed := rng.sample(ordered, len(ordered))) == ordered:
            pass
        return f"In order: {', '.join(mixed)}."

    return Task(
        {2: "easy", 3: "easy", 4: "medium"}.get(len(words), "hard"),
        lambda rng: f"In order: {', '.join(ordered)}.",
        wrong,
        (
            essential("Are all the words there, each once, from A to Z?", "in_order", *ordered),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        ", ".join(ordered),
    )


_PLAIN = frozenset(PLAIN_WORDS)


def _draw_letter(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"word": rng.choice(PLAIN_WORDS), "which": rng.choice(("first", "last"))}


def _solve_letter(facts: Facts, slots: Slots) -> Task | None:
    word, which = slots["word"], slots["which"]
    if word not in _PLAIN:
        return None
    right = word[0] if which == "first" else word[-1]
    return Task(
        "medium" if which == "first" else "hard",
        lambda rng: f'The {which} letter of {word} is "{right}".',
        lambda rng: f'The {which} letter of {word} is "{other_than(rng, "abdegklmnorst", right)}".',
        (
            essential(f"Does the answer give {right} as the {which} letter of {word}?", "letter_is", right),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        right,
    )


def _draw_count(facts: Facts, rng: random.Random) -> dict[str, str]:
    return {"words": joined(rng.sample(PLAIN_WORDS, rng.choice((2, 3, 3, 4, 5))))}


def _solve_count(facts: Facts, slots: Slots) -> Task | None:
    words = split_list(slots["words"])
    size = len(words)
    if size > 8:
        return None
    return Task(
        "easy" if size <= 3 else "medium",
        lambda rng: f"There are {size} words.",
        lambda rng: f"There are {size + rng.choice((1, -1, 2))} words.",
        (
            essential(f"Does the answer say {size}?", "equals_number", str(size)),
            FULL_SENTENCE,
            ON_TOPIC,
        ),
        str(size),
    )


FAMILIES = (
    Family(
        "summary",
        "Others",
        ("easy", "medium", "hard"),
        (
            Template("Summarize this note in one sentence: {note:text}"),
            Template("What is the main point of this note? {note:text}"),
            Template("Give a summary of one sentence. {note:text}"),
            Template("Shorten this note to one sentence: {note:text}"),
        ),
        _draw_summary,
        _solve_summary,
        count=4 * len(BUILDINGS) * 40 * 7 * 19,
        weight=1.5,
        drills=("{note} In short: {answer}", "Note: {note}\nSummary: {answer}", "{note}\nThe main point: {answer}"),
    ),
    Family(
        "sort_words",
        "Others",
        ("easy", "medium", "hard"),
        (
            Template("Put these words in alphabetical order: {words:list}."),
            Template("Sort the words {words:list} from A to Z."),
            Template("Arrange these words alphabetically: {words:list}."),
        ),
        _draw_sorting,
        _solve_sorting,
        count=3 * 100 * 80 * 60,
        weight=1.2,
        drills=("A to Z: {short}.", "{words}: {short}.", "The words {words} in alphabetical order: {short}."),
    ),
    Family(
        "letter_of_word",
        "Others",
        ("medium", "hard"),
        tuple(
            Template(text.replace("WHICH", which), which=which)
            for which in ("first", "last")
            for text in (
                "What is the WHICH letter of the word {word:word}?",
                "Tell me the WHICH letter of {word:word}.",
                "Which letter stands WHICH in the word {word:word}?",
            )
        ),
        _draw_letter,
        _solve_letter,
        count=6 * len(PLAIN_WORDS),
        weight=0.5,
        drills=("{answer}", "{word}, {which} letter: {short}."),
    ),
    Family(
        "count_words",
        "Others",
        ("easy", "medium"),
        (
            Template("How many words are in this list: {words:list}?"),
            Template("Count these words: {words:list}."),
            Template("How many words do you see here: {words:list}?"),
        ),
        _draw_count,
        _solve_count,
        count=50_000,
        weight=0.6,
        drills=("{words}: {short}.", "{words}. {answer}"),
    ),
)
