"""``agora loop``: people's words, or a model's own, become data; data becomes models; models are judged.

Each stage reads files and writes files of the run folder; a stage that is done is not run again, and inside a stage
finished items are not paid for twice. So a loop killed anywhere ends like an unbroken one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agora.core.records import Answer, PreferencePair, Task
from agora.core.runs import RunDir
from agora.core.tables import write_jsonl
from agora.loop import answers, data, judging, logs, models, pairs, tasks, visitors
from agora.loop.judging import ModelResult
from agora.loop.needs import check_needs
from agora.loop.settings import LoopConfig
from agora.loop.stored import read_stored

MODELS = ("base", "sft", "dpo", "ppo", "chat")


@dataclass(frozen=True, slots=True)
class LoopResult:
    """What one turn of the loop came to."""

    report: Path
    seconds: float
    models: tuple[ModelResult, ...]
    funnel: dict[str, Any]
    differences: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """The object that ``agora loop --json`` prints."""
        return {
            "report": str(self.report),
            "seconds": round(self.seconds, 1),
            "models": [model.as_json() for model in self.models],
            "funnel": self.funnel,
            "differences": list(self.differences),
        }


def close_loop(
    config: LoopConfig, run: RunDir, *, conversations: Path | None = None, format: str = "auto"
) -> LoopResult:
    """Run every stage that is not done yet and write ``report.html``.

    Args:
        config: sizes, engines and settings.
        run: an open run folder.
        conversations: the user's own logs; they are imported, mined for tasks and join the training data. Without them
            the microcosm's visitors talk with the model first, and theirs take that place.
        format: of ``conversations``.

    Raises:
        AgoraError: a stage failed; what was finished stays, and the same command goes on from there.
    """
    from agora.loop.report import write_report

    check_needs(run, config)
    logged = _log(run, config, conversations, format)
    world_tasks = _stage(run, "tasks", Task, lambda: tasks.held_out_tasks(config))
    mined = read_stored(run.file("mined_tasks.jsonl"), Task) if logged else []
    benchmark = judging.choose_benchmark(config, world_tasks, mined)
    samples, funnel = data.training_samples(run, config, reserved=[*benchmark, *mined], logged=logged)
    for_sft, for_pairs = data.split_samples(samples, config)
    models.train_sft(run, config, for_sft)
    sampled = _stage(run, "candidates", Answer, lambda: pairs.sample_candidates(run, config, for_pairs))
    made = _stage(run, "pairs", PreferencePair, lambda: pairs.make_pairs(run, config, for_pairs, sampled))
    models.train_dpo(run, config, made)
    models.train_reward(run, config, made)
    models.train_ppo(run, config, made)
    shown = [*benchmark, *(task for task in mined[:8] if task not in benchmark)]
    for name in MODELS:
        _stage(
            run,
            f"answers_{name}",
            Answer,
            lambda name=name: answers.answer_tasks(run, config, shown, name),  # type: ignore[misc]
        )
    judged = judging.judge_all(run, config, benchmark, MODELS)
    report = write_report(run, config, judged, benchmark=benchmark, mined=mined, samples=samples, funnel=funnel)
    return LoopResult(
        report, sum(run.seconds.values()), judged.models, funnel.summary(), tuple(asdict(d) for d in judged.differences)
    )


def _log(run: RunDir, config: LoopConfig, conversations: Path | None, format: str) -> logs.Logs | None:
    """People's words: the user's file, or what visitors said."""
    if conversations is not None:
        return logs.import_logs(run, conversations, format, config)
    if not visitors.number_of_visitors(config):
        return None
    said = visitors.hold_conversations(run, config)
    # a quarter becomes tasks, which never enter training; the others join it
    most = min(config.mine.max_tasks or 10**9, -(-visitors.number_of_visitors(config) // 4))
    config = config.model_copy(update={"mine": config.mine.model_copy(update={"max_tasks": most})})
    return logs.import_logs(run, said, "agora", config)


def _stage(run: RunDir, name: str, record_type: type[Any], make: Callable[[], list[Any]]) -> list[Any]:
    """Make a file of records once; afterwards read it."""
    path = run.file(f"{name}.jsonl")
    if not run.done(name):
        with run.stage(name):
            write_jsonl(path, make())
    return read_stored(path, record_type)
