"""Visitors who hold conversations, some of whom leave behind what curation should find."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agora.core.errors import ConfigError
from agora.microcosm.world.checking import check
from agora.microcosm.world.people import Person
from agora.microcosm.world.types import Exercise

if TYPE_CHECKING:
    from agora.microcosm.world.world import World

Message = Mapping[str, str]

#: What a visitor may leave behind on purpose.
PLANTS: tuple[str, ...] = ("near_duplicate", "personal_data", "nonsense")

_SMALL_TALK = ("Hello!", "Hello, how are you today?", "Good morning!", "Hi there, nice to meet you.")
_COMPLAINTS = (
    "That does not look right. {question}",
    "I do not think so. Please try again: {question}",
    "Are you sure? {question}",
)
_THANKS = ("Thank you, that helps.", "Thanks a lot!", "Great, thank you. Goodbye.")
_NONSENSE_SYLLABLES = ("bla", "zuk", "wem", "orp", "tis", "glo", "fni", "rax", "mub", "qee")

#: Weight of politeness from which a visitor says thanks before leaving.
_THANKS_FROM = 0.7

#: How often a visitor asks again before giving up.
_PATIENCE = 1


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody with questions to ask.

    `goals` are the exercises that the visitor wants answered, in order, and `questions` the words in which they are
    asked; `opening` is a message before the first question, `lead` a sentence in front of it. `plant` is one of
    `PLANTS` or None: with "near_duplicate", `repeats` is the id of the visitor whose first question comes again in
    slightly changed form; with "personal_data", `planted` are the texts to be found; with "nonsense", the first
    message means nothing and `planted` holds it.
    """

    id: str
    person: Person
    goals: tuple[Exercise, ...]
    questions: tuple[str, ...]
    opening: str | None
    lead: str | None
    plant: str | None
    planted: tuple[str, ...]
    repeats: str | None
    seed: int

    def next_message(self, history: Sequence[Message]) -> str | None:
        """What the visitor writes next, or None when the visitor has left or still waits for an answer.

        Args:
            history: the conversation so far, messages with "role" ("user", "assistant"; others are passed over) and
                "content". The same history always gives the same message.
        """
        said = [message["content"] for message in history if message["role"] == "user"]
        if self.opening is not None and not said:
            return self.opening
        if (history and history[-1]["role"] == "user") or (said and said[-1] in _THANKS):
            return None
        pending, attempts, pleased = self._progress(history)
        rng = random.Random(f"visitor/{self.seed}/{len(said)}")
        if pending == len(self.goals):
            return rng.choice(_THANKS) if pleased and self.person.weights["politeness"] > _THANKS_FROM else None
        question = self.questions[pending]
        if attempts:
            return rng.choice(_COMPLAINTS).format(question=question)
        return f"{self.lead} {question}" if self.lead and pending == 0 else question

    def answered(self, history: Sequence[Message]) -> tuple[bool, ...]:
        """For each goal whether some answer to it was correct."""
        outcome = [False] * len(self.goals)
        for goal, answer in self._answers(history):
            outcome[goal] = outcome[goal] or check(self.goals[goal], answer).correct
        return tuple(outcome)

    def _answers(self, history: Sequence[Message]) -> Iterator[tuple[int, str]]:
        """Each answer that followed a question, with the index of its goal."""
        goal = None
        for message in history:
            if message["role"] == "user":
                goal = next((i for i, q in enumerate(self.questions) if message["content"].endswith(q)), None)
            elif message["role"] == "assistant" and goal is not None:
                yield goal, message["content"]
                goal = None

    def _progress(self, history: Sequence[Message]) -> tuple[int, int, bool]:
        """The goal now pending, how often it was asked in vain, and whether the last answer was right."""
        pending = attempts = 0
        pleased = False
        for goal, answer in self._answers(history):
            if goal != pending:
                continue
            attempts += 1
            pleased = check(self.goals[goal], answer).correct
            if pleased or attempts > _PATIENCE:
                pending, attempts = pending + 1, 0
        return pending, attempts, pleased


def draw_visitors(
    world: World,
    n: int,
    seed: int,
    *,
    noise: float,
    duplicate_share: float,
    personal_share: float,
    nonsense_share: float,
) -> Iterator[Visitor]:
    """Draw n visitors, one after the other; each is decided by the world, the seed and those before."""
    shares = (duplicate_share, personal_share, nonsense_share)
    if min(shares) < 0 or sum(shares) > 1:
        raise ConfigError(f"shares of plants must be at least 0 and sum to at most 1, got {shares}")
    rng = random.Random(f"visitors/{world.seed}/{seed}")
    people = world.people(n, seed, noise=noise)
    asked: list[Visitor] = []
    for index, person in enumerate(people):
        plant = rng.choices((*PLANTS, None), (*shares, 1 - sum(shares)))[0]
        visitor = _draw_visitor(world, rng, person, f"visitor-{seed}-{index:04d}", plant, asked)
        if visitor.plant is None:
            asked.append(visitor)
        yield visitor


def _draw_visitor(
    world: World, rng: random.Random, person: Person, identity: str, plant: str | None, asked: Sequence[Visitor]
) -> Visitor:
    goals = tuple(world.exercises(rng, rng.choice((1, 1, 2, 3)), split="all"))
    questions = [goal.instruction for goal in goals]
    opening = rng.choice(_SMALL_TALK) if rng.random() < person.weights["politeness"] / 8 else None
    planted: tuple[str, ...] = ()
    lead = repeats = None
    if plant == "near_duplicate" and not asked:
        plant = None
    if plant == "near_duplicate":
        original = rng.choice(asked)
        repeats = original.id
        goals = (original.goals[0], *goals[1:])
        questions[0] = change_slightly(original.questions[0], rng)
        # small talk in front would hide the repetition
        opening = None
    elif plant == "personal_data":
        planted, lead = _personal_data(person, rng)
    elif plant == "nonsense":
        opening = " ".join(rng.choice(_NONSENSE_SYLLABLES) for _ in range(rng.randint(3, 9)))
        planted = (opening,)
    return Visitor(
        identity, person, goals, tuple(questions), opening, lead, plant, planted, repeats, rng.getrandbits(32)
    )


def change_slightly(text: str, rng: random.Random) -> str:
    """Change the case, the spaces or one word of a question; what it asks stays the same."""
    kind = rng.randrange(4)
    if kind == 0:
        return text[0].lower() + text[1:]
    if kind == 1:
        return text.replace(" ", "  ", 2)
    if kind == 2:
        return f"Please help me. {text}"
    return text.rstrip(".?") + " ?" if text.endswith("?") else text.rstrip(".") + " !"


def _personal_data(person: Person, rng: random.Random) -> tuple[tuple[str, ...], str]:
    """Personal data as planted, and a sentence that holds them; addresses and numbers reserved for examples."""
    mail = f"{person.name.lower()}.{person.culture}{rng.randint(1, 99)}@example.{rng.choice(('com', 'org', 'net'))}"
    phone = f"+1 202 555 01{rng.randint(0, 99):02d}"
    kind = rng.randrange(3)
    if kind == 0:
        return (mail,), f"My e-mail is {mail}."
    if kind == 1:
        return (phone,), f"You can call me at {phone}."
    return (mail, phone), f"I am {person.name}, write to {mail} or call {phone}."
