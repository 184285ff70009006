"""The world itself: draws exercises, recognizes them, answers them, and writes documents."""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agora.core.errors import ConfigError, DataError
from agora.microcosm.world.checking import check
from agora.microcosm.world.cultures import Culture, build_cultures
from agora.microcosm.world.facts import Country, Facts
from agora.microcosm.world.families import FAMILIES, Family, Task
from agora.microcosm.world.flaws import FLAWS, spoil
from agora.microcosm.world.templates import Slots, TemplateIndex
from agora.microcosm.world.types import GROUP_OF_CATEGORY, GROUPS, CheckResult, Exercise

if TYPE_CHECKING:
    from agora.microcosm.world.documents import Document
    from agora.microcosm.world.people import Person
    from agora.microcosm.world.visitors import Visitor

#: One instruction in ten is held out of training.
HELD_OUT_SHARE = 0.1

_MAX_TRIES = 10_000
_INDEX = TemplateIndex((family.name, template) for family in FAMILIES.values() for template in family.templates)


def normalize(text: str) -> str:
    """Collapse white space, so that the same instruction has the same id."""
    return " ".join(text.split())


def exercise_id(instruction: str) -> str:
    """BLAKE2b of the normalized instruction, 16 hex digits."""
    return hashlib.blake2b(normalize(instruction).encode(), digest_size=8).hexdigest()


def is_held_out(instruction: str) -> bool:
    """Whether an instruction belongs to the held-out tenth, whatever its case and spaces."""
    digest = hashlib.blake2b(normalize(instruction).lower().encode(), digest_size=8, person=b"held-out").digest()
    return int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**64


