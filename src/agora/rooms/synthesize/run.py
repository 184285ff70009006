"""``agora synthesize run``: from a model's chat template to answered instructions in one folder.

Stages: the prefix of every system prompt, a probe of raw access, the draw with its online guards, answers to what was
kept, the report. The same command on the same folder goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agora.core.errors import AgoraError, CapabilityError, UsageError
from agora.core.progress import progress
from agora.core.records import Sample, stable_id
from agora.core.runs import RunDir
from agora.core.tables import read_json, read_records, write_json, write_jsonl
from agora.engines.types import Engine, Sampling
from agora.rooms.synthesize.draw import draw_instructions
from agora.rooms.synthesize.folder import FolderReport, Tally, advancing, answer_stage
from agora.rooms.synthesize.licence import licence_of
from agora.rooms.synthesize.online_filter import filtered, parse_conditions
from agora.rooms.synthesize.prefix import derive_prefix
from agora.rooms.synthesize.self_instruct import read_seeds, self_instruct
from agora.rooms.synthesize.settings import SynthesizeConfig
from agora.rooms.synthesize.sources import open_source, read_template
from agora.rooms.synthesize.threads import INSTRUCTIONS
from agora.rooms.synthesize.types import PrefixTemplate
from agora.rooms.synthesize.wire import wire_prompt

PREFIX_FILE = "prefix.json"
TEMPLATES_FILE = "templates.jsonl"


@dataclass(frozen=True, slots=True)
class SynthesisReport:
    """What a run wrote and how it went; ``answers`` is None when none were asked for."""

    instructions: FolderReport
    answers: FolderReport | None
    report: Path

    def as_json(self) -> dict[str, Any]:
        """One JSON object for ``--json``: the draw's counts, and those of the answers below."""
        answers = self.answers.as_json() if self.answers else None
        return {**self.instructions.as_json(), "answers": answers, "report": str(self.report)}


def synthesize(out: Path, config: SynthesizeConfig, *, command: str = "agora synthesize run") -> SynthesisReport:
    """Draw instructions by a schedule, answer what was kept, and write ``report.html``.

    Args:
        out: run folder, made or resumed.
        config: what to draw and how.
        command: as a user would type it, for the record and the page.

    Raises:
        ConfigError: the folder holds another run, or the template cannot be used (before weights are loaded).
        CapabilityError: raw prefixes do not reach the model; says which routes work.
        AgoraError: the first samples look wrong.
    """
    from agora.rooms.synthesize.report import write_report

    templates = derive_all(out, config) if config.self_instruct is None else {}
    licence = licence_of(config.model)
    with RunDir.open(
        out,
        command=command,
        config=_resolved(config, templates),
        seed=config.seed,
        inputs={"seeds": Path(config.self_instruct.seeds)} if config.self_instruct is not None else None,
        licences=[f"{config.model}: {licence}"],
    ) as run:
        if templates:
            write_json(run.file(PREFIX_FILE), next(iter(templates.values())).to_json())
            write_jsonl(run.file(TEMPLATES_FILE), [{"key": key, **t.to_json()} for key, t in templates.items()])
        drawn = _draw(run, config, templates)
        answers = _answer(run, config)
        report = write_report(run, config, drawn, answers, licence=licence)
        return SynthesisReport(drawn, answers, report)


def derive_all(out: Path, config: SynthesizeConfig) -> dict[str, PrefixTemplate]:
    """The prefix of every system key that the schedule uses, "" being the template as it is.

    A template that prints the date keeps the date of the first start when a run goes on.
    """
    source = open_source(config.tokenizer or config.model)
    text = read_template(Path(config.chat_template)) if config.chat_template is not None else None
    clock = config.clock or _first_clock(out)
    more: dict[str, Any] = {"chat_template": text, "clock": clock}
    keys = dict.fromkeys(key for one in config.slices() for key in one.keys) or {"": None}
    return {
        key: derive_prefix(source, mode=f"system:{config.systems[key].full_text}" if key else config.mode, **more)
        for key in keys
    }


