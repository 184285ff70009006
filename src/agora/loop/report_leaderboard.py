"""The leaderboard of a loop's benchmark, a page beside the report."""

from __future__ import annotations

from collections.abc import Sequence

from agora.core.files import write_bytes
from agora.core.records import Task
from agora.core.report import Report
from agora.core.runs import RunDir
from agora.loop.judging import Judged
from agora.loop.settings import LoopConfig
from agora.rooms.judge.look.data import page_data
from agora.rooms.judge.look.page import render_page
from agora.rooms.judge.types import TaskSet

PAGE = "leaderboard.html"


def write_leaderboard(
    report: Report, run: RunDir, config: LoopConfig, judged: Judged, benchmark: Sequence[Task]
) -> None:
    """Write ``leaderboard.html`` of the run folder and link to it; nothing where nothing was judged."""
    if not any(model.score.n for model in judged.models):
        return
    data = page_data(
        [run.file("verdicts_scores.jsonl"), run.file("verdicts_rewards.jsonl")],
        tasks=TaskSet.of(benchmark),
        answers=[answer for of_model in judged.answers.values() for answer in of_model.values()],
        margin=config.margin,
        allow_partial=True,
        seed=config.seed,
        title="Leaderboard of the loop",
        command=str(run.info["command"]),
    )
    write_bytes(run.file(PAGE), render_page(data).encode("utf-8", "replace"))
    report.link("Leaderboard with every task, answer and reason behind these numbers", PAGE)
