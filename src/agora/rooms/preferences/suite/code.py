"""Code generation: HumanEval, MBPP and their "plus" versions, judged by running the programs.

Instruction form; n = 20 samples at temperature 0.8 and top-p 0.95, at most 512 tokens; pass@10 (specification of the
Tulu 2.5 evaluation suite). Programs run in :mod:`agora.rooms.preferences.suite.sandbox`, and only where a user allows
it; the suite's catalog refuses otherwise.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agora.core.errors import ConfigError, DataError
from agora.core.json_rows import Row
from agora.core.records import Message
from agora.engines.types import Sampling
from agora.rooms.preferences.suite.files import check_some, field, read_table
from agora.rooms.preferences.suite.passing import pass_at_k
from agora.rooms.preferences.suite.protocol import Answered, Ask, Request, Test, mean_of
from agora.rooms.preferences.suite.sandbox import Limits, run_programs
from agora.rooms.preferences.types import EvalItem, EvalResult

HUMANEVAL_FILES = ("HumanEvalPlus.jsonl", "HumanEval.jsonl", "humanevalplus.parquet", "humaneval.jsonl")
MBPP_FILES = ("MbppPlus.jsonl", "mbppplus.parquet", "mbpp.jsonl", "mbpp.parquet")
NUM_SAMPLES, K, TEMPERATURE, TOP_P = 20, 10, 0.8, 0.95
MBPP_SKIPPED = 100
_FENCE = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL | re.IGNORECASE)
# where a model that continues a function begins something else
_NEXT = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(", "\n```", "\n@", "\nassert ")


class CodeTest(Test):
    """Problems with tests; the figure is pass@k.

    Args:
        path: the problems.
        n: samples a problem, at least k.
        k: of pass@k.
        temperature: of the samples; the published suite has 0.8 for pass@10 and 0.1 for pass@1.
        limits: what a program may spend.
        workers: programs run at once; None: one a processor.
    """

    category = "coding"
    unit = "pass@k in %"

    def __init__(
        self,
        path: Path,
        *,
        n: int = NUM_SAMPLES,
        k: int = K,
        temperature: float = TEMPERATURE,
        limits: Limits | None = None,
        workers: int | None = None,
    ) -> None:
        if not 1 <= k <= n:
            raise ConfigError(f"pass@{k} needs 1 <= k <= n, got n = {n}")
        self.path, self.n, self.k, self.temperature = Path(path), n, k, temperature
        self.limits, self.workers = limits or Limits(), workers

    @property
    def scoring(self) -> str:
        """k and the programs' limits."""
        return f"k={self.k} timeout_s={self.limits.timeout_s:g} memory_mb={self.limits.memory_mb}"

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """The problems in file order."""
        items = [self._item(row) for row in read_table(self.path)]
        check_some(self.path, items)
        return items[:limit]

    @abstractmethod
    def _item(self, row: Row) -> EvalItem:
        """One problem."""

    def request(self, item: EvalItem) -> Request:
        """The samples."""
        top_p = TOP_P if self.temperature > 0 else 1.0
        return Ask(Sampling(self.temperature, top_p, max_tokens=512, stop=("\n```",)), self.n)

    def score(self, answered: Answered) -> EvalResult:
        """Run all samples of one problem; the score is its pass@k."""
        item = answered.item
        programs = [build_program(item, text, answered.shape) for text in answered.texts]
        runs = run_programs(programs, self.limits, workers=self.workers)
        passed = sum(run.passed for run in runs)
        samples = [
            {"text": text, "outcome": run.outcome, "detail": run.detail}
            for text, run in zip(answered.texts, runs, strict=True)
        ]
        meta: dict[str, Any] = {"passed": passed, "n": len(runs), "k": self.k, "samples": samples}
        meta["isolation"] = ", ".join(sorted({run.isolation for run in runs}))
        meta["pass@1"] = passed / len(runs)
        score = float(pass_at_k(len(runs), passed, self.k))
        return answered.result(score, prediction=f"{passed} of {len(runs)} passed", meta=meta)

    def score_all(self, answered: Iterable[Answered]) -> Iterator[EvalResult]:
        """Problem by problem, the next one being run while the last one is written."""
        with ThreadPoolExecutor(1) as ahead:
            waiting = None
            for one in answered:
                following = ahead.submit(self.score, one)
                if waiting is not None:
                    yield waiting.result()
                waiting = following
            if waiting is not None:
                yield waiting.result()

    def secondary(self, results: Sequence[EvalResult]) -> dict[str, float | None]:
        """pass@1 of the same samples."""
        return {"pass@1": mean_of(results, "pass@1")}


