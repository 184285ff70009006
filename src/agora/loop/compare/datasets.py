"""The data sets that are compared: one file a seed and data set, all rows as samples with their reasons."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from agora.core.progress import progress
from agora.core.records import Message, Sample, Task, stable_id
from agora.core.runs import RunDir
from agora.core.tables import Rejects, write_jsonl
from agora.curate.duplicates import OnlineDuplicates
from agora.curate.importers import import_conversations
from agora.curate.text import normalize
from agora.engines import open_engine
from agora.engines.types import Engine, Sampling
from agora.loop.compare.settings import CompareConfig, slug_of
from agora.loop.data import CLOCK
from agora.loop.stored import read_stored
from agora.microcosm.world import World
from agora.rooms.synthesize.answer import answer_samples
from agora.rooms.synthesize.draw import draw_instructions
from agora.rooms.synthesize.prefix import derive_prefix
from agora.rooms.synthesize.self_instruct import SelfInstruct, read_seeds, self_instruct
from agora.rooms.synthesize.types import DrawSettings, Slice

RESERVED = "reserved for the benchmark"
MAGPIE = "magpie"


def data_set(run: RunDir, config: CompareConfig, name: str, seed: int, reserved: Sequence[Task]) -> list[Sample]:
    """The rows of one data set for one seed, in order: those kept come first in their own order.

    Made once, then read. A row whose user turn is a benchmark task's is never kept.
    """
    slug = slug_of(name)
    path = run.file(f"data/seed{seed}/{slug}.jsonl")
    stage = f"data/seed{seed}/{slug}"
    if not run.done(stage):
        with run.stage(stage):
            taken = {normalize(task.messages[-1].content) for task in reserved}
            rows = [_unreserved(sample, taken) for sample in _make(run, config, name, seed)]
            write_jsonl(path, sorted(rows, key=lambda sample: not sample.kept))
    return read_stored(path, Sample)


def _unreserved(sample: Sample, taken: set[str]) -> Sample:
    inside = sample.kept and any(m.role == "user" and normalize(m.content) in taken for m in sample.messages)
    return replace(sample, kept=False, reason=RESERVED) if inside else sample


def _make(run: RunDir, config: CompareConfig, name: str, seed: int) -> Iterable[Sample]:
    if name in config.files:
        return _from_file(Path(config.files[name]), seed)
    if name == "people":
        return _people(config, seed)
    if name == "log":
        return _log(run, config, seed)
    if name == "self-instruct":
        return _self_instruct(run, config, seed)
    if name == "web":
        return _web(config, seed)
    return _magpie_variant(name, list(_drawn(run, config, seed)))


def _magpie_variant(name: str, drawn: Sequence[Sample]) -> Iterator[Sample]:
    """Which of the drawn and answered samples a variant trains on."""
    if name == MAGPIE:
        return iter(drawn)
    return (_judged_by(name, sample) for sample in drawn)


def _judged_by(name: str, sample: Sample) -> Sample:
    if name == "magpie, no filter":
        usable = sample.answer is not None
    elif name == "magpie, no de-duplication":
        usable = sample.kept or (sample.reason == "duplicate" and sample.answer is not None)
    else:
        usable = sample.kept and _is_right(sample)
    reason = None if usable else sample.reason or "not right by the checker"
    return replace(sample, kept=usable, reason=reason)


def _is_right(sample: Sample) -> bool:
    from agora.microcosm.world import check, recognize

    exercise = recognize(sample.instruction)
    return exercise is not None and check(exercise, sample.answer or "").correct


def _drawn(run: RunDir, config: CompareConfig, seed: int) -> list[Sample]:
    """Samples drawn from the aligned model; every complete one is answered, so that no filter costs a variant rows."""
    path = run.file(f"data/seed{seed}/drawn.jsonl")
    stage = f"data/seed{seed}/drawn"
    if not run.done(stage):
        with run.stage(stage):
            write_jsonl(path, _draw_and_answer(run, config, seed))
    return read_stored(path, Sample)


def _draw_and_answer(run: RunDir, config: CompareConfig, seed: int) -> list[Sample]:
    engine = open_engine(config.model)
    count = round(config.rows * config.overdraw)
    one = Slice("draw", count, config.temperature, config.top_p)
    with progress(count, f"seed {seed}: drawing from {config.model}", unit="sample") as bar:
        drawn = []
        for sample in draw_instructions(
            engine,
            derive_prefix(config.tokenizer or config.model, clock=CLOCK),
            [one],
            run_id=f"compare/{seed}",
            settings=DrawSettings(seed=seed, max_tokens=config.max_instruction_tokens),
            journal=run.file(f"journals/seed{seed}/drawn.jsonl"),
            on_duplicate=OnlineDuplicates(config.near_duplicate_jaccard),
            on_event=lambda kind, fields: run.event(kind, **fields),
        ):
            drawn.append(sample)
            bar.advance()
    asked = [replace(s, kept=bool(s.instruction.strip()) and s.finish_reason != "error") for s in drawn]
    answered = _answer(run, config, engine, asked, f"seed{seed}/answers")
    engine.close()
    return [_with_answer(before, after) for before, after in zip(drawn, answered, strict=True)]


def _with_answer(before: Sample, after: Sample) -> Sample:
    """The sample as drawn, with the answer that it was given, and the reason of whichever step lost it first."""
    if before.kept:
        return after
    return replace(after, kept=False, reason=before.reason)


def _answer(run: RunDir, config: CompareConfig, engine: Engine, rows: Sequence[Sample], name: str) -> list[Sample]:
    sampling = Sampling(temperature=0.0, max_tokens=config.max_answer_tokens)
    answered = []
    with progress(len(rows), f"answering with {config.model}", unit="row") as bar:
        for sample in answer_samples(rows, engine, sampling, journal=run.file(f"journals/{name}.jsonl")):
            answered.append(sample)
            bar.advance()
    return answered


def _self_instruct(run: RunDir, config: CompareConfig, seed: int) -> list[Sample]:
    how = config.self_instruct
    seeds = read_seeds(Path(how.seeds)) if how.seeds is not None else _seed_tasks(how.seed_tasks, seed)
    writer = open_engine(how.model)
    settings = SelfInstruct(
        how.seeds or "microcosm",
        per_request=1,
        novelty=how.novelty,
        temperature=how.temperature,
        max_requests=how.max_requests,
        max_tokens=config.max_instruction_tokens,
    )
    written: list[Sample] = []
    with progress(config.rows, f"seed {seed}: writing tasks with {how.model}", unit="task") as bar:
        for sample in self_instruct(
            writer,
            seeds,
            round(config.rows * 1.05),  # some answers are cut off
            run_id=f"compare/{seed}",
            settings=settings,
            seed=seed,
            journal=run.file(f"journals/seed{seed}/self_instruct.jsonl"),
        ):
            written.append(sample)
            bar.advance(int(sample.kept))
    writer.close()
    engine = open_engine(config.model)
    answered = _answer(run, config, engine, written, f"seed{seed}/self_instruct_answers")
    engine.close()
    return answered


def _seed_tasks(n: int, seed: int) -> list[str]:
    """Tasks that a person of the world would write down."""
    rng = random.Random(f"compare/seed tasks/{seed}")
    return list(dict.fromkeys(e.instruction for e in World().exercises(rng, n, split="train")))


def _people(config: CompareConfig, seed: int) -> Iterator[Sample]:
    """Questions of the world with right answers, each by a person who knows."""
    rng = random.Random(f"compare/people/{seed}")
    world = World()
    seen: set[str] = set()
    for exercise in world.exercises(rng, config.rows * 3, split="train"):
        if exercise.id not in seen:
            seen.add(exercise.id)
            yield _written("people", seed, len(seen), exercise.instruction, world.answer(exercise, rng))
        if len(seen) == round(config.rows * 1.05):
            return


def _log(run: RunDir, config: CompareConfig, seed: int) -> list[Sample]:
    """Visitors' questions as they were typed, answered by the aligned model: a log like WildChat's."""
    questions = [v.next_message(()) or "" for v in World().visitors(round(config.rows * 1.05), seed)]
    rows = [_written("log", seed, i, text, None) for i, text in enumerate(questions)]
    engine = open_engine(config.model)
    answered = _answer(run, config, engine, rows, f"seed{seed}/log_answers")
    engine.close()
    return answered


def _web(config: CompareConfig, seed: int) -> Iterator[Sample]:
    """Visitors' messages with replies as found on pages: flawed, or belonging to another question."""
    rng = random.Random(f"compare/web/{seed}")
    world, how = World(), config.web
    visitors = list(
        world.visitors(
            round(config.rows * 1.05), seed + 1000, duplicate_share=how.repeated, nonsense_share=how.nonsense
        )
    )
    for i, visitor in enumerate(visitors):
        goal = visitor.goals[0] if rng.random() >= how.mismatched else rng.choice(visitors).goals[0]
        flawed = rng.random() < how.flawed
        answer = world.flawed_answer(goal, rng) if flawed else world.answer(goal, rng)
        yield _written("web", seed, i, visitor.next_message(()) or "", answer or "No reply.")


