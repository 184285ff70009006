"""Judge into a file with a judge that counts its calls in another file; run as a program, to be killed.

Arguments: folder, number of tasks, seconds a call takes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from agora.core.records import Verdict
from agora.rooms.judge.asking.score import judge_pairs, judge_scores
from agora.rooms.judge.asking.verdicts import make_verdict
from agora.rooms.judge.types import Item, Kind, PairItem, PromptRef, ScoreItem
from tests.rooms.judge.support import make_answer, make_task


class CountingJudge:
    """Gives a value by the answer's length, and writes one line a call before it."""

    name = "counting"

    def __init__(self, calls: Path, seconds: float = 0.0) -> None:
        self.calls = calls
        self.seconds = seconds

    def prompt(self, kind: Kind) -> PromptRef:
        return PromptRef("length", kind)

    def score(self, items: Iterable[ScoreItem]) -> Iterator[Verdict]:
        return (self._verdict(item, 1.0 + len(item.answer.output) % 10) for item in items)

    def compare(self, items: Iterable[PairItem]) -> Iterator[Verdict]:
        return (self._verdict(item, 0.5 if item.order == "candidate_first" else -1.0) for item in items)

    def _verdict(self, item: Item, value: float) -> Verdict:
        with self.calls.open("a") as out:
            out.write(f"{'/'.join(item.identity)}\n")
        time.sleep(self.seconds)
        return make_verdict(item, self.name, self.prompt(item.kind), "ok", value)


def judge_all(folder: Path, num_tasks: int, seconds: float) -> list[Verdict]:
    tasks = [make_task(f"t{i}", f"Add {i} and 3.") for i in range(num_tasks)]
    answers = [make_answer(t.id, m, f"{m} says {i * i}") for m in ("m1", "m2") for i, t in enumerate(tasks)]
    baseline = [make_answer(t.id, "base", "I do not know.") for t in tasks]
    judge = CountingJudge(folder / "calls.txt", seconds)
    scores = judge_scores(tasks, answers, judge, folder / "verdicts.jsonl")
    pairs = judge_pairs(tasks, answers, baseline, judge, folder / "verdicts.jsonl", order="both")
    return scores + pairs


if __name__ == "__main__":
    os.environ["AGORA_PROGRESS"] = "0"
    judge_all(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
