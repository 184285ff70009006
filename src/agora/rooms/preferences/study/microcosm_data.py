"""Demonstrations, pairs and prompts from the microcosm, where it is known which answer is better."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, ClassVar, Literal

from agora.core.errors import DataError
from agora.core.records import Message, PreferencePair, PromptItem, Provenance, stable_id
from agora.microcosm.world.families import FAMILIES
from agora.microcosm.world.people import Person
from agora.microcosm.world.types import GROUP_OF_CATEGORY, Exercise
from agora.microcosm.world.world import World, shipped_world
from agora.rooms.preferences.study.blocks import Annotator, MicrocosmDemonstrations, MicrocosmPairs, MicrocosmPrompts

SOURCE = "microcosm"
_MAX_DRAWS = 200  # exercises drawn for each one kept, before a family is called exhausted
Part = Literal["demonstrations", "preference", "all"]


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """An answer that a model gave, with its log-probabilities in nats (sums over its tokens, at temperature 1)."""

    SCHEMA: ClassVar[str] = "sampled_answer/1"
    prompt_id: str
    sample_no: int
    prompt: tuple[Message, ...]
    text: str
    finished: bool
    n_tokens: int
    logp: float | None = None
    ref_logp: float | None = None
    kl3: float | None = None  # the k3 estimate of KL to the reference on this answer
    truth: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def conversation(self) -> tuple[Message, ...]:
        """Prompt and answer."""
        return (*self.prompt, Message("assistant", self.text))


def exercises(
    n: int, *, seed: int, part: Part, families: Sequence[str] | None = None, split: str = "train"
) -> list[Exercise]:
    """Distinct exercises of the shipped world.

    Args:
        n: how many.
        seed: of the draw.
        part: one of the two halves of all instructions, so that preferences are about what the start model has not
            been shown; ``all`` takes both.
        families: names of families or of whole groups; all when None.
        split: ``train`` or ``heldout``, as of the world.

    Raises:
        DataError: the families do not have so many.
    """
    world, rng = shipped_world(), random.Random(f"study/{split}/{seed}")
    names = None if families is None else _families(families)
    found: dict[str, Exercise] = {}
    for exercise in world.exercises(rng, _MAX_DRAWS * n, split=split, families=names):
        if _is_in(exercise.id, part):
            found.setdefault(exercise.id, exercise)
        if len(found) == n:
            return list(found.values())
    what = f"{', '.join(families)} have" if families else "the microcosm has"
    raise DataError(
        f"{what} only {len(found)} of the {n} instructions asked for", hint="ask for fewer, or more families"
    )


def demonstrations(block: MicrocosmDemonstrations) -> list[dict[str, Any]]:
    """Rows of ``messages``: an instruction and an answer, right or, for the share asked for, flawed."""
    world, rng = shipped_world(), random.Random(f"demonstrations/{block.seed}")
    rows = []
    for e in exercises(block.rows, seed=block.seed, part="demonstrations", families=block.families):
        text = world.answer(e, rng)
        if block.flawed and rng.random() < block.flawed:
            text = world.flawed_answer(e, rng)
        rows.append({"id": e.id, "messages": [m.as_chat() for m in (_asked(e), _answer(text))]})
    return rows


def prompts(block: MicrocosmPrompts) -> list[PromptItem]:
    """Instructions to sample answers for."""
    part: Part = "preference" if block.split == "train" else "all"
    chosen = exercises(block.instructions, seed=block.seed, part=part, families=block.families, split=block.split)
    return [_item(exercise) for exercise in chosen]


def pair_prompts(block: MicrocosmPairs) -> list[PromptItem]:
    """The instructions that the pairs are about."""
    chosen = exercises(block.instructions, seed=block.seed, part="preference", families=block.families)
    return [_item(exercise) for exercise in chosen]


def make_pairs(
    block: MicrocosmPairs, answers: Iterable[SampledAnswer] | None
) -> tuple[list[PreferencePair], dict[str, Any]]:
    """Two answers an instruction and a choice between them.

    Which answers are compared depends on the seed alone, so annotators label the same pairs.

    Args:
        block: what to make.
        answers: samples of the start model, where the candidates are the policy's.

    Returns:
        The pairs, and what became of the instructions: reasons of drops, share of labels that agree with the truth.
    """
    world = shipped_world()
    candidates = _candidates(block, answers)
    crowd = _crowd(world, block.annotator)
    lost: Counter[str] = Counter()
    pairs = []
    for exercise in exercises(block.instructions, seed=block.seed, part="preference", families=block.families):
        texts = list(dict.fromkeys(text for text in candidates.get(exercise.id, ()) if text.strip()))
        two = _two(world, exercise, texts, block)
        if isinstance(two, str):
            lost[two] += 1
            continue
        pair = _label(world, exercise, two, block, crowd)
        if pair is None:
            lost["tie by the annotator"] += 1
        else:
            pairs.append(pair)
    if not pairs:
        raise DataError(f"no pair came of {block.instructions} instructions", hint="ask for more samples")
    return pairs, {"dropped": dict(lost), **pair_facts(pairs)}


def pair_facts(pairs: Sequence[PreferencePair]) -> dict[str, Any]:
    """What is worth knowing of pairs: how often the longer answer was chosen, and the truth where it is known."""
    lengths = [(len(p.chosen[-1].content), len(p.rejected[-1].content)) for p in pairs]
    known = [p.meta["truth"] for p in pairs if "truth" in p.meta]
    untied = [(a, b) for a, b in known if a != b]
    return {
        "pairs": len(pairs),
        "longer_chosen": sum(a > b for a, b in lengths) / len(pairs),
        "chosen_chars": sum(a for a, _ in lengths) / len(pairs),
        "rejected_chars": sum(b for _, b in lengths) / len(pairs),
        "labels_true": sum(a > b for a, b in untied) / len(untied) if untied else None,
    }


def _candidates(block: MicrocosmPairs, answers: Iterable[SampledAnswer] | None) -> Mapping[str, list[str]]:
    if block.candidates == "policy":
        found: dict[str, list[str]] = {}
        for answer in answers or ():
            if answer.finished:  # nobody saw the end of a cut answer
                found.setdefault(answer.prompt_id, []).append(answer.text)
        return found
    world, rng = shipped_world(), random.Random(f"candidates/{block.seed}")
    drawn = exercises(block.instructions, seed=block.seed, part="preference", families=block.families)
    return {e.id: [world.answer(e, rng), world.flawed_answer(e, rng)] for e in drawn}


def _two(world: World, exercise: Exercise, texts: Sequence[str], block: MicrocosmPairs) -> tuple[str, str] | str:
    """Two candidates in seeded order, or why there are none."""
    if len(texts) < 2:
        return "all answers are equal"
    rng = random.Random(f"pairing/{block.seed}/{exercise.id}")
    if block.pairing == "random":
        a, b = rng.sample(list(texts), 2)
        return a, b
    ranked = sorted(texts, key=lambda text: (world.check(exercise, text).score, stable_id(block.seed, text)))
    low, high = ranked[0], ranked[-1]
    if world.check(exercise, low).score == world.check(exercise, high).score:
        return "all answers are equally good"
    return (low, high) if rng.random() < 0.5 else (high, low)


def _label(
    world: World, exercise: Exercise, two: tuple[str, str], block: MicrocosmPairs, crowd: Sequence[Person]
) -> PreferencePair | None:
    truth = [world.check(exercise, text).score for text in two]
    if crowd:
        rng = random.Random(f"labels/{block.seed}/{exercise.id}")
        person = crowd[rng.randrange(len(crowd))]
        first = person.prefer(exercise, *two, rng).preferred == "a"
        annotator = person.id
    elif truth[0] == truth[1]:
        return None
    else:
        first, annotator = truth[0] > truth[1], "microcosm:checker"
    better, worse = (0, 1) if first else (1, 0)
    return PreferencePair(
        id=stable_id("pair", exercise.id),
        prompt=(_asked(exercise),),
        chosen=(_answer(two[better]),),
        rejected=(_answer(two[worse]),),
        annotator=annotator,
        label_kind="human" if crowd else "rule",
        provenance=Provenance(SOURCE, exercise.id, licence="Apache-2.0", consent="synthetic"),
        meta={"truth": [truth[better], truth[worse]], "family": exercise.family, "group": exercise.group},
    )


def _crowd(world: World, annotator: Annotator) -> tuple[Person, ...]:
    if annotator.kind == "checker":
        return ()
    return world.people(
        annotator.people, 0, noise=annotator.noise, length_bias=annotator.length_bias, fatigue=annotator.fatigue
    )


def _item(exercise: Exercise) -> PromptItem:
    source = Provenance(SOURCE, exercise.id, licence="Apache-2.0", consent="synthetic")
    return PromptItem(exercise.id, (_asked(exercise),), exercise.group, checker=SOURCE, provenance=source)


def _asked(exercise: Exercise) -> Message:
    return Message("user", exercise.instruction)


def _answer(text: str) -> Message:
    return Message("assistant", text)


def _families(names: Sequence[str]) -> list[str]:
    """Names of families, groups taken apart; the world refuses names that it does not know."""
    by_group: dict[str, list[str]] = {}
    for family in FAMILIES.values():
        by_group.setdefault(GROUP_OF_CATEGORY[family.category], []).append(family.name)
    return [family for name in names for family in by_group.get(name, [name])]


def _is_in(exercise_id: str, part: Part) -> bool:
    if part == "all":
        return True
    first_half = blake2b(exercise_id.encode(), digest_size=1, person=b"study-half").digest()[0] < 128
    return first_half == (part == "demonstrations")