def _first_clock(out: Path) -> str | None:
    """The date of a run that is resumed; None at its start."""
    file = out / PREFIX_FILE
    if not file.exists():
        return None
    try:
        return PrefixTemplate.from_json(read_json(file)).clock
    except AgoraError as error:
        raise UsageError(f"cannot resume: {error}", where=str(file), hint="choose another --out") from error


def _resolved(config: SynthesizeConfig, templates: Mapping[str, PrefixTemplate]) -> dict[str, Any]:
    """What decides the result, as it is compared on a resume."""
    plain = config.model_dump(mode="json", exclude={"seed", "probe", "expected"})
    return {**plain, "prefix_refs": {key or "plain": template.ref for key, template in templates.items()}}


def _draw(run: RunDir, config: SynthesizeConfig, templates: dict[str, PrefixTemplate]) -> FolderReport:
    from agora.engines import open_engine

    tally, file = Tally(), run.file(INSTRUCTIONS)
    if run.done("draw"):
        for _ in tally.through(read_records(file, Sample), "gen"):
            pass
        return FolderReport(file, tally, run.seconds["draw"])
    engine = open_engine(config.model)
    try:
        if config.probe and templates and not run.done("probe"):
            with run.stage("probe"):
                probe_templates(engine, templates)
        with run.stage("draw"), progress(config.count, "draw", "samples") as bar:
            samples = _samples(run, config, templates, engine)
            if config.filter is not None:
                samples = filtered(samples, parse_conditions(config.filter))
            write_jsonl(file, advancing(tally.through(samples, "gen"), bar))
    finally:
        engine.close()
    run.metric("kept_share", tally.kept / tally.n if tally.n else None)
    return FolderReport(file, tally, run.seconds["draw"])


def _samples(
    run: RunDir, config: SynthesizeConfig, templates: dict[str, PrefixTemplate], engine: Engine
) -> Iterator[Sample]:
    """What the generator of the configuration writes, kept or with a reason."""
    from agora.curate.duplicates import OnlineDuplicates

    run_id = stable_id("synthesize run", run.info["config"], config.seed)
    journal = run.file("drawn.jsonl")
    if config.self_instruct is not None:
        how = config.self_instruct
        return self_instruct(
            engine, read_seeds(Path(how.seeds)), config.count, run_id=run_id, settings=how, seed=config.seed,
            journal=journal,
        )  # fmt: skip
    return draw_instructions(
        engine,
        templates,
        config.slices(),
        run_id=run_id,
        settings=replace(config.draw, seed=config.seed),
        journal=journal,
        on_duplicate=OnlineDuplicates(config.deduplicate) if config.deduplicate is not None else None,
        on_event=lambda kind, fields: run.event(kind, **fields),
    )


def probe_templates(engine: Engine, templates: Mapping[str, PrefixTemplate]) -> None:
    """See that one raw prefix reaches the model, by eight short texts; the other prefixes go the same way.

    Raises:
        CapabilityError: the server wraps prompts, changes them or ignores the temperature; names routes that work.
    """
    from agora.engines.probe import probe_raw_access

    template = next(iter(templates.values()))
    if "complete" not in engine.capabilities:
        return  # draw_instructions says so in better words
    prompt = wire_prompt(engine, template)
    expected = None if template.prefix_ids is None else len(template.prefix_ids)
    found = probe_raw_access(engine, prompt.ids, prefix=prompt.text, expected_tokens=expected)
    if not found.ok:
        raise CapabilityError(
            f"raw prefixes do not reach the model: {found.reason}",
            where=engine.uri,
            hint="see what it wrote with: agora engines check URI --prefix TEXT; --no-probe skips this check",
        )


def _answer(run: RunDir, config: SynthesizeConfig) -> FolderReport | None:
    from agora.engines import open_engine

    how = config.answers
    if how is None:
        return None
    sampling = Sampling(how.temperature, how.top_p, how.max_tokens, seed=config.seed)
    return answer_stage(
        run,
        run.file(INSTRUCTIONS),
        lambda: open_engine(how.model or config.model),
        sampling,
        keep_truncated=how.keep_truncated,
    )
