"""Doing one stage: read what its parents left, make its files, and say what it took."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from agora.core.config import build_config
from agora.core.files import sha256_path
from agora.core.records import JsonMap
from agora.core.tables import read_json, write_json
from agora.rooms.preferences.scorers import Scorer
from agora.rooms.preferences.study.memory import peak_bytes, reset_peak
from agora.rooms.preferences.study.stage import StageArtifact
from agora.rooms.preferences.study.store import StageStore, list_files
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings

if TYPE_CHECKING:
    from agora.rooms.preferences.study.blocks import EvaluateBlock
    from agora.rooms.preferences.suite.protocol import Test
    from agora.train.stages import StageResult

ROWS = "rows.jsonl"
MODEL = "model"
_GIVEN = "given.json"
_PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True, slots=True)
class Job:
    """A stage that is to be done now; everything in it can be sent to another process."""

    kind: str
    label: str
    config: JsonMap
    folder: Path
    parents: dict[str, Path]  # role -> folder
    mark: str  # the fingerprint
    parent_marks: dict[str, JsonMap]
    inputs: dict[str, str]
    code: str

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage tells beside its files."""

    metrics: JsonMap = field(default_factory=dict)
    tokens: int | None = None


class Workshop:
    """How each kind of stage is done. Other worlds override single methods.

    Args:
        threads: of torch; None leaves it as it is.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self.threads = threads

    def perform(self, root: Path, job: Job) -> StageArtifact:
        """Do a stage in its folder and write its record.

        Args:
            root: of the store that the folder belongs to.
        """
        started, started_cpu = time.perf_counter(), time.process_time()
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        reset_peak()
        with _quiet():
            outcome = self.method(job.kind)(job)
        artifact = StageArtifact(
            kind=job.kind,
            label=job.label,
            fingerprint=job.mark,
            made=uuid4().hex[:16],
            config=job.config,
            parents=job.parent_marks,
            inputs=job.inputs,
            code=job.code,
            files=list_files(job.folder),
            metrics=outcome.metrics,
            seconds=round(time.perf_counter() - started, 3),
            cpu_seconds=round(time.process_time() - started_cpu, 3),
            tokens=outcome.tokens,
            peak_bytes=peak_bytes(),
            versions=_versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        StageStore(root).finish(job.folder, artifact)
        return artifact

    def method(self, kind: str) -> Callable[[Job], Outcome]:
        """What does a kind of stage."""
        from agora.rooms.preferences.study import measuring, rows

        methods: dict[str, Callable[[Job], Outcome]] = {
            "given": given,
            "sft": sft,
            "reward": reward,
            "dpo": dpo,
            "online": online,
            "backbone": rows.backbone,
            "demonstrations": rows.demonstrations,
            "answers": measuring.answers,
            "pairs": lambda job: rows.pairs(job, self.tests),
            "selected": rows.selected,
            "prompts": lambda job: rows.prompts(job, self.tests),
            "samples": lambda job: measuring.samples(job, self.truth),
            "scores": measuring.scores,
            "evaluate": lambda job: measuring.evaluate(job, self.tests),
        }
        return methods[kind]

    def tests(self, block: EvaluateBlock) -> Sequence[Test]:
        """The tests that a study's models take; those of a suite that cannot be taken here are left out."""
        from agora.engines import open_engine
        from agora.rooms.preferences.suite import SuiteSettings, choose_tests
        from agora.rooms.preferences.suite.judges import CHECKER

        judge = open_engine(block.judge) if block.judge and block.judge != CHECKER else block.judge
        data = Path(block.data) if block.data else None
        return choose_tests(block.tests, SuiteSettings(data, judge, block.allow_code)).tests

    def truth(self, uri: str) -> Scorer:
        """What knows how good an answer is."""
        from agora.rooms.preferences.scorers import open_scorer

        return open_scorer(uri)


def sft(job: Job) -> Outcome:
    """Fine-tune the given model."""
    from agora.rooms.preferences.stages import train_sft

    settings = build_config(SftSettings, job.config["settings"])
    return _trained(train_sft(model_of(job, "model"), job.parents["data"] / ROWS, job.folder, settings))


def reward(job: Job) -> Outcome:
    """Train a reward model on the pairs."""
    from agora.rooms.preferences.stages import train_reward

    settings = build_config(RewardSettings, job.config["settings"])
    return _trained(train_reward(model_of(job, "model"), job.parents["data"] / ROWS, job.folder, settings))


def dpo(job: Job) -> Outcome:
    """Train the start model on the pairs."""
    from agora.rooms.preferences.stages import train_dpo

    settings = build_config(DpoSettings, job.config["settings"])
    return _trained(train_dpo(model_of(job, "model"), job.parents["data"] / ROWS, job.folder, settings))


def online(job: Job) -> Outcome:
    """Train the start model on its own samples; the value model starts from the reward model, as in the paper."""
    from agora.rooms.preferences.stages import RewardTerm, train_ppo

    settings = build_config(PpoSettings, job.config["settings"])
    reward_model = model_of(job, "reward")
    uris = {"model": f"reward:{reward_model}", "length": "length:", "checker": "microcosm:checker"}
    terms = [RewardTerm(uris[name], weight) for name, weight in job.config["rewards"].items() if weight]
    prompts = job.parents["prompts"] / ROWS
    result = train_ppo(model_of(job, "model"), prompts, terms, job.folder, settings, value_start=reward_model)
    return _trained(result)


@contextmanager
def _quiet() -> Iterator[None]:
    """The study has a bar of its own; a stage's bars are shown inside it on a terminal, and nowhere else."""
    before = os.environ.get("AGORA_PROGRESS")
    if not sys.stderr.isatty() or multiprocessing.parent_process() is not None:
        os.environ["AGORA_PROGRESS"] = "0"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("AGORA_PROGRESS", None)
        else:
            os.environ["AGORA_PROGRESS"] = before


def model_of(job: Job, role: str) -> str:
    """The model folder (or hub name) that a parent stands for."""
    return model_in(job.parents[role])


def model_in(folder: Path) -> str:
    """The model folder (or hub name) of a finished stage."""
    if (folder / MODEL).is_dir():
        return str(folder / MODEL)
    from agora.train.models import model_path

    return model_path(read_json(folder / _GIVEN)["model"])


def given(job: Job) -> Outcome:
    """A model that is there already: remember its name; its content is part of the fingerprint."""
    write_json(job.folder / _GIVEN, {"model": job.config["model"]})
    return Outcome({"model": job.config["model"]})


def given_digest(uri: str) -> str:
    """What a given model is: the digest of its folder, or its name on the hub."""
    from agora.train.models import model_path

    path = model_path(uri)
    return sha256_path(Path(path)) if Path(path).is_dir() else f"name:{path}"


def _trained(result: StageResult) -> Outcome:
    facts: JsonMap = {
        "steps": result.steps,
        "rows": result.rows,
        "dropped": result.dropped,
        "notes": list(result.notes),
    }
    return Outcome({**facts, **result.metrics}, result.tokens)


def _versions() -> JsonMap:
    from importlib.metadata import version

    import agora

    return {"agora": agora.__version__, **{name: version(name) for name in _PACKAGES}}
