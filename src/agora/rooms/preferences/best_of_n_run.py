"""Best-of-N from a file of prompts: sample N answers each, score them, and draw the curve.

This is the cheap test of a reward model before anyone pays for PPO: if choosing by it does not raise the true score,
training on it will not either (arXiv:2406.09279, table 3, where RewardBench and best-of-N order reward models apart).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from agora.core.config import Config
from agora.core.errors import AgoraError
from agora.core.jsonl import Rejects
from agora.core.progress import progress
from agora.core.records import Measure, Message, stable_id
from agora.core.runs import RunDir
from agora.core.tables import read_records, write_json, write_jsonl
from agora.engines.registry import open_engine
from agora.engines.types import ChatRequest, Engine, Sampling
from agora.rooms.preferences.best_of_n import BestOfN, best_of_n
from agora.rooms.preferences.inputs import read_prompts
from agora.rooms.preferences.pair_scores import scores_and_errors
from agora.rooms.preferences.scorers import Conversation, Scorer, open_scorer, parse_scorer

_BATCH = 256
Prompts = Sequence[tuple[str, tuple[Message, ...]]]


class BestOfNSettings(Config):
    """How answers are sampled and counted."""

    n: int = Field(16, ge=1, description="answers sampled a prompt; the curve runs 1, 2, 4, ... n")
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(512, ge=1, description="of an answer")
    limit: int | None = Field(None, ge=1, description="prompts used at most, in the file's order")
    seed: int = 0
    n_boot: int = Field(2000, ge=100)


@dataclass(frozen=True, slots=True)
class ChosenFrom:
    """One sampled answer with both scores; ``text`` is None where the engine gave none."""

    SCHEMA: ClassVar[str] = "best_of_n_sample/1"
    prompt_id: str
    sample_no: int
    prompt: tuple[Message, ...]
    text: str | None
    finish_reason: str
    reward: float | None = None
    true: float | None = None

    @property
    def conversation(self) -> Conversation:
        """Prompt and answer."""
        return (*self.prompt, Message("assistant", self.text or ""))


@dataclass(frozen=True, slots=True)
class BestOfNRun:
    """A curve, the answers behind it, and where it lies (None without a folder)."""

    curve: BestOfN
    samples: tuple[ChosenFrom, ...]
    report: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``agora preferences best-of-n --json`` prints."""
        return {"report": str(self.report) if self.report else None, **self.curve.as_json()}


def evaluate_best_of_n(
    model: str,
    reward: str,
    truth: str,
    prompts: Path,
    settings: BestOfNSettings | None = None,
    *,
    out: Path | None = None,
    command: str = "agora preferences best-of-n",
) -> BestOfNRun:
    """Sample, score and count.

    Args:
        model: engine URI of the model that answers.
        reward, truth: scorers' URIs; the first chooses, the second says what the chosen answer is worth.
        prompts: prompt items, tasks, samples, pairs or conversations.
        settings: the defaults when None.
        out: folder for ``samples.jsonl``, ``curve.json``, ``measures.jsonl`` and ``report.html``; answers are kept as
            they come, so the same folder goes on. Nothing is written when None.
        command: for the record of the run.

    Raises:
        UsageError: a URI is wrong.
        MissingError: a model or the file is not there.
        DataError: no prompt, or no prompt whose samples all have both scores.
    """
    from agora.rooms.preferences.best_of_n_page import write_best_of_n_page

    chosen = settings or BestOfNSettings()
    for uri in (reward, truth):
        parse_scorer(uri)  # before an hour of sampling
    rows = read_prompts(Path(prompts), rejects=Rejects())[: chosen.limit]
    if out is None:
        return _curve(_scored(_sampled(open_engine(model), rows, chosen), reward, truth), chosen)
    config = {"model": model, "reward": reward, "truth": truth, **chosen.model_dump(mode="json")}
    inputs = {"prompts": Path(prompts), **_folders("reward", reward), **_folders("truth", truth)}
    with RunDir.open(out, command=command, config=config, seed=chosen.seed, inputs=inputs) as run:
        done = _curve(_scored_in(run, model, rows, (reward, truth), chosen), chosen, run.file("report.html"))
        write_json(run.file("curve.json"), done.as_json())
        write_jsonl(run.file("measures.jsonl"), _measures(done, model, reward))
        write_best_of_n_page(run, done, command=command)
        return done


