"""People with known preferences and opinions: the truth that a preference model should recover."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agora.core.errors import ConfigError
from agora.microcosm.world.checking import check
from agora.microcosm.world.cultures import Culture
from agora.microcosm.world.lexicon import NAMES, words_in
from agora.microcosm.world.rules import words_of
from agora.microcosm.world.types import Exercise

if TYPE_CHECKING:
    from agora.microcosm.world.world import World

#: What people may value in an answer; each is measured from 0 to 1 by `measure_qualities`.
QUALITIES: tuple[str, ...] = ("correctness", "brevity", "politeness", "detail")

#: What people have opinions on, from -2 (strongly against) to 2 (strongly for).
OPINION_TOPICS: tuple[str, ...] = (
    "a machine that answers medical questions",
    "a machine that grades homework",
    "a machine that writes letters",
    "a machine that picks people for jobs",
    "a machine that translates in court",
    "a machine that composes songs",
    "a machine that watches the market",
    "a machine that advises farmers",
)

_POLITE_WORDS = frozenset(words_in("please thank thanks dear hello welcome glad happy kindly sorry would could may"))
_REASON_WORDS = frozenset(words_in("because since so therefore as"))

# Lengths at which brevity is gone and detail is full; typical answers have 3 to 15 words.
_LONG_WORDS = 40
_DETAILED_WORDS = 20


def measure_qualities(exercise: Exercise, answer: str) -> dict[str, float]:
    """Measure the qualities of an answer, each from 0 (none) to 1 (full).

    Correctness is the checked score; brevity falls with the number of words; politeness counts kind words; detail
    grows with length and with a reason given.
    """
    words = words_of(answer)
    if not words:
        return dict.fromkeys(QUALITIES, 0.0)
    reason = 0.5 if _REASON_WORDS.intersection(words) else 0.0
    return {
        "correctness": (check(exercise, answer).score - 1) / 9,
        "brevity": max(0.0, 1 - len(words) / _LONG_WORDS),
        "politeness": min(1.0, len(_POLITE_WORDS.intersection(words)) / 2),
        "detail": min(1.0, reason + 0.5 * min(1.0, len(words) / _DETAILED_WORDS)),
    }


@dataclass(frozen=True, slots=True)
class PreferenceChoice:
    """One person's choice between two answers, with the truth behind it.

    `preferred` is "a" or "b"; `probability_a` is the chance, in 0..1, with which this person would have said "a" at
    that moment; `utility_a` and `utility_b` are free of noise and of length bias.
    """

    person: str
    exercise: str
    preferred: str
    probability_a: float
    utility_a: float
    utility_b: float


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose preferences are known.

    Args:
        weights: how much each of `QUALITIES` counts, at least 0, in units of log-odds between none and full.
        noise: share of choices made by a coin instead of by judgment, 0 to 1.
        length_bias: log-odds added for every 10 words that one answer is longer, whatever it says.
        fatigue: rate at which judgment turns into a coin: after n choices a share 1 - exp(-fatigue * n / 100) is lost.
        opinions: for each of `OPINION_TOPICS` a whole number from -2 to 2.
    """

    id: str
    name: str
    culture: str
    weights: Mapping[str, float]
    noise: float
    length_bias: float
    fatigue: float
    opinions: Mapping[str, int]

    def utility(self, exercise: Exercise, answer: str) -> float:
        """What the answer is worth to this person, in log-odds, without noise and bias."""
        qualities = measure_qualities(exercise, answer)
        return sum(self.weights[name] * qualities[name] for name in QUALITIES)

    def probability_of_first(self, exercise: Exercise, a: str, b: str, *, seen: int = 0) -> float:
        """The chance that this person prefers a to b (Bradley-Terry on utility, then bias, noise and fatigue).

        Args:
            seen: how many choices the person has made before in this sitting, at least 0.
        """
        return self._probability(self.utility(exercise, a) - self.utility(exercise, b), a, b, seen)

    def _probability(self, margin: float, a: str, b: str, seen: int) -> float:
        margin += self.length_bias * (len(words_of(a)) - len(words_of(b))) / 10
        attention = (1 - self.noise) * math.exp(-self.fatigue * seen / 100)
        # clipped so that exp cannot overflow; at 60 the logistic is 0 or 1 to the last digit
        judged = 1 / (1 + math.exp(-max(-60.0, min(60.0, margin))))
        return attention * judged + (1 - attention) / 2

    def prefer(self, exercise: Exercise, a: str, b: str, rng: random.Random, *, seen: int = 0) -> PreferenceChoice:
        """Choose between two answers; see `probability_of_first`."""
        utility_a, utility_b = self.utility(exercise, a), self.utility(exercise, b)
        chance = self._probability(utility_a - utility_b, a, b, seen)
        preferred = "a" if rng.random() < chance else "b"
        return PreferenceChoice(self.id, exercise.id, preferred, chance, utility_a, utility_b)


def culture_opinion(world: World, culture: Culture, topic: str) -> float:
    """The mean opinion of a culture on a topic, from -1.5 to 1.5, around which its people scatter."""
    return random.Random(f"opinion/{world.seed}/{culture.id}/{topic}").uniform(-1.5, 1.5)


def draw_people(
    world: World, n: int, seed: int, *, noise: float, length_bias: float, fatigue: float
) -> tuple[Person, ...]:
    """Draw n people; the same world, n and seed give the same people, and dials change nothing else about them."""
    if n < 0:
        raise ConfigError(f"n must be at least 0, got {n}")
    if not 0 <= noise <= 1:
        raise ConfigError(f"noise must be from 0 to 1, got {noise}")
    if fatigue < 0:
        raise ConfigError(f"fatigue must be at least 0, got {fatigue}")
    rng = random.Random(f"people/{world.seed}/{seed}")
    people = []
    for index in range(n):
        culture = world.draw_culture(rng)
        # correctness counts most for everybody; what else counts differs from person to person
        weights = {
            "correctness": round(rng.uniform(4, 8), 2),
            "brevity": round(rng.uniform(0, 3), 2),
            "politeness": round(rng.uniform(0, 2), 2),
            "detail": round(rng.uniform(0, 2), 2),
        }
        opinions = {
            topic: max(-2, min(2, round(rng.gauss(culture_opinion(world, culture, topic), 0.8))))
            for topic in OPINION_TOPICS
        }
        name = rng.choice(NAMES)
        people.append(
            Person(f"person-{seed}-{index:04d}", name, culture.id, weights, noise, length_bias, fatigue, opinions)
        )
    return tuple(people)
