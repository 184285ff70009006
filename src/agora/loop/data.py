"""From an empty user turn to training samples: draw, curate, answer; removed rows stay, with their reason counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agora.core.progress import progress
from agora.core.records import Sample, Task, stable_id
from agora.core.runs import RunDir
from agora.core.tables import read_json, write_json, write_jsonl
from agora.curate.duplicates import OnlineDuplicates
from agora.curate.funnel import Funnel
from agora.curate.text import normalize
from agora.engines import open_engine
from agora.engines.types import Sampling
from agora.loop.logs import Logs, logged_samples
from agora.loop.settings import LoopConfig
from agora.loop.stored import read_stored
from agora.rooms.synthesize.answer import answer_samples
from agora.rooms.synthesize.draw import draw_instructions
from agora.rooms.synthesize.prefix import derive_prefix
from agora.rooms.synthesize.types import DrawSettings, Slice

# A prefix that prints the date must not change at midnight, or a resumed loop would draw other instructions.
CLOCK = "2026-01-01"


def training_samples(
    run: RunDir, config: LoopConfig, *, reserved: Sequence[Task], logged: Logs | None
) -> tuple[list[Sample], Funnel]:
    """Curated and answered samples, and the funnel that led to them.

    Args:
        reserved: benchmark tasks; a sample with the same user turn never enters training.
        logged: the user's own conversations, which join the drawn samples.
    """
    stored, counts = run.file("samples.jsonl"), run.file("funnel.json")
    if not run.done("data"):
        with run.stage("data"):
            samples = _draw_and_answer(run, config, reserved)
            own = logged_samples(logged, config.log_rows) if logged else []
            samples = _curate([*own, *samples], config, reserved)
            write_jsonl(stored, samples)
            write_json(counts, _funnel(samples).to_json())
    kept = [sample for sample in read_stored(stored, Sample) if sample.kept]
    return kept, Funnel.from_json(read_json(counts))


def split_samples(samples: Sequence[Sample], config: LoopConfig) -> tuple[list[Sample], list[Sample]]:
    """Rows for SFT (all logged ones and ``sft_rows`` drawn ones) and the rest, which SFT never sees.

    The order is a hash of the id, so that both parts hold every decoding setting alike.
    """
    logged = [sample for sample in samples if sample.run_id == "logs"]
    drawn = [sample for sample in samples if sample.run_id != "logs"]
    drawn.sort(key=lambda sample: stable_id(config.seed, sample.id))
    return [*logged, *drawn[: config.sft_rows]], drawn[config.sft_rows :]


def _draw_and_answer(run: RunDir, config: LoopConfig, reserved: Sequence[Task]) -> list[Sample]:
    engine = open_engine(config.model)
    template = derive_prefix(config.tokenizer or config.model, clock=CLOCK)
    drawn: list[Sample] = []
    with progress(config.instructions, f"drawing instructions from {config.model}", unit="sample") as bar:
        for sample in draw_instructions(
            engine,
            template,
            _schedule(config),
            run_id="loop",
            settings=DrawSettings(seed=config.seed, max_tokens=config.max_instruction_tokens),
            journal=run.file("journals/drawn.jsonl"),
            on_duplicate=OnlineDuplicates(threshold=config.curate.near_duplicate_jaccard),
            on_event=lambda kind, fields: run.event(kind, **fields),
        ):
            drawn.append(sample)
            bar.advance()
    taken = {normalize(task.messages[-1].content) for task in reserved}
    drawn = [
        replace(s, kept=False, reason="reserved for the benchmark")
        if s.kept and normalize(s.instruction) in taken
        else s
        for s in drawn
    ]
    answered: list[Sample] = []
    sampling = Sampling(temperature=0.0, max_tokens=config.max_answer_tokens)
    with progress(len(drawn), f"answering with {config.model}", unit="sample") as bar:
        for sample in answer_samples(drawn, engine, sampling, journal=run.file("journals/answers.jsonl")):
            answered.append(sample)
            bar.advance()
    engine.close()
    return answered


def _schedule(config: LoopConfig) -> list[Slice]:
    """Slices with counts in proportion to their shares; together exactly ``instructions``."""
    total = sum(slice_.share for slice_ in config.draw)
    ends = [0]
    running = 0.0
    for slice_ in config.draw:
        running += slice_.share
        ends.append(round(config.instructions * running / total))
    return [
        Slice(f"{i}-t{s.temperature:g}-p{s.top_p:g}", ends[i + 1] - ends[i], s.temperature, s.top_p)
        for i, s in enumerate(config.draw)
    ]


def _curate(samples: Sequence[Sample], config: LoopConfig, reserved: Sequence[Task]) -> list[Sample]:
    """Mark what the online index could not see: duplicates between logs and draws, and reserved log rows."""
    taken = {normalize(task.messages[-1].content) for task in reserved}
    seen: set[str] = set()
    out: list[Sample] = []
    for sample in samples:
        text = normalize(sample.instruction)
        reason = None
        if sample.kept and text in taken:
            reason = "reserved for the benchmark"
        elif sample.kept and text in seen:
            reason = "duplicate"
        if sample.kept and reason is None:
            seen.add(text)
        out.append(replace(sample, kept=False, reason=reason) if reason else sample)
    return out


def _funnel(samples: Sequence[Sample]) -> Funnel:
    """Rows left after each step, in the order in which a row can be lost."""
    steps: list[dict[str, Any]] = [{"step": "drawn or logged", "kept": len(samples), "reasons": {}}]
    left = len(samples)
    lost = [sample for sample in samples if not sample.kept]
    for label, of_step in _STEPS.items():
        reasons: dict[str, int] = {}
        for sample in lost:
            if _step_of(sample.reason or "unknown") == label:
                reasons[sample.reason or "unknown"] = reasons.get(sample.reason or "unknown", 0) + 1
        left -= sum(reasons.values())
        steps.append({"step": of_step, "kept": left, "reasons": reasons})
    return Funnel.from_json(steps)


_STEPS = {
    "written": "complete and clean instructions",
    "duplicate": "not seen before",
    "reserved": "not reserved for the benchmark",
    "answered": "answered in full",
}


def _step_of(reason: str) -> str:
    if reason.startswith("answer"):
        return "answered"
    if "duplicate" in reason:
        return "duplicate"
    return "reserved" if reason.startswith("reserved") else "written"
