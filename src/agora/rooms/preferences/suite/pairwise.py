"""Win rate against a baseline's stored answers (AlpacaEval form): a judge prefers one answer, ties count half."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from agora.core.json_rows import Row
from agora.core.length_control import length_controlled
from agora.core.records import Message, stable_id
from agora.engines.types import Sampling
from agora.rooms.preferences.suite.files import check_some, field, read_table
from agora.rooms.preferences.suite.judges import Opinion, PairJudge, PairQuestion
from agora.rooms.preferences.suite.protocol import Answered, Ask, Request, Test, mean_of
from agora.rooms.preferences.types import EvalItem, EvalResult

FILES = ("alpaca_eval/baseline.json", "alpaca_eval_baseline.json", "alpaca_eval.json", "baseline_outputs.json")
_BATCH = 64  # answers before the judge at once: what a killed run may have to have judged again


class PairwiseTest(Test):
    """The model's answers against a baseline's, by a judge.

    Args:
        path: rows with ``instruction`` and the baseline's ``output``, and perhaps ``generator``.
        judge: who prefers; see :mod:`agora.rooms.preferences.suite.judges`.
        name: the test's name.
        max_tokens: longest answer, in tokens.
    """

    category = "instruction following"
    unit = "win rate in %"

    def __init__(self, path: Path, judge: PairJudge, *, name: str = "alpaca-eval", max_tokens: int = 8192) -> None:
        self.path, self.judge, self.name, self.max_tokens = Path(path), judge, name, max_tokens

    @property
    def scoring(self) -> str:
        """The judge."""
        return self.judge.name

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """The instructions in file order."""
        items = [self._item(row) for row in read_table(self.path)][:limit]
        check_some(self.path, items)
        return items

    def _item(self, row: Row) -> EvalItem:
        instruction = field(self.path, row, "instruction", "prompt")
        return EvalItem(
            test=self.name,
            category=self.category,
            id=stable_id(instruction),
            messages=(Message("user", instruction),),
            target=field(self.path, row, "output", "output_1"),
            meta={"baseline": str(row.data.get("generator") or row.data.get("generator_1") or "baseline")},
        )

    def request(self, item: EvalItem) -> Request:
        """One greedy answer."""
        return Ask(Sampling(temperature=0.0, max_tokens=self.max_tokens))

    def score(self, answered: Answered) -> EvalResult:
        """1 if the judge prefers the model's answer, 0.5 for a tie."""
        return next(self.score_all([answered]))

    def score_all(self, answered: Iterable[Answered]) -> Iterator[EvalResult]:
        """Judge the answers a batch at a time."""
        stream = iter(answered)
        while batch := list(islice(stream, _BATCH)):
            questions = [
                PairQuestion(a.item.id, a.item.messages[-1].content, a.texts[0], a.item.target or "") for a in batch
            ]
            for one, opinion in zip(batch, self.judge.compare(questions), strict=True):
                yield self._result(one, opinion)

    def _result(self, answered: Answered, opinion: Opinion) -> EvalResult:
        item = answered.item
        meta: dict[str, Any] = {
            "judge": self.judge.name,
            "judge_reply": opinion.raw,
            "baseline": item.meta["baseline"],
            "baseline_n_chars": len(item.target or ""),
        }
        verdict = None if opinion.value is None else {1.0: "win", 0.0: "loss"}.get(opinion.value, "tie")
        return answered.result(opinion.value, status=opinion.status, prediction=verdict, meta=meta)

    def secondary(self, results: Sequence[EvalResult]) -> dict[str, float | None]:
        """The rate at equal lengths, ties in percent, and both mean lengths."""
        controlled = length_controlled(
            [result.score or 0.0 for result in results],
            [result.meta["n_chars"] for result in results],
            [result.meta["baseline_n_chars"] for result in results],
        )
        ties = sum(result.prediction == "tie" for result in results)
        return {
            "at equal lengths": controlled.rate,
            "ties": 100.0 * ties / len(results) if results else None,
            "baseline chars": mean_of(results, "baseline_n_chars", scale=1.0),
        }
