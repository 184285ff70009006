"""Samples in run folders: their names, their counts, and answering a file of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agora.core.errors import UsageError
from agora.core.progress import progress
from agora.core.records import Sample
from agora.core.runs import RunDir
from agora.core.tables import read_records, write_jsonl
from agora.engines.types import Engine, Sampling
from agora.rooms.synthesize.answer import GREEDY, answer_samples
from agora.rooms.synthesize.threads import ANSWERED, INSTRUCTIONS, read_samples


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


def answer_into(
    out: Path, samples: Path, model: str, *, sampling: Sampling = GREEDY, keep_truncated: bool = False
) -> FolderReport:
    """Answer the kept samples of a file into ``out/answered.jsonl``.

    Args:
        out: run folder, made or resumed.
        samples: the folder of a run, a file of samples, or prompts or conversations in any known format, of which the
            last user turn is answered.
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
        return answer_stage(run, source, lambda: open_engine(model), sampling, keep_truncated=keep_truncated)


def answer_stage(
    run: RunDir, source: Path, engine: Callable[[], Engine], sampling: Sampling, *, keep_truncated: bool
) -> FolderReport:
    """Answer a file of samples in an open run; a finished stage is only counted again.

    Args:
        run: the run; gets ``answers.jsonl`` (the journal) and ``answered.jsonl``.
        source: file of samples.
        engine: opens the answering model; called when there is something to do, and closed here.
        sampling: how to answer.
        keep_truncated: keep answers that were cut off by length.
    """
    tally, file = Tally(), run.file(ANSWERED)
    if run.done("answer"):
        for _ in tally.through(read_records(file, Sample), "answer_gen"):
            pass
        return FolderReport(file, tally, run.seconds["answer"])
    opened = engine()
    try:
        with run.stage("answer"), progress(None, "answer", "samples") as bar:
            answered = answer_samples(
                read_samples(source, run.file("rejects.jsonl")),
                opened,
                sampling,
                journal=run.file("answers.jsonl"),
                keep_truncated=keep_truncated,
            )
            write_jsonl(file, advancing(tally.through(answered, "answer_gen"), bar))
    finally:
        opened.close()
    return FolderReport(file, tally, run.seconds["answer"])


def advancing(samples: Iterable[Sample], bar: Any) -> Iterator[Sample]:
    """The samples, each moving a progress bar on."""
    for sample in samples:
        bar.advance()
        yield sample
