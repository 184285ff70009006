"""A reward evaluation from a file of pairs to a folder with scores and a report.

Scores grow line by line in ``scores.jsonl``, so a killed evaluation goes on where it stopped and a finished one is
reported again without loading the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from agora.core.config import Config
from agora.core.errors import DataError
from agora.core.jsonl import JsonlWriter, Rejects
from agora.core.progress import progress
from agora.core.records import Measure, PreferencePair
from agora.core.runs import RunDir
from agora.core.tables import read_records, write_json, write_jsonl
from agora.rooms.preferences.pair_accuracy import Ties
from agora.rooms.preferences.pair_scores import ScoredPair, score_pairs
from agora.rooms.preferences.reward_eval import RewardEvaluation, evaluate_rewards
from agora.rooms.preferences.scorers import Scorer, ScorerUri, open_scorer, parse_scorer

SCORES = "scores.jsonl"


class RewardEvalSettings(Config):
    """How pairs are scored and counted."""

    ties: Ties = Field("wrong", description="equal rewards count as wrong, half right (half) or not at all (drop)")
    beta: float = Field(0.1, gt=0, description="scale of an implicit reward, for its calibration")
    max_tokens: int | None = Field(None, ge=1, description="longer conversations get no score; RewardBench takes 2048")
    token_budget: int = Field(16384, ge=16, description="padded tokens of one batch")
    batch_pairs: int = Field(128, ge=1, description="pairs scored, and stored, at a time")
    device: str | None = Field(None, description="torch device; a GPU if there is one")
    limit: int | None = Field(None, ge=1, description="rows read at most")
    bins: int = Field(10, ge=1, description="of the reliability table")
    errors: int = Field(8, ge=0, description="confident errors shown in the report")
    full_text: bool = Field(False, description="show whole texts in the report; public sets hold offensive ones")
    seed: int = Field(0, description="of the bootstraps")
    n_boot: int = Field(2000, ge=100)


@dataclass(frozen=True, slots=True)
class RewardEvalRun:
    """An evaluation and where it lies.

    Attributes:
        scorer: what was evaluated.
        data: the file of pairs.
        evaluation: the statistics.
        rejected: rows that gave no pair, by reason.
        report, scores: files; None without a folder.
    """

    scorer: ScorerUri
    data: Path
    evaluation: RewardEvaluation
    rejected: dict[str, int] = field(default_factory=dict)
    report: Path | None = None
    scores: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``agora preferences reward-eval --json`` prints."""
        return {
            "model": self.scorer.uri,
            "data": str(self.data),
            "rejected": self.rejected,
            "report": str(self.report) if self.report else None,
            "scores": str(self.scores) if self.scores else None,
            **self.evaluation.as_json(),
        }


def evaluate_reward_file(
    model: str,
    data: Path,
    settings: RewardEvalSettings | None = None,
    *,
    format: str = "auto",
    out: Path | None = None,
    command: str = "agora preferences reward-eval",
) -> RewardEvalRun:
    """Score a file of preference pairs and count.

    Args:
        model: a scorer's URI, see :func:`agora.rooms.preferences.scorers.open_scorer`.
        data: pairs in any format of ``agora preferences data``.
        settings: the defaults when None.
        format: of the file.
        out: folder for ``scores.jsonl``, ``rejects.jsonl``, ``evaluation.json``, ``measures.jsonl`` and
            ``report.html``; the same folder goes on. Nothing is written when None.
        command: for the record of the run.

    Raises:
        UsageError: the URI names no scorer, or the format is unknown.
        MissingError: the file or the model is not there.
        DataError: no pair could be read or scored.
    """
    chosen, scorer, data = settings or RewardEvalSettings(), parse_scorer(model), Path(data)
    if out is None:
        pairs, rejected = _read(data, format, chosen, None)
        scored = list(
            _progressing(score_pairs(pairs, _open(scorer, chosen), batch_pairs=chosen.batch_pairs), len(pairs))
        )
        return RewardEvalRun(scorer, data, _evaluate(scored, scorer, chosen), rejected)
    # what decides the scores: with them stored, ties, bins and the like may change without scoring again
    config = {"model": model, "format": format, **chosen.model_dump(include={"beta", "max_tokens", "limit"})}
    inputs = scorer.folders | ({"data": data} if data.exists() else {})  # a name on a hub has no file to hash
    with RunDir.open(out, command=command, config=config, seed=chosen.seed, inputs=inputs) as run:
        pairs, rejected = _read(data, format, chosen, run.file("rejects.jsonl"))
        scored = _scored_in(run, pairs, scorer, chosen)
        evaluation = _evaluate(scored, scorer, chosen)
        report, scores = run.file("report.html"), run.file(SCORES)
        done = RewardEvalRun(scorer, data, evaluation, rejected, report=report, scores=scores)
        _write(run, pairs, scored, done, chosen, command)
        return done


