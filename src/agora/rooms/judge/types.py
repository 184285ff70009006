"""The nouns of the judge room: a set of tasks, what is put before a judge, and the five outcomes of a comparison.

Source of the method: WildBench, arXiv:2406.04770.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from agora.core.errors import ConfigError, DataError
from agora.core.records import Answer, Task, Verdict, stable_id

if TYPE_CHECKING:
    from agora.engines.types import Engine

Kind = Literal["score", "pair", "checklist"]
Order = Literal["candidate_first", "candidate_second"]

#: The five groups of the twelve task categories. A task belongs to the groups of all its tags, to each of them once.
GROUPS: dict[str, tuple[str, ...]] = {
    "Information/Advice seeking": ("Information seeking", "Advice seeking"),
    "Math & Data Analysis": ("Math", "Data Analysis"),
    "Planning & Reasoning": ("Reasoning", "Planning"),
    "Coding & Debugging": ("Coding & Debugging",),
    "Creative Tasks": ("Creative Writing", "Editing", "Brainstorming", "Role playing", "Others"),
}
_GROUP_OF_TAG = {tag.casefold(): group for group, tags in GROUPS.items() for tag in tags}

#: Weights of the task-macro value since August 2024 (they sum to 4.75).
GROUP_WEIGHTS: dict[str, float] = {
    "Creative Tasks": 0.5,
    "Planning & Reasoning": 1.25,
    "Math & Data Analysis": 1.0,
    "Information/Advice seeking": 0.75,
    "Coding & Debugging": 1.25,
}
#: Weights of the June 2024 snapshot (they sum to 4.5).
GROUP_WEIGHTS_JUNE: dict[str, float] = {**GROUP_WEIGHTS, "Coding & Debugging": 1.0}


class Outcome(Enum):
    """A comparison from the candidate's side; the value is what enters WB-Reward."""

    MUCH_BETTER = 1.0
    BETTER = 0.5
    TIE = 0.0
    WORSE = -0.5
    MUCH_WORSE = -1.0

    @property
    def slight(self) -> bool:
        """True for the outcomes that a length margin may turn into a tie."""
        return self in (Outcome.BETTER, Outcome.WORSE)

    @classmethod
    def from_choice(cls, choice: str, order: Order) -> Outcome:
        """What a judge's choice (``A++ A+ A=B B+ B++``) means for the candidate shown first or second."""
        value = {"A++": 1.0, "A+": 0.5, "A=B": 0.0, "B+": -0.5, "B++": -1.0}[choice]
        return cls(value if order == "candidate_first" else 0.0 - value)


def groups_of(task: Task) -> frozenset[str]:
    """The groups of a task's tags; a tag outside the twelve counts as Others, a task without tags has no group."""
    tags = [tag for tag in (task.primary_tag, *task.secondary_tags) if tag.strip()]
    return frozenset(_GROUP_OF_TAG.get(tag.strip().casefold(), "Creative Tasks") for tag in tags)


def unknown_tags(task: Task) -> tuple[str, ...]:
    """The task's tags that are none of the twelve categories."""
    tags = (task.primary_tag, *task.secondary_tags)
    return tuple(tag for tag in tags if tag.strip() and tag.strip().casefold() not in _GROUP_OF_TAG)


def text_of(answer: Answer) -> str:
    """The answer's text; an output that is not text counts as empty."""
    return answer.output if isinstance(answer.output, str) else ""