class HumanEval(CodeTest):
    """HumanEval or HumanEval+: rows with ``task_id``, ``prompt``, ``entry_point``, ``test`` (with ``check``)."""

    name = "humaneval"

    def _item(self, row: Row) -> EvalItem:
        prompt, entry = field(self.path, row, "prompt"), field(self.path, row, "entry_point")
        test = field(self.path, row, "test")
        ask = f"Finish the Python function below. Write the code of the function and nothing else.\n\n{prompt}"
        return EvalItem(
            test=self.name,
            category=self.category,
            id=field(self.path, row, "task_id"),
            messages=(Message("user", ask),),
            prefix=f"The finished function:\n\n```python\n{prompt}",
            raw=prompt,
            target=row.data.get("canonical_solution"),
            meta={"start": prompt, "entry_point": entry, "check": f"{test}\n\ncheck({entry})\n"},
        )


class Mbpp(CodeTest):
    """MBPP or MBPP+: rows with ``task_id``, ``prompt`` or ``text``, and ``test_list`` or ``test``.

    The first 100 problems are passed over, as in the published suite (`skip`).
    """

    name = "mbpp"

    def __init__(self, path: Path, *, skip: int = MBPP_SKIPPED, **options: Any) -> None:
        super().__init__(path, **options)
        self.skip = skip

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """The problems in file order, from the 101st on."""
        items = super().items()[self.skip :]
        if not items:
            raise DataError(
                f"the first {self.skip} problems are passed over and no other is there", where=str(self.path)
            )
        return items[:limit]

    def _item(self, row: Row) -> EvalItem:
        text = field(self.path, row, "prompt", "text").strip()
        tests = [str(test) for test in row.data.get("test_list") or ()]
        setup = row.data.get("test_imports") or row.data.get("test_setup_code") or ""
        setup = "\n".join(setup) if isinstance(setup, list) else str(setup)
        check = row.data.get("test") or "\n".join([setup, *tests])
        example = tests[0] if tests else ""
        if not tests and not row.data.get("test"):
            raise DataError("a problem needs test_list or test", where=f"{self.path}:{row.line}")
        shown = f"{text}\nYour code must pass this test:\n{example}" if example else text
        start = f'"""\n{text}\n{example}\n"""\n'
        return EvalItem(
            test=self.name,
            category=self.category,
            id=str(row.data.get("task_id", row.line)),
            messages=(Message("user", f"Write Python code for this task, and nothing else.\n\n{shown}"),),
            prefix="The code:\n\n```python\n",
            raw=start,
            target=row.data.get("code") or row.data.get("canonical_solution"),
            meta={"start": "", "entry_point": None, "check": check},
        )


def build_program(item: EvalItem, text: str, shape: str) -> str:
    """The program that decides one sample: the model's code followed by the problem's checks.

    A text that defines the function itself is taken with what stands before it in the prompt (imports, helpers); any
    other text is the rest of the function.
    """
    start, entry = item.meta["start"], item.meta["entry_point"]
    fenced = _FENCE.search(text)
    code = fenced[1] if fenced and (shape.startswith("chat") or not text.startswith((" ", "\t"))) else text
    whole = entry is None or re.search(rf"^\s*(?:async )?def {re.escape(entry)}\b", code, re.MULTILINE)
    if whole:
        head = re.split(rf"^def {re.escape(entry)}\b", start, maxsplit=1, flags=re.MULTILINE)[0] if entry else ""
        end = '\n"""\n' if shape == "raw" else "\n```"
        return f"{head}\n{code.partition(end)[0]}\n\n{item.meta['check']}"
    return f"{start}{_body(code)}\n\n{item.meta['check']}"


def _body(text: str) -> str:
    """A continuation up to where something else begins."""
    ends = [at for mark in _NEXT if (at := text.find(mark)) >= 0]
    return text[: min(ends)] if ends else text
