"""A synthesis run on paper: what it would ask of a model, before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import MissingError
from agora.core.files import nearest
from agora.rooms.synthesize.settings import SynthesizeConfig

if TYPE_CHECKING:
    from agora.train.planning import Work

FIXED_PREFIX_TOKENS = 10  # of a user header; a system prompt comes on top
CHARS_PER_TOKEN = 4.0


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """One slice on paper; ``systems`` are expected samples by system prompt."""

    name: str
    count: int
    temperature: float
    top_p: float
    systems: dict[str, float]


@dataclass(frozen=True, slots=True)
class RunCounts:
    """What a configuration asks for. Tokens are expected ones, from the configuration's own ``expected``.

    Attributes:
        instructions: samples drawn.
        answers: expected calls to answer; at most, when nothing is known of what is kept.
        instruction_tokens: written for instructions.
        answer_tokens: written for answers.
    """

    model: str
    answer_model: str | None
    slices: tuple[PlannedSlice, ...]
    instructions: int
    answers: int
    prefix_tokens: float
    instruction_tokens: float
    answer_tokens: float
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def find_recipe(name: Path) -> Path:
    """A YAML file, or a recipe of the package by its name (``air``).

    Raises:
        MissingError: neither; names the nearest recipe.
    """
    if name.exists() or name.suffix:
        return name
    from importlib.resources import files

    folder = Path(str(files("agora"))) / "recipes" / "synthesize"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name.name in known and name.name == str(name):
        return folder / f"{name.name}.yaml"
    near = nearest(str(name), known)
    hint = f"did you mean {near}?" if near else f"recipes of the package: {', '.join(known)}"
    raise MissingError("no such configuration file or recipe", where=str(name), hint=hint)


def count_run(config: SynthesizeConfig) -> RunCounts:
    """Count what a run asks for. The schedule and every system prompt are checked; no model is touched."""
    slices = config.slices()
    planned = []
    system_tokens = 0.0
    for one in slices:
        weights = dict(one.systems) if one.systems else {one.system: 1.0}
        total = sum(weights.values())
        shares = {key: one.count * weight / total for key, weight in weights.items()}
        planned.append(PlannedSlice(one.name, one.count, one.temperature, one.top_p, shares))
        for key, share in shares.items():
            text = config.systems[key].full_text if key else config.mode.partition(":")[2]
            system_tokens += share * len(text) / CHARS_PER_TOKEN
    drawn, expected = config.count, config.expected
    notes = [] if expected.given else ["the configuration does not say how long texts are expected to be; assumed"]
    if expected.kept == 1.0:
        notes.append("every instruction is counted as kept: repeats and flagged ones cost no answer in a run")
    answers = round(drawn * expected.kept) if config.answers is not None else 0
    return RunCounts(
        config.model,
        (config.answers.model or config.model) if config.answers is not None else None,
        tuple(planned),
        drawn,
        answers,
        drawn * FIXED_PREFIX_TOKENS + system_tokens,
        drawn * expected.instruction_tokens,
        answers * expected.answer_tokens,
        tuple(notes),
    )


def works_of_run(config: SynthesizeConfig) -> list[Work]:
    """The run as pieces of work for :func:`agora.train.planning.estimate`: drawing, then answering.

    Raises:
        UsageError: nothing is known of a model's size.
    """
    from agora.train.planning import find_shape, sampling_work

    counts, expected = count_run(config), config.expected
    drawing = sampling_work(
        "drawing instructions",
        find_shape(counts.model),
        counts.instructions,
        counts.prefix_tokens / max(1, counts.instructions),
        expected.instruction_tokens,
    )
    if counts.answer_model is None:
        return [drawing]
    prompt = expected.instruction_tokens + FIXED_PREFIX_TOKENS
    shape = find_shape(counts.answer_model)
    return [drawing, sampling_work("answering", shape, counts.answers, prompt, expected.answer_tokens)]
