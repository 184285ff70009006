"""Draw and answer into run folders: the same command on the same folder goes on where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agora.core.errors import AgoraError, UsageError
from agora.core.progress import progress
from agora.core.records import Sample, stable_id
from agora.core.runs import RunDir
from agora.core.tables import read_json, read_records, write_json, write_jsonl
from agora.engines.types import Sampling
from agora.rooms.synthesize.answer import GREEDY, answer_samples
from agora.rooms.synthesize.draw import draw_instructions
from agora.rooms.synthesize.prefix import derive_prefix
from agora.rooms.synthesize.sources import read_template
from agora.rooms.synthesize.types import DrawSettings, PrefixTemplate, Slice

PREFIX_FILE = "prefix.json"
INSTRUCTIONS = "instructions.jsonl"
ANSWERED = "answered.jsonl"


@dataclass
class Tally:
    """How many samples passed, how many were kept, and why the others were not."""

    n: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    slices: dict[str, Counter[str]] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def through(self, samples: Iterable[Sample], usage: str) -> Iterator[Sample]:
        """Count samples on their way; ``usage`` is ``gen`` or ``answer_gen``."""
        for sample in samples:
            self.n += 1
            self.kept += sample.kept
            outcome = "kept" if sample.kept else sample.reason or "unknown"
            if not sample.kept:
                self.reasons[outcome] += 1
            self.slices.setdefault(sample.slice, Counter())[outcome] += 1
            paid: Mapping[str, Any] = getattr(sample, usage)
            self.prompt_tokens += paid.get("prompt_tokens", 0)
            self.completion_tokens += paid.get("completion_tokens", 0)
            yield sample

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON-ready values; ``slices`` sum to ``n``."""
        counts = {"n": self.n, "kept": self.kept, "reasons": dict(self.reasons.most_common())}
        slices = {name: dict(outcomes.most_common()) for name, outcomes in self.slices.items()}
        tokens = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        return {**counts, "slices": slices, **tokens}


@dataclass(frozen=True, slots=True)
class FolderReport:
    """What a run wrote and how it went."""

    file: Path
    tally: Tally
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """One JSON object for ``--json``."""
        return {"file": str(self.file), **self.tally.as_json(), "seconds": round(self.seconds, 3)}


def draw_into(
    out: Path,
    model: str,
    schedule: Iterable[Slice],
    *,
    mode: str = "template",
    tokenizer: str | None = None,
    chat_template: Path | None = None,
    settings: DrawSettings = DrawSettings(),  # noqa: B008 - a frozen value
    deduplicate: bool = True,
) -> FolderReport:
    """Draw instructions into ``out/instructions.jsonl``; the prefix used is in ``out/prefix.json``.

    Args:
        out: run folder, made or resumed.
        model: engine URI.
        schedule: slices of decoding settings.
        mode: of the prefix, see :func:`agora.rooms.synthesize.derive_prefix`.
        tokenizer: where the prefix comes from when the model is served elsewhere.
        chat_template: Jinja file used in place of the tokenizer's own.
        settings: seed, limits and guards.
        deduplicate: set near-duplicates of kept instructions aside while drawing.

    Raises:
        ConfigError: the folder holds another run, or the template cannot be used (before weights are loaded).
    """
    slices = tuple(schedule)
    template = _prefix(out, tokenizer or model, mode, chat_template)
    config = {
        "model": model,
        "prefix_ref": template.ref,
        "schedule": [asdict(one) for one in slices],
        "settings": {key: value for key, value in asdict(settings).items() if key != "seed"},
        "deduplicate": deduplicate,
    }
    run_id = stable_id("synthesize run", config, settings.seed)
    with RunDir.open(out, command="synthesize run", config=config, seed=settings.seed) as run:
        write_json(run.file(PREFIX_FILE), template.to_json())
        return _draw(run, model, template, slices, run_id, settings, deduplicate)


def _draw(
    run: RunDir,
    model: str,
    template: PrefixTemplate,
    slices: tuple[Slice, ...],
    run_id: str,
    settings: DrawSettings,
    deduplicate: bool,
) -> FolderReport:
    from agora.curate.duplicates import OnlineDuplicates
    from agora.engines import open_engine

    tally, file = Tally(), run.file(INSTRUCTIONS)
    if run.done("draw"):
        for _ in tally.through(read_records(file, Sample), "gen"):
            pass
        return FolderReport(file, tally, run.seconds["draw"])
    engine = open_engine(model)
    try:
        total = sum(one.count for one in slices)
        with run.stage("draw"), progress(total, "draw", "samples") as bar:
            samples = draw_instructions(
                engine,
                template,
                slices,
                run_id=run_id,
                settings=settings,
                journal=run.file("drawn.jsonl"),
                on_duplicate=OnlineDuplicates() if deduplicate else None,
                on_event=lambda kind, fields: run.event(kind, **fields),
            )
            write_jsonl(file, _advancing(tally.through(samples, "gen"), bar))
    finally:
        engine.close()
    run.metric("kept_share", tally.kept / tally.n if tally.n else None)
    return FolderReport(file, tally, run.seconds["draw"])


def answer_into(
    out: Path, samples: Path, model: str, *, sampling: Sampling = GREEDY, keep_truncated: bool = False
) -> FolderReport:
    """Answer the kept samples of a file into ``out/answered.jsonl``.

    Args:
        out: run folder, made or resumed.
        samples: file of samples, or the folder that :func:`draw_into` wrote.
        model: engine URI; may be another than the one that wrote the instructions.
        sampling: greedy unless told otherwise.
        keep_truncated: keep answers that were cut off by length.

    Raises:
        MissingError: no such file.
        ConfigError: the folder holds another run.
    """
    from agora.engines import open_engine

    source = samples / INSTRUCTIONS if samples.is_dir() else samples
    if source.parent.resolve() == out.resolve():
        raise UsageError("answers need a folder of their own", where=str(out), hint="choose another --out")
    config = {"model": model, "sampling": asdict(sampling), "keep_truncated": keep_truncated}
    with RunDir.open(
        out, command="synthesize answer", config=config, seed=sampling.seed, inputs={"samples": source}
    ) as run:
        tally, file = Tally(), run.file(ANSWERED)
        if run.done("answer"):
            for _ in tally.through(read_records(file, Sample), "answer_gen"):
                pass
            return FolderReport(file, tally, run.seconds["answer"])
        engine = open_engine(model)
        try:
            with run.stage("answer"), progress(None, "answer", "samples") as bar:
                answered = answer_samples(
                    read_records(source, Sample),
                    engine,
                    sampling,
                    journal=run.file("answers.jsonl"),
                    keep_truncated=keep_truncated,
                )
                write_jsonl(file, _advancing(tally.through(answered, "answer_gen"), bar))
        finally:
            engine.close()
        return FolderReport(file, tally, run.seconds["answer"])


def _prefix(out: Path, source: str, mode: str, chat_template: Path | None) -> PrefixTemplate:
    """The prefix, with the date of the first start when a run goes on."""
    clock = None
    if (out / PREFIX_FILE).exists():
        try:
            clock = PrefixTemplate.from_json(read_json(out / PREFIX_FILE)).clock
        except AgoraError as error:
            raise UsageError(
                f"cannot resume: {error}", where=str(out / PREFIX_FILE), hint="choose another --out"
            ) from error
    text = read_template(chat_template) if chat_template is not None else None
    return derive_prefix(source, mode=mode, chat_template=text, clock=clock)


def _advancing(samples: Iterable[Sample], bar: Any) -> Iterator[Sample]:
    for sample in samples:
        bar.advance()
        yield sample
