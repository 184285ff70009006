"""Stages that look at a model: sampled answers with their KL, the rewards of answers, and the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.records import PromptItem
from agora.core.tables import read_records, write_jsonl
from agora.rooms.preferences.study.blocks import EvaluateBlock, MicrocosmPairs
from agora.rooms.preferences.study.microcosm_data import SampledAnswer, pair_prompts
from agora.rooms.preferences.study.work import ROWS, Job, Outcome, model_of

if TYPE_CHECKING:
    from agora.rooms.preferences.scorers import Scorer
    from agora.rooms.preferences.suite.protocol import Test

_SEED = 1234  # of measured samples: the same for every model, so that their differences are paired
_MAX_PROMPT_TOKENS = 100_000


def answers(job: Job) -> Outcome:
    """Samples of the start model that pairs are made of."""
    block = MicrocosmPairs(kind="microcosm", **job.config)
    found = _sample(
        model_of(job, "model"),
        pair_prompts(block),
        each=block.samples,
        temperature=block.temperature,
        max_tokens=_answer_limit(),
        seed=block.seed,
    )
    write_jsonl(job.folder / ROWS, found)
    return Outcome({"rows": len(found), **_facts(found)}, sum(answer.n_tokens for answer in found))


def samples(job: Job, open_truth: Callable[[str], Scorer]) -> Outcome:
    """Samples at temperature 1 on held-out prompts, with their log-probabilities under the policy and the reference."""
    prompts = list(read_records(job.parents["prompts"] / ROWS, PromptItem))[: job.config["rows"]]
    policy, reference = model_of(job, "model"), model_of(job, "reference")
    found = _sample(
        policy,
        prompts,
        each=job.config["each"],
        temperature=1.0,
        max_tokens=job.config["max_tokens"],
        seed=_SEED,
        reference=reference,
    )
    if job.config["truth"]:
        truth = open_truth(job.config["truth"])([answer.conversation for answer in found])
        found = [replace(answer, truth=value) for answer, value in zip(found, truth, strict=True)]
    write_jsonl(job.folder / ROWS, found)
    return Outcome({"rows": len(found), **_facts(found)}, sum(answer.n_tokens for answer in found))


def scores(job: Job) -> Outcome:
    """The reward that training maximizes, on sampled answers: its parts and their weighted sum."""
    found = list(read_records(job.parents["samples"] / ROWS, SampledAnswer))
    weights = job.config["rewards"]
    by_model = _model_rewards(model_of(job, "reward"), found)
    rows = []
    for answer, reward in zip(found, by_model, strict=True):
        parts: dict[str, float | None] = {
            "model": reward,
            "length": float(len(answer.text)),
            "checker": answer.truth,
        }
        used = {name: value for name, value in parts.items() if weights[name]}
        total = None if None in used.values() else sum(weights[n] * float(v or 0) for n, v in used.items())
        rows.append(
            {"prompt_id": answer.prompt_id, "sample_no": answer.sample_no, "reward": reward, "total": total,
             "truth": answer.truth, "n_tokens": answer.n_tokens}
        )  # fmt: skip
    write_jsonl(job.folder / ROWS, rows)
    firsts: list[dict[str, Any]] = [row for row in rows if row["sample_no"] == 0]
    metrics = {name: _mean([row[name] for row in firsts]) for name in ("reward", "total")}
    return Outcome({"rows": len(rows), **metrics}, sum(answer.n_tokens for answer in found))


def evaluate(job: Job, open_tests: Callable[[EvaluateBlock], Sequence[Test]]) -> Outcome:
    """The tests; one row an example."""
    from agora.engines import open_engine
    from agora.rooms.preferences.suite import run_suite

    block = EvaluateBlock(**job.config)
    engine = open_engine(f"hf:{model_of(job, 'model')}")
    try:
        report = run_suite(engine, open_tests(block), job.folder, limit=block.limit, seed=block.seed)
    finally:
        engine.close()
    drawn = [result.meta.get("n_tokens") for result in report.results()]
    metrics = {"average": report.average.value, "n": report.average.n, "missing": report.average.missing}
    return Outcome({**metrics, "notes": list(report.notes)}, sum(n for n in drawn if n) or None)


def _answer_limit() -> int:
    return 96


def _sample(
    model: str,
    prompts: Sequence[PromptItem],
    *,
    each: int,
    temperature: float,
    max_tokens: int,
    seed: int,
    reference: str | None = None,
) -> list[SampledAnswer]:
    from agora.core.progress import progress
    from agora.engines.hf import HfEngine
    from agora.train.rollout import encode_prompts, sample_responses

    engine = HfEngine.load(model)
    encoded, _ = encode_prompts(
        engine.tokenizer, [(item.id, item.prompt) for item in prompts], max_tokens=_MAX_PROMPT_TOKENS
    )
    with progress(len(encoded) * each, "sampling", unit="answer") as bar:
        drawn = sample_responses(
            engine, encoded, num_generations=each, temperature=temperature, max_tokens=max_tokens, seed=seed, step=0
        )
        bar.advance(len(drawn))
    found = [
        SampledAnswer(
            s.response.prompt_id,
            s.sample_no,
            s.response.prompt,
            s.response.text,
            s.response.finished,
            s.response.n_tokens,
        )
        for s in drawn
    ]
    if reference is None:
        return found
    rows = [s.row for s in drawn]
    own = token_logprobs(engine.model, rows)
    theirs = own if reference == model else token_logprobs(HfEngine.load(reference).model, rows)
    return [_with_kl(answer, ours, base) for answer, ours, base in zip(found, own, theirs, strict=True)]


def _with_kl(answer: SampledAnswer, ours: Any, base: Any) -> SampledAnswer:
    from agora.train.advantages import kl_estimate

    k3 = float(kl_estimate(ours, base, "k3").sum())
    return replace(answer, logp=float(ours.sum()), ref_logp=float(base.sum()), kl3=k3)


def token_logprobs(model: Any, rows: Sequence[Any], *, token_budget: int = 16_384) -> list[Any]:
    """log p of every target token of each row: float64 arrays [n], in the order given."""
    import torch

    from agora.train.batch import micro_batches
    from agora.train.logprobs import target_logprobs

    out: list[Any] = [None] * len(rows)
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        for indices, batch in micro_batches([(row,) for row in rows], token_budget, device=device):
            values = target_logprobs(model, batch).double().cpu()
            parts = torch.split(values, [rows[i].n_targets for i in indices])
            for i, part in zip(indices, parts, strict=True):
                out[i] = part.numpy()
    return out


def _model_rewards(folder: str, found: Sequence[SampledAnswer]) -> list[float | None]:
    from agora.train.reward_model import load_reward_model, score_conversations

    model, tokenizer = load_reward_model(folder)
    return score_conversations(model, tokenizer, [answer.conversation for answer in found])


def _facts(found: Sequence[SampledAnswer]) -> dict[str, Any]:
    """Means over first samples: length, share that ended by itself, KL to the reference in nats an answer."""
    firsts = [answer for answer in found if answer.sample_no == 0]
    k1 = [a.logp - a.ref_logp for a in firsts if a.logp is not None and a.ref_logp is not None]
    return {
        "tokens_an_answer": _mean([float(a.n_tokens) for a in firsts]),
        "chars_an_answer": _mean([float(len(a.text)) for a in firsts]),
        "eos_rate": _mean([float(a.finished) for a in firsts]),
        "truth": _mean([a.truth for a in firsts]),
        "kl1": _mean(k1),
        "kl3": _mean([a.kl3 for a in firsts]),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def read_scores(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a ``scores`` stage."""
    from agora.core.tables import read_rows

    return (row for _, row in read_rows(folder / ROWS))