def text_hash(text: str) -> str:
    """16 hex digits of BLAKE2b over the text; what ties a verdict to the answer it is about."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def task_hash(task: Task) -> str:
    """Hash of what a judge is shown of a task: its messages and its checklist."""
    return _shown_hash(tuple((m.role, m.content) for m in task.messages), tuple(task.checklist))


@lru_cache(maxsize=4096)  # every model's answers meet the same tasks
def _shown_hash(turns: tuple[tuple[str, str], ...], checklist: tuple[str, ...]) -> str:
    return stable_id(turns, checklist)


@dataclass(frozen=True)
class TaskSet:
    """Benchmark tasks with distinct ids, in benchmark order.

    Raises:
        DataError: an id occurs twice, or a task does not end with a user turn.
    """

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for task in self.tasks:
            if task.id in seen:
                raise DataError(f"task id {task.id!r} occurs twice", hint="give every task an id of its own")
            if task.messages and task.messages[-1].role != "user":
                role = task.messages[-1].role
                raise DataError(f"task {task.id!r} ends with the turn of the {role}, it must end with the user's")
            seen.add(task.id)

    @classmethod
    def of(cls, tasks: TaskSet | Iterable[Task]) -> TaskSet:
        """The tasks as a set; a set is returned as it is."""
        return tasks if isinstance(tasks, TaskSet) else cls(tuple(tasks))

    @classmethod
    def read(cls, path: Path) -> TaskSet:
        """Read a frozen set or mining by its folder, or a JSON, JSON Lines or Parquet file of tasks, WildBench's too.

        Raises:
            MissingError: no such file.
            DataError: malformed rows, an id twice, or a frozen set that was changed.
        """
        from agora.core.tables import read_records, read_rows
        from agora.rooms.judge.formats.wildbench_files import CONVERSATION, read_wildbench_tasks

        if Path(path).is_dir():
            from agora.rooms.judge.mining.freeze import read_folder

            return read_folder(path)
        if any(CONVERSATION in row for _, row in read_rows(path, limit=1)):
            return cls(tuple(read_wildbench_tasks(path)))
        return cls(tuple(read_records(path, Task)))

    @cached_property
    def by_id(self) -> Mapping[str, Task]:
        """Task by id."""
        return {task.id: task for task in self.tasks}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Place of each task id in benchmark order, from 0."""
        return {task.id: i for i, task in enumerate(self.tasks)}

    @cached_property
    def groups(self) -> Mapping[str, frozenset[str]]:
        """Groups of each task id."""
        return {task.id: groups_of(task) for task in self.tasks}

    @cached_property
    def sha(self) -> str:
        """Hash of the ids and contents: results on different task sets are not comparable."""
        return stable_id([[task.id, task_hash(task)] for task in self.tasks], size=16)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)


class PromptRef(NamedTuple):
    """Which prompt a verdict was asked with; the hash is that of its template."""

    name: str
    hash: str


@dataclass(frozen=True)
class ScoreItem:
    """An answer to be graded.

    ``asked`` counts the replies that an earlier run could not read, so that the next call carries the reminder.
    """

    task: Task
    answer: Answer
    asked: int = field(default=0, compare=False)

    kind: Kind = field(default="score", init=False)

    @cached_property
    def content(self) -> str:
        """Hash of all that the judge is shown."""
        return stable_id("score", task_hash(self.task), text_hash(text_of(self.answer)))

    @property
    def identity(self) -> tuple[str, ...]:
        """Whose verdict this is."""
        return ("score", self.task.id, self.answer.model)


@dataclass(frozen=True)
class ChecklistItem:
    """An answer whose task's checklist is gone through, question by question."""

    task: Task
    answer: Answer
    asked: int = field(default=0, compare=False)

    kind: Kind = field(default="checklist", init=False)

    @cached_property
    def content(self) -> str:
        """Hash of all that the judge is shown."""
        return stable_id("checklist", task_hash(self.task), text_hash(text_of(self.answer)))

    @property
    def identity(self) -> tuple[str, ...]:
        """Whose verdict this is."""
        return ("checklist", self.task.id, self.answer.model)


@dataclass(frozen=True)
class PairItem:
    """Two answers to be compared, shown in the given order."""

    task: Task
    answer: Answer
    baseline: Answer
    order: Order
    asked: int = field(default=0, compare=False)

    kind: Kind = field(default="pair", init=False)

    @cached_property
    def content(self) -> str:
        """Hash of all that the judge is shown, the order included."""
        texts = text_hash(text_of(self.answer)), text_hash(text_of(self.baseline))
        return stable_id("pair", task_hash(self.task), *texts, self.order)

    @property
    def identity(self) -> tuple[str, ...]:
        """Whose verdict this is."""
        return ("pair", self.task.id, self.answer.model, self.baseline.model, self.order)


Item = ScoreItem | PairItem | ChecklistItem


class Judge(Protocol):
    """Whoever grades answers: a model, a rule, a file of earlier verdicts.

    Every item gets exactly one verdict; verdicts come in any order, each tied to its item by its id. A failed call is a
    verdict with another status than ``ok`` and without a value, never an exception and never a number.
    """

    @property
    def name(self) -> str:
        """The judge's name; verdicts of different names never share a ranking."""

    def prompt(self, kind: Kind) -> PromptRef:
        """Name and hash of the prompt or rule that verdicts of this kind rest on."""

    def score(self, items: Iterable[ScoreItem]) -> Iterator[Verdict]:
        """Grade answers from 1 to 10."""

    def compare(self, items: Iterable[PairItem]) -> Iterator[Verdict]:
        """Compare answers with a baseline's; values -1, -0.5, 0, 0.5, 1 from the candidate's side."""

    def check(self, items: Iterable[ChecklistItem]) -> Iterator[Verdict]:
        """Go through the checklists; values 0 to 1, the share of questions answered yes ("partly" counts half)."""


