"""What a judging came to: each model's figure by each judge with its error, what was not scored, what to beware of."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from agora.core.records import Answer, Verdict
from agora.core.stats import Interval
from agora.rooms.judge.asking.panel import Panel, panel
from agora.rooms.judge.asking.reply_forms import refused_note
from agora.rooms.judge.asking.verdicts import fate
from agora.rooms.judge.scoring.bias import LengthEffect, OrderBias, length_effect, order_bias
from agora.rooms.judge.scoring.metrics import WARN_UNSCORED, WITHHOLD_UNSCORED, constant_answers, is_empty, score_report
from agora.rooms.judge.scoring.reward import reward_report
from agora.rooms.judge.types import Kind, TaskSet

_FAMILIES = ("gpt", "claude", "gemini", "gemma", "llama", "qwen", "mistral", "mixtral", "deepseek", "phi", "olmo", "yi")


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model by one judge.

    Args:
        metric: ``wb_score`` (-80..100) or ``wb_reward_mix`` (-100..100).
        value: None where nothing was scored, or too little (``withheld``).
        n: tasks with a value; ``num_tasks``: of the benchmark.
        fates: items by what became of them.
        rewards: against each baseline.
        checklist: mean share of the checklist met, where it was asked for.
    """

    model: str
    metric: str
    value: float | None
    interval: Interval | None
    n: int
    num_tasks: int
    fates: Mapping[str, int]
    withheld: bool = False
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    checklist: float | None = None

    @property
    def coverage(self) -> float:
        """Share of the benchmark's tasks with a value."""
        return self.n / self.num_tasks if self.num_tasks else 0.0

    def as_json(self) -> dict[str, Any]:
        """The model's entry in ``summary.json``."""
        interval = self.interval
        return {
            "model": self.model,
            "metric": self.metric,
            "value": self.value,
            "ci": [interval.low, interval.high] if interval is not None and self.value is not None else None,
            "n": self.n,
            "num_tasks": self.num_tasks,
            "coverage": self.coverage,
            "withheld": self.withheld,
            "fates": dict(self.fates),
            "rewards": dict(self.rewards),
            "checklist_met": self.checklist,
        }


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """What one judge said."""

    judge: str
    prompt: str
    models: tuple[ModelSummary, ...]
    fates: Mapping[str, int]
    usage: Mapping[str, float]
    notes: tuple[str, ...]
    order: OrderBias | None = None
    length: LengthEffect | None = None

    def as_json(self) -> dict[str, Any]:
        """The judge's entry in ``summary.json``."""
        return {
            "judge": self.judge,
            "prompt": self.prompt,
            "models": [model.as_json() for model in self.models],
            "fates": dict(self.fates),
            "usage": dict(self.usage),
            "order_bias": asdict(self.order) if self.order else None,
            "length_effect": asdict(self.length) if self.length else None,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Judging:
    """What a judging came to."""

    out: Path
    kind: str
    benchmark: Mapping[str, Any]
    judges: tuple[JudgeSummary, ...]
    panel: Panel | None
    seconds: float

    @classmethod
    def of(
        cls,
        out: Path,
        kind: str,
        tasks: TaskSet,
        judges: Sequence[JudgeSummary],
        verdicts: Mapping[str, Sequence[Verdict]],
        seconds: float,
    ) -> Judging:
        """Join the judges' summaries; several judges make a panel."""
        names = sorted({f"{task.benchmark} {task.version}" for task in tasks})
        benchmark = {"name": ", ".join(names), "num_tasks": len(tasks), "sha": tasks.sha}
        together = panel(verdicts) if len(judges) > 1 else None
        return cls(Path(out), kind, benchmark, tuple(judges), together, seconds)

    @property
    def withheld(self) -> bool:
        """True when a figure is withheld because too much was not scored."""
        return any(model.withheld for judge in self.judges for model in judge.models)

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints and ``summary.json`` holds."""
        return {
            "out": str(self.out),
            "kind": self.kind,
            "benchmark": dict(self.benchmark),
            "judges": [judge.as_json() for judge in self.judges],
            "panel": self.panel.as_json() if self.panel else None,
            "seconds": round(self.seconds, 3),
        }


def summarize(
    judge: str,
    by_kind: Mapping[Kind, Sequence[Verdict]],
    tasks: TaskSet,
    kind: Kind,
    *,
    baselines: Sequence[str] = (),
    answers: Iterable[Answer] = (),
    seed: int = 0,
    force: bool = False,
) -> JudgeSummary:
    """One judge's verdicts as figures by model.

    Args:
        by_kind: one verdict an item, those without a value included.
        force: show figures although more than 5 % of the items have no value.
    """
    rows = by_kind[kind]
    by_model: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in rows:
        by_model[verdict.model].append(verdict)
    met = _checklists(by_kind.get("checklist", ()))
    models = [
        _model_summary(model, verdicts, kind, tasks, baselines, met.get(model), seed, force)
        for model, verdicts in by_model.items()
    ]
    usage: Counter[str] = Counter()
    for verdict in (v for verdicts in by_kind.values() for v in verdicts):
        usage.update({key: value for key, value in verdict.usage.items() if value})
    refused = refused_note(judge, (v for verdicts in by_kind.values() for v in verdicts))
    return JudgeSummary(
        judge=judge,
        prompt=rows[0].prompt_name if rows else "",
        models=tuple(models),
        fates=Counter(map(fate, rows)),
        usage=usage,
        notes=(*_notes(judge, models, by_model, answers), *([refused] if refused else [])),
        order=order_bias(rows) if kind == "pair" else None,
        length=length_effect(rows),
    )


def _model_summary(
    model: str,
    rows: Sequence[Verdict],
    kind: Kind,
    tasks: TaskSet,
    baselines: Sequence[str],
    met: float | None,
    seed: int,
    force: bool,
) -> ModelSummary:
    withheld = _withheld(rows) and not force
    rewards: dict[str, float | None] = {}
    interval: Interval | None
    if kind == "score":
        scores = score_report(rows, tasks=tasks, seed=seed)
        metric, value, interval, n = "wb_score", scores.wb_score, scores.interval, scores.n
    else:
        pairs = reward_report(rows, model=model, baselines=baselines, tasks=tasks, seed=seed)
        metric, value, interval = "wb_reward_mix", pairs.mix, pairs.mix_interval
        n = min((one.n for one in pairs.baselines.values() if not one.is_self), default=0)
        rewards = {name: None if withheld else one.reward for name, one in pairs.baselines.items()}
    fates = Counter(map(fate, rows))
    value = None if withheld else value
    return ModelSummary(model, metric, value, interval, n, len(tasks), fates, withheld, rewards, checklist=met)


def _checklists(rows: Iterable[Verdict]) -> dict[str, float]:
    shares: dict[str, list[float]] = defaultdict(list)
    for verdict in rows:
        if verdict.value is not None:
            shares[verdict.model].append(verdict.value)
    return {model: fmean(values) for model, values in shares.items()}


def _unscored(rows: Sequence[Verdict]) -> float:
    return sum(verdict.value is None for verdict in rows) / len(rows) if rows else 0.0


def _withheld(rows: Sequence[Verdict]) -> bool:
    return _unscored(rows) > WITHHOLD_UNSCORED


def _notes(
    judge: str, models: Sequence[ModelSummary], by_model: Mapping[str, Sequence[Verdict]], answers: Iterable[Answer]
) -> Iterator[str]:
    uris = {answer.model: str(answer.params.get("model", answer.model)) for answer in answers}
    for model in models:
        rows = by_model[model.model]
        share = _unscored(rows)
        if share > WARN_UNSCORED:
            bad = ", ".join(f"{n} {name}" for name, n in model.fates.items() if not _has_value(name))
            what = "the figure is withheld (--force shows it)" if model.withheld else "see the verdicts"
            yield f"{model.model} by {judge}: {100 * share:.1f} % of {len(rows):,} items have no value ({bad}); {what}"
        if len({v.task_id for v in rows}) < model.num_tasks:
            yield f"{model.model}: answers to {len({v.task_id for v in rows}):,} of {model.num_tasks:,} tasks: partial"
        hashes = [v.meta["answer"] for v in rows if "answer" in v.meta and not is_empty(v)]
        if constant_answers(hashes, len(rows)):
            yield f"{model.model}: more than half of its answers are the same text, which may speak to the judge"
        if (kinship := related(judge, uris.get(model.model, model.model))) is not None:
            yield f"{model.model}: the judge is {kinship}; judges may prefer their own words"


def _has_value(name: str) -> bool:
    return name == "ok" or name.startswith("skipped")


def related(judge: str, model: str) -> str | None:
    """How a judge and a candidate are kin: ``the candidate itself``, ``of its family``, or None."""
    a, b = _bare(judge), _bare(model)
    if a == b:
        return "the candidate itself"
    words_a, words_b = set(re.split(r"[^a-z]+", a)), set(re.split(r"[^a-z]+", b))
    common = words_a & words_b & set(_FAMILIES)
    return f"of its family ({min(common)})" if common else None


def _bare(name: str) -> str:
    """A model's own name: the last part of a URI, a path or ``vendor/model``."""
    return re.split(r"[#/]|(?<=[a-z]):(?!//)", name.rstrip("/"))[-1].lower()