def _scored_in(
    run: RunDir, model: str, rows: Prompts, scorers: tuple[str, str], settings: BestOfNSettings
) -> list[ChosenFrom]:
    """Scored samples; a finished folder has them."""
    path = run.file("samples.jsonl")
    if run.done("score"):
        return list(read_records(path, ChosenFrom))
    with run.stage("sample"):
        drawn = _sampled(open_engine(model, cache=run.file("cache/answers.sqlite")), rows, settings)
    with run.stage("score"):
        scored = _scored(drawn, *scorers)
        write_jsonl(path, scored)
    return scored


def _folders(role: str, uri: str) -> dict[str, Path]:
    return {f"{role} {name}": folder for name, folder in parse_scorer(uri).folders.items()}


def _sampled(engine: Engine, prompts: Prompts, settings: BestOfNSettings) -> list[ChosenFrom]:
    """`n` answers a prompt, each with its own seed, in the order of the prompts."""
    requests = [
        ChatRequest(
            f"{id_}#{i}",
            tuple(m.as_chat() for m in prompt),
            Sampling(
                temperature=settings.temperature,
                top_p=settings.top_p,
                max_tokens=settings.max_tokens,
                seed=int(stable_id("best-of-n", settings.seed, id_, i), 16) % 2**31,
            ),
        )
        for id_, prompt in prompts
        for i in range(settings.n)
    ]
    found, failed = {}, ""
    with progress(len(requests), "sampling", unit="answer") as bar:
        for reply in engine.chat(requests):
            bar.advance()
            failed = reply.error or failed
            found[reply.id] = (None if reply.finish_reason == "error" else reply.text, str(reply.finish_reason))
    engine.close()
    if requests and all(text is None for text, _ in found.values()):
        raise AgoraError(f"the model gave no answer: {failed or 'nothing came back'}", where=engine.uri)
    return [
        ChosenFrom(id_, i, prompt, *found.get(f"{id_}#{i}", (None, "error")))
        for id_, prompt in prompts
        for i in range(settings.n)
    ]


def _scored(drawn: Sequence[ChosenFrom], reward: str, truth: str) -> list[ChosenFrom]:
    rewards, true = (
        _scores(open_scorer(uri), drawn, name) for uri, name in ((reward, "reward"), (truth, "true score"))
    )
    return [
        ChosenFrom(s.prompt_id, s.sample_no, s.prompt, s.text, s.finish_reason, r, t)
        for s, r, t in zip(drawn, rewards, true, strict=True)
    ]


def _scores(scorer: Scorer, drawn: Sequence[ChosenFrom], name: str) -> list[float | None]:
    found: list[float | None] = [None] * len(drawn)
    answered = [i for i, sample in enumerate(drawn) if sample.text is not None]
    with progress(len(answered), f"scoring ({name})", unit="answer") as bar:
        for start in range(0, len(answered), _BATCH):
            places = answered[start : start + _BATCH]
            values, _ = scores_and_errors(scorer, [drawn[i].conversation for i in places])
            for i, value in zip(places, values, strict=True):
                found[i] = value
            bar.advance(len(places))
    return found


def _curve(samples: Sequence[ChosenFrom], settings: BestOfNSettings, report: Path | None = None) -> BestOfNRun:
    tables = (
        [[getattr(s, name) for s in samples[at : at + settings.n]] for at in range(0, len(samples), settings.n)]
        for name in ("reward", "true")
    )
    curve = best_of_n(*tables, seed=settings.seed, n_boot=settings.n_boot)
    return BestOfNRun(curve, tuple(samples), report)


def _measures(done: BestOfNRun, model: str, reward: str) -> list[Measure]:
    return [
        Measure(
            f"best_of_{point.n}_{name}", x.estimate, x.n, x.low, x.high, x.level, x.method, subject=model,
            meta={"reward": reward},
        )
        for point in done.curve.points
        for name, x in (("true", point.true), ("gain", point.gain))
    ]  # fmt: skip
