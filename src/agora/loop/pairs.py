"""Preference pairs: answers of the SFT model and one of the aligned model, judged; best against worst (Magpie-DPO)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from agora.core.errors import DataError
from agora.core.progress import progress
from agora.core.records import Answer, Message, PreferencePair, Provenance, Sample, Task, Verdict, stable_id
from agora.core.runs import RunDir
from agora.engines import open_engine
from agora.engines.types import ChatRequest, Sampling
from agora.loop.models import uri_of
from agora.loop.settings import LoopConfig
from agora.rooms.judge import judge_scores, open_judge


def make_pairs(
    run: RunDir, config: LoopConfig, samples: Sequence[Sample], candidates: Sequence[Answer]
) -> list[PreferencePair]:
    """Pairs from instructions that SFT has not seen; ties and gaps under the margin are counted and dropped.

    On instructions that it was trained on, the SFT model makes few mistakes to learn from.
    """
    prompts = samples[: config.pairs.prompts]
    tasks = [_prompt(sample) for sample in prompts]
    answers = list(candidates)
    if config.pairs.model_answers:
        answers += [Answer(s.id, "model", s.answer, "stop_token") for s in prompts if s.answer is not None]
    judge = open_judge(config.judge, seed=0, cache=run.file("cache/judge.sqlite"))
    verdicts = judge_scores(tasks, answers, judge, run.file("verdicts_pairs.jsonl"), allow_partial=True)
    texts = {(a.task_id, a.model): a for a in answers}
    by_task: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.status == "ok":
            by_task[verdict.task_id].append(verdict)
    made = [_best_against_worst(task, by_task[task.id], texts, config, judge.name) for task in tasks]
    pairs = [pair for pair in made if pair is not None]
    run.event("pairs", prompts=len(tasks), pairs=len(pairs), without=len(tasks) - len(pairs))
    if not pairs:
        raise DataError(
            f"no preference pair came of {len(tasks)} instructions",
            where="pairs",
            hint="draw more instructions, lower sft_rows or pairs.min_margin, or use a judge that knows the tasks",
        )
    return pairs


def sample_candidates(run: RunDir, config: LoopConfig, samples: Sequence[Sample]) -> list[Answer]:
    """k sampled answers of the SFT model per prompt; candidate i answers under the name ``sft#i``."""
    tasks = [_prompt(sample) for sample in samples[: config.pairs.prompts]]
    requests = [
        ChatRequest(
            f"{task.id}#{i}",
            tuple(m.as_chat() for m in task.messages),
            Sampling(
                temperature=config.pairs.temperature,
                max_tokens=config.max_answer_tokens,
                seed=int(stable_id(config.seed, task.id, i), 16) % 2**31,
            ),
        )
        for task in tasks
        for i in range(config.pairs.k)
    ]
    engine = open_engine(uri_of(run, config, "sft"), cache=run.file("cache/candidates.sqlite"))
    found: dict[str, Answer] = {}
    with progress(len(requests), f"sft answers {config.pairs.k} times", unit="answer") as bar:
        for reply in engine.chat(requests):
            bar.advance()
            task_id, _, index = reply.id.rpartition("#")
            if reply.finish_reason != "error":
                found[reply.id] = Answer(task_id, f"sft#{index}", reply.text, reply.finish_reason)
    engine.close()
    return [found[request.id] for request in requests if request.id in found]


def _prompt(sample: Sample) -> Task:
    return Task(sample.id, "pairs", "1", (Message("user", sample.instruction, id="0"),))


def _best_against_worst(
    task: Task,
    verdicts: Sequence[Verdict],
    answers: Mapping[tuple[str, str], Answer],
    config: LoopConfig,
    judge: str,
) -> PreferencePair | None:
    """The pair of one prompt. Among equal scores a seeded hash chooses, so that no position is favored."""

    def rank(verdict: Verdict) -> tuple[float, str]:
        return float(verdict.value or 0), stable_id(config.seed, task.id, verdict.model)

    # a cut answer may be the worse one but never the example to follow: nobody saw its end
    whole = [v for v in verdicts if answers[task.id, v.model].finish_reason != "length"]
    if not whole:
        return None
    best, worst = max(whole, key=rank), min(verdicts, key=rank)
    margin = float(best.value or 0) - float(worst.value or 0)
    if margin < config.pairs.min_margin:
        return None
    sides = [Message("assistant", answers[task.id, v.model].output, id="1", parent="0") for v in (best, worst)]
    return PreferencePair(
        id=stable_id("pair", task.id),
        prompt=task.messages,
        chosen=(sides[0],),
        rejected=(sides[1],),
        chosen_score=best.value,
        rejected_score=worst.value,
        margin=margin,
        annotator=judge,
        label_kind="rule" if judge == "microcosm:checker" else "ai",
        provenance=Provenance("agora loop", task.id, consent="synthetic"),
    )
