"""``agora synthesize compare``: make the data sets, train the student on each, judge all on the same tasks, report.

Every stage leaves a file in the run folder and is not run again; inside a stage finished items are not paid for twice.
All data sets of a seed have the same number of rows, so every training takes the same number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.progress import progress
from agora.core.records import Answer, Sample, Task, Verdict
from agora.core.runs import RunDir
from agora.core.tables import read_json, write_json, write_jsonl
from agora.engines import open_engine
from agora.engines.types import ChatRequest, Sampling
from agora.loop.compare.datasets import data_set
from agora.loop.compare.grid import decoding_grid
from agora.loop.compare.measure import DataFacts, facts_of
from agora.loop.compare.results import Outcome, outcomes
from agora.loop.compare.settings import CompareConfig, slug_of
from agora.loop.settings import CHECKER, LoopConfig
from agora.loop.stored import read_stored
from agora.loop.tasks import held_out_tasks
from agora.rooms.judge import judge_scores, open_judge
from agora.rooms.judge.types import TaskSet
from agora.rooms.synthesize.distances import Distances, nearest_distances
from agora.train import stages

STUDENT = "untrained"
FEWEST_ROWS = 8


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison came to."""

    report: Path
    seconds: float
    outcomes: tuple[Outcome, ...]
    facts: dict[str, list[DataFacts]]  # data set -> one a seed
    grid: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "report": str(self.report),
            "seconds": round(self.seconds, 1),
            "data_sets": [outcome.as_json() for outcome in self.outcomes],
            "facts": {name: [one.as_json() for one in found] for name, found in self.facts.items()},
            "grid": list(self.grid),
        }


def compare_data(config: CompareConfig, run: RunDir) -> Comparison:
    """Run every stage that is not done yet and write ``report.html``.

    Raises:
        DataError: a data set holds too few rows to train on.
        AgoraError: a stage failed; what was finished stays, and the same command goes on from there.
    """
    from agora.loop.compare.report import write_report

    tasks = _tasks(run, config)
    world = config.judge == CHECKER
    # one space for all data sets: what is far in one is far in the others
    distances = nearest_distances([task.messages[-1].content for task in tasks])
    facts: dict[str, list[DataFacts]] = {name: [] for name in config.names}
    verdicts: dict[tuple[str, int], list[Verdict]] = {}
    untrained = _judged(run, config, tasks, config.student, STUDENT, "untrained")
    for seed in config.seeds:
        sets = {name: _usable(data_set(run, config, name, seed, tasks)) for name in config.names}
        rows = min(config.rows, *(len(found) for found in sets.values()))
        if rows < FEWEST_ROWS:
            name = min(sets, key=lambda name: len(sets[name]))
            raise DataError(
                f"the data set {name!r} has only {len(sets[name])} usable rows", hint="raise overdraw or rows"
            )
        for name, found in sets.items():
            facts[name].append(_facts(run, name, seed, found[:rows], world, distances))
            model = _train(run, config, name, seed, found[:rows])
            verdicts[name, seed] = _judged(
                run, config, tasks, f"hf:{model}", f"{name} #{seed}", f"{slug_of(name)}-{seed}"
            )
    grid = decoding_grid(run, config, world=world, distances=distances)
    results = outcomes(config, verdicts, untrained)
    report = write_report(run, config, results, facts, grid, tasks)
    return Comparison(report, sum(run.seconds.values()), tuple(results), facts, tuple(grid))


def _tasks(run: RunDir, config: CompareConfig) -> list[Task]:
    """The tasks that everything is judged on, the same for every seed."""
    if config.tasks_file is not None:
        return list(TaskSet.read(Path(config.tasks_file)).tasks)
    path = run.file("tasks.jsonl")
    if not run.done("tasks"):
        with run.stage("tasks"):
            write_jsonl(path, held_out_tasks(LoopConfig(tasks=config.tasks, seed=0)))
    return read_stored(path, Task)


def _usable(rows: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in rows if sample.kept and sample.answer is not None]


def _facts(
    run: RunDir, name: str, seed: int, rows: Sequence[Sample], world: bool, distances: Distances | None
) -> DataFacts:
    path = run.file(f"facts/seed{seed}/{slug_of(name)}.json")
    stage = f"facts/seed{seed}/{slug_of(name)}"
    if not run.done(stage):
        with run.stage(stage):
            write_json(path, facts_of(rows, world=world, distances=distances).as_json())
    return DataFacts(**read_json(path))


def _train(run: RunDir, config: CompareConfig, name: str, seed: int, rows: Sequence[Sample]) -> Path:
    """Train the student on one data set; the folder of its model."""
    folder = run.path / "models" / f"{slug_of(name)}-{seed}"
    stage = f"train/seed{seed}/{slug_of(name)}"
    if not run.done(stage):
        with run.stage(stage):
            settings = config.sft.model_copy(update={"train": config.sft.train.model_copy(update={"seed": seed})})
            stages.train_sft(config.student, [(sample.id, sample.messages) for sample in rows], folder, settings)
    return folder / "model"


def _judged(
    run: RunDir, config: CompareConfig, tasks: Sequence[Task], uri: str, model: str, slug: str
) -> list[Verdict]:
    """Answer the tasks greedily with one model and judge the answers."""
    path = run.file(f"answers/{slug}.jsonl")
    if not run.done(f"answers/{slug}"):
        with run.stage(f"answers/{slug}"):
            write_jsonl(path, _answers(run, config, tasks, uri, model, slug))
    verdicts = run.file(f"verdicts/{slug}.jsonl")
    if not run.done(f"judge/{slug}"):
        judge = open_judge(config.judge, seed=0, cache=run.file("cache/judge.sqlite"))
        with run.stage(f"judge/{slug}"):
            judge_scores(tasks, read_stored(path, Answer), judge, verdicts, allow_partial=True)
    return read_stored(verdicts, Verdict)


def _answers(
    run: RunDir, config: CompareConfig, tasks: Sequence[Task], uri: str, model: str, slug: str
) -> list[Answer]:
    sampling = Sampling(temperature=0.0, max_tokens=config.max_answer_tokens)
    requests = [ChatRequest(task.id, tuple(m.as_chat() for m in task.messages), sampling) for task in tasks]
    engine = open_engine(uri, cache=run.file(f"cache/{slug}.sqlite"))
    found: dict[str, Answer] = {}
    with progress(len(requests), f"{model} answers", unit="task") as bar:
        for reply in engine.chat(requests):
            bar.advance()
            if reply.finish_reason != "error":
                found[reply.id] = Answer(
                    reply.id,
                    model,
                    reply.text,
                    reply.finish_reason,
                    reply.usage.completion_tokens,
                    {"temperature": 0.0},
                )
    engine.close()
    return [found[task.id] for task in tasks if task.id in found]
