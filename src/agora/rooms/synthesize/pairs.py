"""``agora synthesize pairs``: k sampled answers a prompt, scored, and the best against the worst (Magpie-DPO).

Stages: sample, score, choose. Every candidate and its score stay on file, so that the rules of choosing can change
without paying again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from agora.core.errors import ConfigError, EngineError
from agora.core.progress import progress
from agora.core.records import Message, PreferencePair, Provenance, stable_id
from agora.core.runs import RunDir
from agora.core.tables import write_json, write_jsonl
from agora.engines.several import chat_several, split_request
from agora.engines.types import ChatRequest, Engine, Generation, Sampling
from agora.rooms.synthesize.choose import Candidate, ChoiceRules, choose
from agora.rooms.synthesize.journal import Journal
from agora.rooms.synthesize.threads import Prompt, read_prompts
from agora.rooms.synthesize.types import AnswerDraw

Scorer = Callable[[Sequence[tuple[Message, ...]]], "list[float | None]"]
SAMPLED = Sampling(temperature=0.8, top_p=1.0, max_tokens=4096)
SCORE_BATCH = 256


@dataclass(frozen=True, slots=True)
class ScoreDraw:
    """A candidate's score on disk. ``asked`` names the scorer and the text, so that another's score is never taken."""

    SCHEMA: ClassVar[str] = "score_draw/1"
    id: str
    asked: str
    value: float | None


@dataclass(frozen=True, slots=True)
class PairsReport:
    """What came of the prompts. Shares are of the pairs; lengths in characters."""

    pairs: Path
    test: Path
    dropped: Path
    n_prompts: int
    n_pairs: int
    n_test: int
    reasons: dict[str, int]
    tie_breaks: int
    longer_chosen: float | None
    mean_chosen: float | None
    mean_rejected: float | None
    mean_margin: float | None
    unscored: int
    report: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """One JSON object for ``--json``."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class PairSettings:
    """How pairs are made.

    Args:
        k: answers of each prompt, at least 2; the paper samples 5 at temperature 0.8.
        sampling: of the answers; its seed is that of the run.
        rules: what makes a pair.
        test_share: of prompts set apart, in [0, 1); 0.02 in the paper. Equal prompts fall on the same side.
    """

    k: int = 5
    sampling: Sampling = SAMPLED
    rules: ChoiceRules = field(default_factory=ChoiceRules)
    test_share: float = 0.02

    def __post_init__(self) -> None:
        if self.k < 2:
            raise ConfigError(f"k must be at least 2, got {self.k}")
        if self.sampling.temperature <= 0:
            raise ConfigError("temperature must be above 0 to sample answers", hint="the paper takes 0.8")
        if not 0 <= self.test_share < 1:
            raise ConfigError(f"test_share must be in [0, 1), got {self.test_share}")


def pairs_into(
    out: Path,
    source: Path,
    model: str,
    scorer: Callable[[], Scorer],
    *,
    scorer_name: str,
    settings: PairSettings = PairSettings(),
    limit: int | None = None,
    engine: Engine | None = None,
    command: str = "agora synthesize pairs",
) -> PairsReport:
    """Make preference pairs from the prompts of a file.

    Args:
        out: run folder, made or resumed.
        source: samples (kept ones), prompt items, or conversations in any known format; the prompt is everything up to
            the last user turn.
        model: engine URI that answers.
        scorer: opens what scores whole conversations, higher is better; called when there is something to score.
        scorer_name: of the scorer, for the records.
        settings: how many answers, and what makes a pair.
        limit: prompts to take at most.
        engine: an open engine in place of ``model``.
        command: as a user would type it, for the record and the page.

    Raises:
        ConfigError: the folder holds another run.
        EngineError: the engine answers nothing.
    """
    from agora.rooms.synthesize.pairs_report import write_pairs_report

    config = {"model": model, "scorer": scorer_name, "limit": limit, **asdict(settings)}
    with RunDir.open(
        out, command=command, config=config, seed=settings.sampling.seed, inputs={"prompts": source}
    ) as run:
        prompts = read_prompts(source, run.file("rejects.jsonl"), limit=limit)
        with Journal(run.file("candidates.jsonl"), AnswerDraw) as answers:
            _sample(run, prompts, model, engine, settings, answers)
            with Journal(run.file("scores.jsonl"), ScoreDraw) as scores:
                _score(run, prompts, answers, scores, scorer, scorer_name, settings)
                report = _choose(run, prompts, answers, scores, scorer_name, model, settings)
        return replace(report, report=write_pairs_report(run, report))