def _write(
    run: RunDir,
    pairs: list[PreferencePair],
    scored: list[ScoredPair],
    done: RewardEvalRun,
    settings: RewardEvalSettings,
    command: str,
) -> None:
    from agora.rooms.preferences.reward_page import write_reward_page

    write_json(run.file("evaluation.json"), done.as_json())
    write_jsonl(run.file("measures.jsonl"), _measures(done))
    run.metric("pairwise_accuracy", done.evaluation.overall.accuracy.estimate, model=done.scorer.uri)
    write_reward_page(run, pairs, scored, done, command=command, errors=settings.errors, full_text=settings.full_text)


def _read(
    data: Path, format: str, settings: RewardEvalSettings, rejects_file: Path | None
) -> tuple[list[PreferencePair], dict[str, int]]:
    from agora.curate.pairs import read_pairs

    with Rejects(rejects_file) as rejects:
        pairs = list(read_pairs(data, format=format, rejects=rejects, limit=settings.limit))
        return pairs, dict(rejects.by_reason.most_common())


def _open(scorer: ScorerUri, settings: RewardEvalSettings) -> Scorer:
    return open_scorer(
        scorer.uri,
        beta=settings.beta,
        max_tokens=settings.max_tokens,
        token_budget=settings.token_budget,
        device=settings.device,
    )


def _evaluate(scored: list[ScoredPair], scorer: ScorerUri, settings: RewardEvalSettings) -> RewardEvaluation:
    return evaluate_rewards(
        scored,
        ties=settings.ties,
        log_odds=scorer.log_odds,
        num_bins=settings.bins,
        seed=settings.seed,
        n_boot=settings.n_boot,
    )


def _scored_in(
    run: RunDir, pairs: list[PreferencePair], scorer: ScorerUri, settings: RewardEvalSettings
) -> list[ScoredPair]:
    """Scores of all pairs; those that the folder holds already are not computed again."""
    path = run.file(SCORES)
    with closing(JsonlWriter(path)) as writer:  # opening it first mends what a killed process left
        stored = list(read_records(path, ScoredPair)) if path.stat().st_size else []
        if [row.id for row in stored] != [pair.id for pair in pairs[: len(stored)]]:
            raise DataError("these scores are of other pairs", where=str(path), hint="choose another --out")
        if len(stored) < len(pairs):
            with run.stage("score"):
                rest = score_pairs(pairs[len(stored) :], _open(scorer, settings), batch_pairs=settings.batch_pairs)
                for row in _progressing(rest, len(pairs) - len(stored)):
                    writer.write(row)
                    stored.append(row)
    return stored


def _progressing(rows: Iterable[ScoredPair], total: int) -> Iterator[ScoredPair]:
    with progress(total, "scoring", unit="pair") as bar:
        for row in rows:
            bar.advance()
            yield row


def _measures(done: RewardEvalRun) -> Iterator[Measure]:
    evaluation = done.evaluation
    named = {"pairwise_accuracy": evaluation.overall.accuracy, "longer_wins": evaluation.overall.longer}
    named["accuracy_over_longer"] = evaluation.overall.over_longer
    if evaluation.calibration:
        named["brier"] = evaluation.calibration.brier
    labels = {"data": str(done.data), "ties": evaluation.ties}
    for name, x in named.items():
        yield Measure(name, x.estimate, x.n, x.low, x.high, x.level, x.method, subject=done.scorer.uri, meta=labels)