class World:
    """A small world whose truth is known.

    Args:
        seed: decides the facts. The shipped world, on which the shipped models are trained, has seed 0.

    Example:
        >>> import random
        >>> world = World(seed=0)
        >>> exercise = next(world.exercises(random.Random(1), 1))
        >>> world.check(exercise, exercise.reference).score
        10
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.facts = Facts(seed)
        self.cultures = build_cultures(self.facts)
        self._culture_weights = list(itertools.accumulate(culture.weight for culture in self.cultures))

    def __repr__(self) -> str:
        return f"World(seed={self.seed})"

    @property
    def countries(self) -> tuple[Country, ...]:
        """The countries and their facts."""
        return self.facts.countries

    def draw_culture(self, rng: random.Random) -> Culture:
        """Draw a culture as often as documents mention it."""
        return rng.choices(self.cultures, cum_weights=self._culture_weights)[0]

    def exercises(
        self,
        rng: random.Random,
        n: int,
        *,
        split: str = "train",
        difficulty: str | None = None,
        families: Sequence[str] | None = None,
    ) -> Iterator[Exercise]:
        """Draw n exercises, evenly over the five groups.

        Args:
            n: how many, at least 0.
            split: "train", "heldout" (about one instruction in ten) or "all".
            difficulty: "easy", "medium" or "hard"; None mixes them.
            families: names from `FAMILIES`; None takes all. Drawn evenly over groups, then by weight.

        Raises:
            ConfigError: an unknown split or family, or no family with the difficulty asked for.
        """
        if split not in ("train", "heldout", "all"):
            raise ConfigError(f'split must be "train", "heldout" or "all", got {split!r}')
        unknown = set(families or ()) - FAMILIES.keys()
        if unknown:
            raise ConfigError(f"unknown families {sorted(unknown)}; known: {', '.join(FAMILIES)}")
        chosen = [FAMILIES[name] for name in FAMILIES if families is None or name in families]
        if difficulty is not None:
            chosen = [family for family in chosen if difficulty in family.levels]
        by_group = [[f for f in chosen if GROUP_OF_CATEGORY[f.category] == group] for group in GROUPS]
        by_group = [members for members in by_group if members]
        if not by_group:
            raise ConfigError(f"no family among {families or 'all'} has difficulty {difficulty!r}")
        for _ in range(n):
            members = rng.choice(by_group)
            family = rng.choices(members, [member.weight for member in members])[0]
            yield self._draw(family, rng, split, difficulty)

    def _draw(self, family: Family, rng: random.Random, split: str, difficulty: str | None) -> Exercise:
        for _ in range(_MAX_TRIES):
            slots = family.draw(self.facts, rng)
            template = rng.choice([template for template in family.templates if template.suits(slots)])
            instruction = template.fill(slots)
            if split != "all" and is_held_out(instruction) != (split == "heldout"):
                continue
            # only what the wording shows may decide the task, or reading it back would differ
            shown = {name: slots[name] for name in template.slots} | template.fixed
            task = family.solve(self.facts, shown)
            if task is None or (difficulty is not None and task.difficulty != difficulty):
                continue
            return _exercise(family, instruction, task)
        raise ConfigError(f"family {family.name} yields no {split} exercise of difficulty {difficulty}")

    def understand(self, text: str) -> tuple[Family, Slots, Task] | None:
        """Read an instruction: its family, slots and task; None where it is unknown or ill-posed."""
        instruction = normalize(text)
        for name, template in _INDEX.candidates(instruction):
            slots = template.read(instruction)
            if slots is None:
                continue
            task = FAMILIES[name].solve(self.facts, slots)
            if task is not None:
                return FAMILIES[name], slots, task
        return None

    def recognize(self, text: str) -> Exercise | None:
        """Rebuild the exercise from its instruction alone.

        Any instruction of the families' wordings is recognized if it is well-posed and its facts are known,
        whether or not it was ever drawn; everything else gives None.
        """
        understood = self.understand(text)
        if understood is None:
            return None
        family, _, task = understood
        return _exercise(family, normalize(text), task)

    def _task_of(self, exercise: Exercise) -> Task:
        understood = self.understand(exercise.instruction)
        if understood is None:
            raise DataError(f"not an exercise of {self!r}: {exercise.instruction!r}")
        return understood[2]

    def check(self, exercise: Exercise, answer: str) -> CheckResult:
        """Check and grade an answer; see `agora.microcosm.world.check`."""
        return check(exercise, answer)

    def answer(self, exercise: Exercise, rng: random.Random) -> str:
        """A correct and natural answer, varied where the family allows; it scores 10."""
        return self._task_of(exercise).answers(rng)

    def flawed_answer(self, exercise: Exercise, rng: random.Random, kind: str | None = None) -> str:
        """An answer with a known defect, which scores below 10.

        Args:
            kind: one of `FLAWS`; None draws one. Where a kind does no harm to an answer, the next one is taken.
        """
        task = self._task_of(exercise)
        kind = kind if kind is not None else rng.choice(FLAWS[:-1])
        start = FLAWS.index(kind) if kind in FLAWS else -1
        if start < 0:
            raise ConfigError(f"unknown flaw {kind!r}; known: {', '.join(FLAWS)}")
        for name in itertools.chain(FLAWS[start:], FLAWS[:start]):
            text = spoil(task, exercise, rng, name)
            if check(exercise, text).score < 10:
                return text
        raise AssertionError(f"no flaw lowers the score of {exercise.instruction!r}")

    def count_instructions(self) -> int:
        """A lower bound on the number of distinct instructions."""
        return sum(family.count for family in FAMILIES.values())

    def documents(self, rng: random.Random, n: int) -> Iterator[Document]:
        """Write n plain-text documents that carry the world's knowledge and its skills."""
        from agora.microcosm.world.documents import write_documents

        return write_documents(self, rng, n)

    def people(
        self, n: int, seed: int = 0, *, noise: float = 0.1, length_bias: float = 0.0, fatigue: float = 0.0
    ) -> tuple[Person, ...]:
        """Draw n people whose preferences and opinions are known.

        Args:
            n: at least 0.
            seed: who they are; the dials change nothing else about them.
            noise: share of choices left to a coin, 0 to 1.
            length_bias: log-odds for every 10 words that an answer is longer; below 0 for shorter.
            fatigue: rate at which judgment is lost, at least 0; see `Person`.
        """
        from agora.microcosm.world.people import draw_people

        return draw_people(self, n, seed, noise=noise, length_bias=length_bias, fatigue=fatigue)

    def visitors(
        self,
        n: int,
        seed: int = 0,
        *,
        noise: float = 0.1,
        duplicate_share: float = 0.1,
        personal_share: float = 0.05,
        nonsense_share: float = 0.05,
    ) -> Iterator[Visitor]:
        """Draw n visitors who hold conversations.

        Args:
            n: at least 0.
            noise: the noise dial of the people they are, 0 to 1.
            duplicate_share: share of visitors who repeat another's first question in slightly changed form.
            personal_share: share of visitors who write down an e-mail address or a phone number.
            nonsense_share: share of visitors whose first message means nothing. Shares sum to at most 1.
        """
        from agora.microcosm.world.visitors import draw_visitors

        return draw_visitors(
            self,
            n,
            seed,
            noise=noise,
            duplicate_share=duplicate_share,
            personal_share=personal_share,
            nonsense_share=nonsense_share,
        )


def _exercise(family: Family, instruction: str, task: Task) -> Exercise:
    identity = exercise_id(instruction)
    return Exercise(
        id=identity,
        instruction=instruction,
        # the reference is one of the right answers, the same for the same instruction
        reference=task.answers(random.Random(identity)),
        family=family.name,
        category=family.category,
        group=GROUP_OF_CATEGORY[family.category],
        difficulty=task.difficulty,
        checklist=task.checks,
    )


@functools.cache
def shipped_world() -> World:
    """The world of the shipped models."""
    return World(seed=0)


def recognize(text: str) -> Exercise | None:
    """Recognize an instruction of the shipped world; see `World.recognize`."""
    return shipped_world().recognize(text)