def _key(prompt: Prompt, index: int) -> str:
    return f"{prompt.id}#{index}"


def _request(prompt: Prompt, sampling: Sampling) -> ChatRequest:
    own = replace(sampling, seed=int(stable_id("pairs", sampling.seed, prompt.id), 16) >> 33)
    return ChatRequest(prompt.id, tuple(m.as_chat() for m in prompt.messages), own)


def _sample(
    run: RunDir,
    prompts: Sequence[Prompt],
    model: str,
    engine: Engine | None,
    settings: PairSettings,
    journal: Journal[AnswerDraw],
) -> None:
    """Ask for every candidate that is not on file; of a prompt all at once, or the missing ones singly."""
    if run.done("sample"):
        return
    from agora.engines import open_engine

    k = settings.k
    missing = [(p, [i for i in range(k) if _key(p, i) not in journal]) for p in prompts]
    whole = [_request(p, settings.sampling) for p, lost in missing if len(lost) == k]
    single = [
        split_request(_request(p, settings.sampling), k)[i] for p, lost in missing if 0 < len(lost) < k for i in lost
    ]
    asked = {p.id: stable_id(p.as_chat(), asdict(_request(p, settings.sampling).sampling)) for p in prompts}
    opened = engine or open_engine(model)
    failed, done = "", sum(k - len(lost) for _, lost in missing)
    try:
        with run.stage("sample"), progress(k * len(prompts), "sample", "answers") as bar:
            bar.advance(done)
            for generation in _both(opened, whole, single, k):
                if generation.finish_reason == "error":
                    failed = generation.error or "unknown error"
                elif generation.id not in journal:
                    done += 1
                    journal.add(AnswerDraw.of(generation, asked[generation.id.rpartition("#")[0]]))
                bar.advance()
            if failed and not done:
                raise EngineError(f"every request failed: {failed}", where=opened.uri)
    finally:
        if engine is None:
            opened.close()


def _both(engine: Engine, whole: Sequence[ChatRequest], single: Sequence[ChatRequest], k: int) -> Iterator[Generation]:
    if whole:
        yield from chat_several(engine, iter(whole), k)
    if single:
        yield from engine.chat(iter(single))


def _score(
    run: RunDir,
    prompts: Sequence[Prompt],
    answers: Journal[AnswerDraw],
    scores: Journal[ScoreDraw],
    scorer: Callable[[], Scorer],
    name: str,
    settings: PairSettings,
) -> None:
    """Score the candidates that may take part and have no score on file, in batches."""
    if run.done("score"):
        return
    from agora.rooms.synthesize.choose import unusable

    opened: Scorer | None = None
    with run.stage("score"), progress(len(prompts) * settings.k, "score", "answers") as bar:
        batch: list[tuple[str, str, tuple[Message, ...]]] = []

        def flush() -> None:
            nonlocal opened
            if batch:
                opened = opened or scorer()
                values = _checked(opened([talk for _, _, talk in batch]), len(batch), name)
                for (id, asked, _), value in zip(batch, values, strict=True):
                    scores.add(ScoreDraw(id, asked, value))
                batch.clear()

        for prompt in prompts:
            for index in range(settings.k):
                bar.advance()
                id = _key(prompt, index)
                if id in scores or id not in answers:
                    continue
                draw = answers.read(id)
                if unusable(_candidate(draw, None), settings.rules) is None:
                    batch.append((id, stable_id(name, draw.text), _conversation(prompt, draw.text)))
            if len(batch) >= SCORE_BATCH:
                flush()
        flush()


def _checked(values: Sequence[float | None], n: int, name: str) -> list[float | None]:
    """One value a conversation; what is no number is no score."""
    if len(values) != n:
        raise EngineError(f"the scorer gave {len(values)} scores for {n} answers", where=name)
    return [None if value is None or not math.isfinite(value) else float(value) for value in values]


def _conversation(prompt: Prompt, answer: str) -> tuple[Message, ...]:
    last = prompt.messages[-1]
    return (*prompt.messages, Message("assistant", answer, id=str(len(prompt.messages)), parent=last.id))


def _candidate(draw: AnswerDraw, score: float | None) -> Candidate:
    return Candidate(draw.text, score, draw.finish_reason, draw.completion_tokens)