@dataclass(frozen=True, slots=True)
class OrderPolicy:
    """Who is shown first in a comparison.

    ``balanced``: on each task half of the candidates stand first against each baseline (laid out over the benchmark by
    :func:`~agora.rooms.judge.asking.orders.balanced_orders`). ``hash``: drawn for each task and candidate from the
    seed, and turned with each further baseline, so that on every task a candidate stands first against some baselines
    and second against others, and which ones differs from model to model. ``both``: two calls. ``sample-both:p``: both
    orders on a share p of the tasks (0 to 1), which estimates the order bias for the rest. ``legacy42``: the
    reference's sequence, the same for every model and baseline.
    """

    name: str = "hash"
    share: float = 0.0

    @classmethod
    def parse(cls, text: str | OrderPolicy) -> OrderPolicy:
        """Read ``balanced``, ``hash``, ``both``, ``sample-both`` (p = 0.1), ``sample-both:p`` or ``legacy42``."""
        if isinstance(text, OrderPolicy):
            return text
        name, _, tail = text.partition(":")
        if name in ("balanced", "hash", "both", "legacy42") and not tail:
            return cls(name, 1.0 if name == "both" else 0.0)
        if name == "sample-both":
            try:
                share = float(tail or 0.1)
            except ValueError:
                share = -1.0
            if 0.0 <= share <= 1.0:
                return cls(name, share)
        hint = "use balanced, hash, both, sample-both:p with p from 0 to 1, or legacy42"
        raise ConfigError(f"unknown order policy {text!r}", hint=hint)

    def orders(self, task_id: str, model: str, *, seed: int = 0, position: int = 0, turn: int = 0) -> tuple[Order, ...]:
        """The orders in which a candidate is shown on a task; alone, ``balanced`` is drawn as ``hash``.

        Args:
            seed: of the draw.
            position: the task's place in the benchmark, from 0; what ``legacy42`` goes by.
            turn: which of the candidate's baselines this is, from 0.
        """
        if self.name == "legacy42":
            return ("candidate_first" if _legacy_first(position) else "candidate_second",)
        if unit_draw(seed, "both", task_id, model) < self.share:
            return ("candidate_first", "candidate_second")
        first = (unit_draw(seed, "order", task_id, model) < 0.5) ^ bool(turn % 2)
        return ("candidate_first" if first else "candidate_second",)


def _legacy_first(position: int) -> bool:
    """Whether the reference shows the candidate first on its ``position``-th task."""
    return _legacy_draws(1 << max(10, position.bit_length()))[position] < 0.5


@lru_cache(maxsize=4)
def _legacy_draws(n: int) -> tuple[float, ...]:
    rng = Random(42)  # the reference seeds Python's generator once and draws once a task, empty answers included
    return tuple(rng.random() for _ in range(n))


def unit_draw(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int(stable_id(*parts), 16) / 2**64


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """A judge as a value: what it takes to build one and to ask it in the same way again.

    Args:
        judge: ``microcosm:checker``, ``replay:FILE`` or any engine URI.
        order: order policy of comparisons.
        seed: draws the orders and the codes of the prompt's delimiters.
        max_tokens: longest reply of the judge, in tokens.
        num_reasks: how often an unreadable reply is asked for again.
    """

    judge: str = "microcosm:checker"
    order: str = "hash"
    seed: int = 0
    max_tokens: int = 1024
    num_reasks: int = 2

    def __post_init__(self) -> None:
        OrderPolicy.parse(self.order)
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if self.num_reasks < 0:
            raise ConfigError(f"num_reasks must not be negative, got {self.num_reasks}")

    def load(self, engine: Engine | None = None, **engine_options: Any) -> Judge:
        """Build the judge; ``engine`` is used instead of opening one where it is given."""
        from agora.rooms.judge.asking.judges import open_judge

        return open_judge(
            self.judge,
            engine=engine,
            seed=self.seed,
            max_tokens=self.max_tokens,
            num_reasks=self.num_reasks,
            **engine_options,
        )
