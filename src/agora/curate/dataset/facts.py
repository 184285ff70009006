"""One pass over a file: counts, lengths, labels, some rows to read, and how the file came about."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from agora.core.json_rows import Row
from agora.core.jsonl import Rejects, read_json
from agora.core.records import JsonMap, stable_id
from agora.core.tables import read_rows
from agora.curate.curation import read_funnel
from agora.curate.dataset.root_verbs import VerbCount
from agora.curate.expressions.fields import FIELDS
from agora.curate.funnel import Funnel
from agora.curate.row_parts import PARTS, parts_of
from agora.curate.rows import answer_of, instruction_of, open_source
from agora.curate.text import repeated_share
from agora.curate.write import beside

LABELS = ("quality", "difficulty", "category", "safety", "language")
NUMBERS = ("reward", "reward_diff", "dup.distance")
EXAMPLES_A_LABEL = 2
MAP_ROWS = 2000
REMOVED_SHOWN = 12
_MAX_CHAIN = 50

Count = Callable[[str], int]


@dataclass(slots=True)
class Removed:
    """A row that is not in the data set, where and why it was left out."""

    verb: str
    reason: str
    row: Any


@dataclass(slots=True)
class Step:
    """One verb on the way to the file, from its manifest."""

    verb: str
    seconds: float
    config: JsonMap
    facts: JsonMap
    rejects: Path


@dataclass(slots=True)
class Dataset:
    """What is known of a file. Lengths are in characters; ``size`` of a message in ``unit``."""

    name: str
    path: Path
    unit: str = "words"
    n: int = 0
    unreadable: int = 0
    marked: int = 0
    turns: Counter[int] = field(default_factory=Counter)
    sizes: array[float] = field(default_factory=lambda: array("d"))
    instruction_chars: array[float] = field(default_factory=lambda: array("d"))
    answer_chars: array[float] = field(default_factory=lambda: array("d"))
    repetitive: int = 0
    unanswered: int = 0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    numbers: dict[str, array[float]] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    verbs: VerbCount = field(default_factory=VerbCount)
    tokens: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, list[JsonMap]]] = field(default_factory=dict)
    sample: list[JsonMap] = field(default_factory=list)
    funnel: Funnel | None = None
    steps: list[Step] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)

    def take_in(self, later: Dataset) -> None:
        """Add what was counted in the rows that follow."""
        self.n += later.n
        self.repetitive += later.repetitive
        self.unanswered += later.unanswered
        for name in ("sizes", "instruction_chars", "answer_chars"):
            getattr(self, name).extend(getattr(later, name))
        for name in ("turns", "sources", "licences", "models", "tokens"):
            getattr(self, name).update(getattr(later, name))
        for name, counts in later.labels.items():
            self.labels.setdefault(name, Counter()).update(counts)
        for name, numbers in later.numbers.items():
            self.numbers.setdefault(name, array("d")).extend(numbers)
        self.verbs.take_in(later.verbs)

    def as_json(self) -> JsonMap:
        """The counts as plain JSON values, without any row."""
        return {
            "name": self.name,
            "path": str(self.path),
            "rows": self.n,
            "marked": self.marked,
            "unreadable": self.unreadable,
            "unanswered": self.unanswered,
            "repetitive": self.repetitive,
            "turns": {str(k): n for k, n in sorted(self.turns.items())},
            "unit": self.unit,
            "mean_size": sum(self.sizes) / len(self.sizes) if self.sizes else None,
            "labels": {name: dict(counts.most_common()) for name, counts in self.labels.items()},
            "means": {name: sum(v) / len(v) for name, v in self.numbers.items() if len(v)},
            "sources": dict(self.sources.most_common()),
            "licences": dict(self.licences.most_common()),
            "verbs": dict(self.verbs.verbs.most_common(20)),
            "funnel": None if self.funnel is None else self.funnel.to_json(),
        }


def collect(
    path: Path,
    *,
    format: str = "auto",
    name: str = "",
    seed: int = 0,
    count: Count | None = None,
    unit: str = "words",
    work: Path | None = None,
    on: str = "local",
    workers: int | None = None,
) -> Dataset:
    """Read a file once.

    Args:
        path: any readable file.
        format: of the file.
        name: what the page calls it; the file's name by default.
        seed: of the choice of examples.
        count: size of a message in ``unit``; words split at white space by default.
        work: folder for what passes between processes; default: ``PATH.agora-parts`` beside the file.
        on: where rows are counted, see :func:`agora.curate.row_parts.parts_of`.
        workers: processes for that.

    Raises:
        MissingError, DataError: the file cannot be read.
    """
    path = Path(path)
    data, keep = Dataset(name or path.name, path, unit), _Keep(seed)
    look = partial(_look, path, unit, seed, count or _words)
    folder = work or beside(path, PARTS)
    parts = parts_of(open_source(path, format), look, folder, on=on, workers=workers, label=f"reading {path.name}")
    for part in parts:
        marked = sum(aside.marked for aside in part.aside)
        data.marked += marked
        data.unreadable += len(part.aside) - marked
        data.take_in(part.result[0])
        keep.take_in(part.result[1])
    data.sample = keep.sample()
    data.examples = keep.examples()
    _history(data, seed)
    return data


def _look(path: Path, unit: str, seed: int, count: Count, rows: list[Row]) -> tuple[Dataset, _Keep]:
    data, keep = Dataset(path.name, path, unit), _Keep(seed)
    for _, row in rows:
        _add(data, row, count)
        keep.add(row)
    return data, keep


def _words(text: str) -> int:
    return len(text.split())


def _add(data: Dataset, row: JsonMap, count: Count) -> None:
    data.n += 1
    instruction, answer = instruction_of(row), answer_of(row)
    data.turns[sum(m["role"] == "user" for m in row["messages"])] += 1
    data.sizes.extend(float(count(m["content"])) for m in row["messages"] if m["role"] in ("user", "assistant"))
    data.instruction_chars.append(len(instruction))
    if answer is None:
        data.unanswered += 1
    else:
        data.answer_chars.append(len(answer))
        data.repetitive += repeated_share(answer) >= 0.5
    for name in LABELS:
        value = FIELDS[name].get(row)
        if value is not None:
            data.labels.setdefault(name, Counter())[value] += 1
    for name in NUMBERS:
        number = FIELDS[name].get(row)
        if isinstance(number, int | float):
            data.numbers.setdefault(name, array("d")).append(float(number))
    provenance = row.get("provenance") or {}
    data.sources[str(provenance.get("source") or row.get("slice") or "unknown")] += 1
    data.licences[str(provenance.get("licence") or "unknown")] += 1
    model = FIELDS["model"].get(row)
    if model:
        data.models[str(model)] += 1
    if FIELDS["language"].get(row) in (None, "EN"):
        data.verbs.add(instruction)
    for usage in (row.get("gen") or {}, row.get("answer_gen") or {}):
        for key in ("prompt_tokens", "completion_tokens"):
            if isinstance(usage.get(key), int):
                data.tokens[key] += usage[key]


class _Keep:
    """The rows whose ids hash lowest: some for each label value, some for the map, whatever the file's order."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sample: list[tuple[int, int, JsonMap]] = []
        self._by_label: dict[tuple[str, str], list[tuple[int, int, JsonMap]]] = {}
        self._n = 0

    def add(self, row: JsonMap) -> None:
        """Look at one more row."""
        self._n += 1
        item = (-int(stable_id("example", self._seed, row["id"]), 16), self._n, row)
        _push(self._sample, item, MAP_ROWS)
        for name in LABELS:
            value = FIELDS[name].get(row)
            if value is not None:
                _push(self._by_label.setdefault((name, value), []), item, EXAMPLES_A_LABEL)

    def take_in(self, later: _Keep) -> None:
        """Look at what was kept of the rows that follow."""
        for place, n, row in later._sample:
            _push(self._sample, (place, self._n + n, row), MAP_ROWS)
        for key, items in later._by_label.items():
            for place, n, row in items:
                _push(self._by_label.setdefault(key, []), (place, self._n + n, row), EXAMPLES_A_LABEL)
        self._n += later._n

    def sample(self) -> list[JsonMap]:
        """The rows for the map."""
        return [row for *_, row in sorted(self._sample, key=lambda item: item[:2], reverse=True)]

    def examples(self) -> dict[str, dict[str, list[JsonMap]]]:
        """Label -> value -> rows."""
        found: dict[str, dict[str, list[JsonMap]]] = {}
        for (name, value), items in self._by_label.items():
            ordered = sorted(items, key=lambda item: item[:2], reverse=True)
            found.setdefault(name, {})[value] = [row for *_, row in ordered]
        return found


