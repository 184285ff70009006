"""BIG-Bench Hard: 27 tasks, three worked examples each, what stands after "the answer is" must match exactly.

Protocol: specification of the Tulu 2.5 evaluation suite. Three faults of that scorer are absent here: a decimal is not
cut at its point, a number keeps its sign, and answers made of brackets alone are compared as brackets.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

from agora.core.errors import DataError, MissingError
from agora.core.records import Message
from agora.core.tables import read_json, read_rows
from agora.engines.types import Sampling
from agora.rooms.preferences.suite.files import check_some, read_text
from agora.rooms.preferences.suite.protocol import Answered, Ask, Request, Test
from agora.rooms.preferences.types import EvalItem, EvalResult

FILES = ("bbh.jsonl", "bbh/bbh.jsonl", "bbh.json")
PROMPT_FILES = ("cot_prompts.json", "bbh/cot_prompts.json")
PER_TASK, SUBSET_SEED, NUM_SHOTS = 40, 42, 3
_PREFIX = "A: Let's think step by step."
# cut at the first blank line when scored; a model may also open with one
_SAMPLING = Sampling(temperature=0.0, max_tokens=512, stop=("\n\nQ:",))
# the published prompt files open with a warning and a line of dashes
_HEADER = re.compile(r"\A.*\n-{3,}\n")
_ANSWER = re.compile(r"\bthe answer is:?[ \t]*(.*?)(?:\.(?!\d)|\n|\Z)", re.IGNORECASE | re.DOTALL)
_NUMERIC = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+−]?\.\d+")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Bbh(Test):
    """BIG-Bench Hard with chains of thought; the figure is the mean over tasks.

    Args:
        path: rows with ``task``, ``input``, ``target`` (and ``index``), or a folder of ``TASK.json`` files.
        prompts: one JSON object task -> worked examples, or a folder of ``TASK.txt`` files.
        per_task: how many items a task, drawn with seed 42 a task; None: all 6,511.
        num_shots: how many of a prompt's worked examples are used.
    """

    name = "bbh"
    category = "reasoning"

    def __init__(
        self, path: Path, prompts: Path, *, per_task: int | None = PER_TASK, num_shots: int = NUM_SHOTS
    ) -> None:
        self.path, self.prompts = Path(path), Path(prompts)
        self.per_task, self.num_shots = per_task, num_shots

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """The items, the tasks taking turns, so that a limit cuts all tasks alike."""
        by_task = read_bbh(self.path)
        prompts = read_prompts(self.prompts)
        absent = sorted(by_task.keys() - prompts.keys())
        if absent:
            raise MissingError(f"no worked examples for {', '.join(absent[:5])}", where=str(self.prompts))
        columns = [self._task_items(task, by_task[task], prompts[task]) for task in sorted(by_task)]
        turns = (item for row in zip_longest(*columns) for item in row if item is not None)
        return list(turns)[:limit]

    def _task_items(self, task: str, examples: Mapping[str, tuple[str, str]], prompt: str) -> list[EvalItem]:
        chosen = list(examples)
        if self.per_task is not None and len(chosen) > self.per_task:
            chosen = random.Random(SUBSET_SEED).sample(chosen, self.per_task)
        head = cut_shots(prompt, self.num_shots)
        return [
            EvalItem(
                test=self.name,
                category=self.category,
                id=f"{task}/{index}",
                messages=(Message("user", f"{head}\n\nQ: {examples[index][0]}"),),
                prefix=_PREFIX,
                target=examples[index][1],
                meta={"task": task},
            )
            for index in chosen
        ]

    def request(self, item: EvalItem) -> Request:
        """One greedy answer; what follows its first blank line is not scored."""
        return Ask(_SAMPLING)

    def score(self, answered: Answered) -> EvalResult:
        """1 if the answer matches, else 0."""
        found = extract_answer(answered.texts[0])
        right = matches(found, answered.item.target or "")
        return answered.result(float(right), prediction=found, meta={"task": answered.item.meta["task"]})

    def stratum(self, result: EvalResult) -> str:
        """The task."""
        return str(result.meta.get("task", result.example_id.partition("/")[0]))


def extract_answer(text: str) -> str:
    """What stands after "the answer is" in the first paragraph, up to a period that ends a sentence; else all of it."""
    paragraph = text.strip().partition("\n\n")[0].strip()
    found = _ANSWER.search(paragraph)
    return found[1].strip() if found else paragraph


def matches(found: str, gold: str) -> bool:
    """Whether two answers are the same but for case and punctuation; numbers by value, brackets as they stand."""
    found, gold = found.strip(), gold.strip()
    if _NUMERIC.fullmatch(gold):
        number = _NUMERIC.fullmatch(found.strip("*$\"'` "))
        return number is not None and _value(number[0]) == _value(gold)
    if not any(char.isalnum() for char in gold):
        return "".join(found.split()) == "".join(gold.split())
    return _plain(found) == _plain(gold)


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", "").replace("−", "-"))


def _plain(text: str) -> str:
    return " ".join(text.casefold().translate(_PUNCTUATION).split())


def cut_shots(prompt: str, num_shots: int) -> str:
    """A prompt's description and its first `num_shots` worked examples (each begins with ``Q:`` on a line)."""
    description, *shots = re.split(r"^(?=Q:)", _HEADER.sub("", prompt), flags=re.MULTILINE)
    return "".join([description, *shots[:num_shots]]).strip()


def read_bbh(path: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Task -> index -> (input, target).

    Raises:
        DataError: a row lacks something, or stands twice; names file and line.
    """
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        whole = path.is_dir()
        rows = read_json(file).get("examples", []) if whole else None
        numbered = enumerate(rows) if rows is not None else ((row.line - 1, row.data) for row in read_rows(file))
        for number, data in numbered:
            task = file.stem if whole else data.get("task")
            given, target = data.get("input"), data.get("target")
            where = f"{file}:{number + 1}"
            if not all(isinstance(text, str) and text for text in (task, given, target)):
                raise DataError("a row needs task, input and target", where=where)
            index = str(data.get("index", number))
            if index in found.setdefault(str(task), {}):
                raise DataError(f"index {index} of {task} stands twice", where=where)
            found[str(task)][index] = (str(given), str(target))
    check_some(path, list(found))
    return found


def read_prompts(path: Path) -> dict[str, str]:
    """Task -> its worked examples.

    Raises:
        MissingError: no such file or folder.
        DataError: not one text a task.
    """
    found = {file.stem: read_text(file) for file in sorted(path.glob("*.txt"))}  # nothing, if it is a file
    texts = found if path.is_dir() else read_json(path)
    if not isinstance(texts, dict) or not texts or not all(isinstance(text, str) for text in texts.values()):
        raise DataError("worked examples must be one text a task", where=str(path))
    return texts