def _choose(
    run: RunDir,
    prompts: Sequence[Prompt],
    answers: Journal[AnswerDraw],
    scores: Journal[ScoreDraw],
    scorer: str,
    model: str,
    settings: PairSettings,
) -> PairsReport:
    reasons: Counter[str] = Counter()
    train: list[PreferencePair] = []
    test: list[PreferencePair] = []
    dropped: list[dict[str, Any]] = []
    unscored = 0
    for prompt in prompts:
        candidates = list(_candidates(prompt, answers, scores, settings))
        unscored += sum(c.score is None for c in candidates)
        found = choose(prompt.id, candidates, settings.rules)
        if isinstance(found, str):
            reasons[found] += 1
            row = {"id": prompt.id, "prompt": prompt.as_chat(), "reason": found}
            dropped.append({**row, "candidates": [asdict(c) for c in candidates]})
            continue
        pair = _pair(prompt, candidates, found.chosen, found.rejected, found.tie_break, scorer, model)
        (test if is_test(prompt, settings) else train).append(pair)
    files = {"pairs": "pairs.jsonl", "test": "pairs_test.jsonl", "dropped": "dropped.jsonl"}
    paths = {key: run.file(name) for key, name in files.items()}
    write_jsonl(paths["pairs"], train)
    write_jsonl(paths["test"], test)
    write_jsonl(paths["dropped"], dropped)
    report = _report(paths, prompts, train, test, reasons, unscored)
    write_json(run.file("pairs.json"), report.as_json())
    return report


def _candidates(
    prompt: Prompt, answers: Journal[AnswerDraw], scores: Journal[ScoreDraw], settings: PairSettings
) -> Iterator[Candidate]:
    for index in range(settings.k):
        id = _key(prompt, index)
        if id not in answers:
            yield Candidate("", None, "error")
            continue
        yield _candidate(answers.read(id), scores.read(id).value if id in scores else None)


def is_test(prompt: Prompt, settings: PairSettings) -> bool:
    """Whether a prompt is set apart; by its words, so that a repeated prompt never stands on both sides."""
    digest = int(stable_id("pairs test", settings.sampling.seed, prompt.as_chat()), 16)
    return digest < settings.test_share * 2**64


def _pair(
    prompt: Prompt,
    candidates: Sequence[Candidate],
    chosen: int,
    rejected: int,
    tie_break: bool,
    scorer: str,
    model: str,
) -> PreferencePair:
    last = prompt.messages[-1]
    sides = [
        Message("assistant", candidates[i].text, id=str(len(prompt.messages)), parent=last.id)
        for i in (chosen, rejected)
    ]
    high, low = candidates[chosen].score, candidates[rejected].score
    assert high is not None and low is not None
    return PreferencePair(
        id=stable_id("pair", prompt.id),
        prompt=prompt.messages,
        chosen=(sides[0],),
        rejected=(sides[1],),
        chosen_score=high,
        rejected_score=low,
        margin=high - low,
        annotator=scorer,
        label_kind="rule" if scorer.startswith(("microcosm:", "length:")) else "ai",
        provenance=Provenance("agora synthesize pairs", prompt.id, consent="synthetic"),
        meta={
            "k": len(candidates),
            "model": model,
            "tie_break": tie_break,
            "chosen_index": chosen,
            "rejected_index": rejected,
            "candidates": [asdict(candidate) for candidate in candidates],
        },
    )


def _report(
    paths: dict[str, Path],
    prompts: Sequence[Prompt],
    train: Sequence[PreferencePair],
    test: Sequence[PreferencePair],
    reasons: Counter[str],
    unscored: int,
) -> PairsReport:
    every = [*train, *test]
    lengths = [(len(p.chosen[0].content), len(p.rejected[0].content)) for p in every]
    return PairsReport(
        pairs=paths["pairs"],
        test=paths["test"],
        dropped=paths["dropped"],
        n_prompts=len(prompts),
        n_pairs=len(train),
        n_test=len(test),
        reasons=dict(reasons.most_common()),
        tie_breaks=sum(bool(p.meta["tie_break"]) for p in every),
        longer_chosen=longer_share(lengths),
        mean_chosen=_mean([a for a, _ in lengths]),
        mean_rejected=_mean([b for _, b in lengths]),
        mean_margin=_mean([p.margin or 0.0 for p in every]),
        unscored=unscored,
    )


def longer_share(lengths: Iterable[tuple[int, int]]) -> float | None:
    """Share of pairs whose chosen side is longer; equal lengths count half. None for no pair."""
    signs = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in lengths]
    return _mean(signs)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