def _push(heap: list[tuple[int, int, JsonMap]], item: tuple[int, int, JsonMap], size: int) -> None:
    if len(heap) < size:
        heapq.heappush(heap, item)
    elif item[:2] > heap[0][:2]:
        heapq.heapreplace(heap, item)


def _history(data: Dataset, seed: int) -> None:
    """The funnel, the verbs and the removed rows that led to the file, back to its first input."""
    path = data.path
    if not beside(path, "manifest.json").exists():
        return
    data.funnel = read_funnel(path)
    for _ in range(_MAX_CHAIN):
        manifest = beside(path, "manifest.json")
        if not manifest.exists():
            break
        state = read_json(manifest)
        step = Step(state["verb"], state["seconds"], state["config"], state["facts"], beside(path, "rejects.jsonl"))
        data.steps.insert(0, step)
        inputs = state.get("inputs") or []  # a manifest of another version tells no further way
        if len(inputs) != 1 or not Path(inputs[0]["path"]).exists():
            break
        path = Path(inputs[0]["path"])
    for step in data.steps:
        data.removed += _removed(step, seed)


def _removed(step: Step, seed: int) -> Iterator[Removed]:
    """Rows that a verb left out: of each reason in turn, so that rare ones are seen too."""
    if not step.rejects.exists():
        return
    by_reason: dict[str, list[tuple[int, int, JsonMap]]] = {}
    for line, row in read_rows(step.rejects, rejects=Rejects()):
        item = (-int(stable_id("removed", seed, row.get("where")), 16), line, row)
        _push(by_reason.setdefault(str(row.get("reason")), []), item, 3)
    shown = sorted(by_reason.items(), key=lambda entry: -len(entry[1]))
    rounds = (items[n] for n in range(3) for _, items in shown if n < len(items))
    for *_, row in islice(rounds, REMOVED_SHOWN):
        yield Removed(step.verb, str(row.get("reason")), row.get("raw"))