def _written(source: str, seed: int, index: int, instruction: str, answer: str | None) -> Sample:
    """A row that no model drew."""
    messages = [Message("user", instruction, id="0")]
    if answer is not None:
        messages.append(Message("assistant", answer, id="1", parent="0"))
    empty = not instruction.strip()
    return Sample(
        id=stable_id("compare", source, seed, index),
        run_id=f"compare/{seed}",
        slice=source,
        index=index,
        seed=seed,
        messages=tuple(messages),
        raw_text=instruction,
        finish_reason="empty" if empty else "stop_token",
        kept=not empty,
        reason="empty" if empty else None,
    )


def _from_file(path: Path, seed: int) -> list[Sample]:
    """Conversations of a file in any known format, in an order that the seed decides."""
    with Rejects() as rejects:
        found = list(import_conversations(path, rejects=rejects))
    rows = []
    for index, conversation in enumerate(found):
        turns = next(iter(conversation.paths()), ())
        usable = any(m.role == "user" for m in turns) and bool(turns) and turns[-1].role == "assistant"
        text = next((m.content for m in turns if m.role == "user"), "")
        rows.append(
            replace(
                _written("file", seed, index, text, None),
                messages=tuple(turns),
                kept=usable,
                reason=None if usable else "does not end with an answer",
            )
        )
    return sorted(rows, key=lambda sample: stable_id(seed, sample.id))
