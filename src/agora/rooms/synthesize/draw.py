"""Draw instructions: the model is given the opening of a user's turn and nothing else, and writes the rest.

The result depends on the settings alone. Each sample has its own seed, results are taken in the order of the schedule
whatever order they come back in, and what is in the journal is never drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, is_dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from agora import __version__
from agora.core.errors import CapabilityError, ConfigError, EngineError
from agora.core.json_text import clean_text
from agora.core.records import Message, Sample
from agora.engines.types import CompleteRequest, Engine, Generation, Sampling
from agora.rooms.synthesize.clean import Cleaned, clean_instruction
from agora.rooms.synthesize.guards import FirstLook, Freshness
from agora.rooms.synthesize.journal import Journal
from agora.rooms.synthesize.types import DrawSettings, OnlineIndex, PrefixTemplate, Slice
from agora.rooms.synthesize.wire import WirePrompt, wire_prompt

OnEvent = Callable[[str, dict[str, Any]], None]
ERRORS_BEFORE_GIVING_UP = 8  # when nothing has succeeded yet
STALE_REQUESTS = 64  # of a stopped slice; with more the engine is asked anew


def draw_instructions(
    engine: Engine,
    template: PrefixTemplate | Mapping[str, PrefixTemplate],
    schedule: Sequence[Slice],
    *,
    run_id: str,
    settings: DrawSettings = DrawSettings(),  # noqa: B008 - a frozen value
    journal: Path | None = None,
    on_duplicate: OnlineIndex | None = None,
    on_event: OnEvent | None = None,
) -> Iterator[Sample]:
    """Draw instructions by a schedule; samples come in the order of the schedule, kept or with a reason.

    Args:
        engine: must be able to continue raw prefixes (``complete``).
        template: of the model; with system prompts, one per key of the schedule's slices ("" is the plain one).
        schedule: slices of decoding settings.
        run_id: part of every sample's id; the same on a resume.
        settings: seed, limits and guards.
        journal: file of finished samples; those in it are not drawn again. None keeps them in memory.
        on_duplicate: index that tells a near-duplicate of a kept sample; it is not kept, with reason ``duplicate``.
        on_event: called with a kind and fields when a slice stops early or a journal is repaired.

    Raises:
        ConfigError: a slice or setting is wrong, or the journal belongs to another run.
        CapabilityError: the engine takes only chats, or wraps raw prompts in a template.
        EngineError: nothing succeeds.
        AgoraError: the first samples look wrong.
    """
    templates = {"": template} if isinstance(template, PrefixTemplate) else dict(template)
    _check(engine, templates, schedule)
    return _Draw(engine, templates, tuple(schedule), run_id, settings, on_duplicate, on_event).samples(journal)


def sample_seed(run_seed: int, slice_name: str, index: int) -> int:
    """The seed of one sample, in [0, 2**53): any sample can be drawn again alone."""
    text = f"{run_seed}\0{index}\0{slice_name}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest()) >> 11


def sample_id(run_id: str, slice_name: str, index: int) -> str:
    """The id of one sample; never a hash of its text, so that exact duplicates stay apart."""
    return blake2b(f"{run_id}\0{index}\0{slice_name}".encode(), digest_size=8).hexdigest()


def system_key(run_seed: int, one: Slice, index: int) -> str:
    """The key of the system prompt of one sample, drawn by weight where its slice mixes several."""
    if not one.systems:
        return one.system
    return one.key_at(sample_seed(run_seed, f"system\0{one.name}", index) / 2**53)


def _check(engine: Engine, templates: Mapping[str, PrefixTemplate], schedule: Sequence[Slice]) -> None:
    if "complete" not in engine.capabilities:
        raise CapabilityError(
            "drawing instructions needs raw completions, and this engine answers chats only",
            where=engine.uri,
            hint="a chat route always adds the template; use a completions route (agora engines check URI)",
        )
    names = [s.name for s in schedule]
    if len(set(names)) < len(names):
        raise ConfigError(f"slice names must be unique, got {', '.join(names)}", where="schedule")
    for one in schedule:
        for key in one.keys:
            if key not in templates:
                known = ", ".join(repr(name) for name in templates)
                raise ConfigError(f"no prefix for system key {key!r} (known: {known})", where=f"slice {one.name!r}")


@dataclass
class _Draw:
    """One draw: what is asked for, and what has happened so far."""

    engine: Engine
    templates: Mapping[str, PrefixTemplate]
    schedule: tuple[Slice, ...]
    run_id: str
    settings: DrawSettings
    index: OnlineIndex | None
    on_event: OnEvent | None

    def samples(self, path: Path | None) -> Iterator[Sample]:
        """Every sample of the schedule, in order."""
        first = FirstLook(self.settings.check_first, sum(s.count for s in self.schedule))
        with Journal(path, Sample) as journal:
            if journal.repaired:
                self._tell("journal_repaired", path=str(path))
            with closing(_Stream(self, journal)) as stream:
                for one in self.schedule:
                    yield from self._slice(one, stream, first)

    def _slice(self, one: Slice, stream: _Stream, first: FirstLook) -> Iterator[Sample]:
        fresh = Freshness(self.settings.fresh_window, self.settings.fresh_floor)
        for index in range(one.count):
            sample = self._deduplicated(stream.wait(one, index))
            first.see(sample)
            stops = fresh.see(sample) and index + 1 < one.count
            yield sample
            if stops:
                self._tell("slice_stopped", slice=one.name, drawn=index + 1, fresh_rate=fresh.rate)
                stream.skip(one)
                return

    def _deduplicated(self, sample: Sample) -> Sample:
        match = self.index.add(sample.id, sample.instruction) if self.index is not None and sample.kept else None
        if match is None:
            return sample
        return replace(sample, kept=False, reason="duplicate", tags={**sample.tags, "duplicate_of": _plain(match)})

    def _tell(self, kind: str, **fields: Any) -> None:
        if self.on_event is not None:
            self.on_event(kind, fields)


class _Stream:
    """Results of the engine by sample, whatever order they come back in. Requests are submitted without a pause."""

    def __init__(self, draw: _Draw, journal: Journal[Sample]) -> None:
        self._draw = draw
        self._journal = journal
        self._prompts = _Prompts(draw.engine, draw.templates)
        self._debris = {key: template.debris for key, template in draw.templates.items()}
        self._stopped: set[str] = set()
        self._waiting: dict[str, tuple[Slice, int]] = {}  # submitted and not back
        self._failed: dict[str, Sample] = {}
        self._any_success = False
        self._results: Iterator[Generation] | None = None

    def wait(self, one: Slice, index: int) -> Sample:
        """The sample at ``index`` of a slice, from the journal or as soon as the engine gives it."""
        id = sample_id(self._draw.run_id, one.name, index)
        if id not in self._journal and self._results is None:
            self._results = self._draw.engine.complete(self._requests())
        while id not in self._journal:
            if id in self._failed:
                return self._failed.pop(id)
            generation = next(self._results, None) if self._results is not None else None
            if generation is None:
                raise EngineError(f"the engine gave no result for sample {id}", where=self._draw.engine.uri)
            self._take(generation)
        return self._checked(self._journal.take(id), one, index)

    def skip(self, one: Slice) -> None:
        """Draw no more of a slice. Results that are under way are written down and not used."""
        self._stopped.add(one.name)
        stale = sum(slice.name == one.name for slice, _ in self._waiting.values())
        if stale > STALE_REQUESTS:  # the engine read far ahead: better to ask anew than to pay for the rest
            self.close()
            self._waiting.clear()

    def close(self) -> None:
        """End the engine's stream."""
        if isinstance(self._results, Generator):
            self._results.close()
        self._results = None

    def _requests(self) -> Iterator[CompleteRequest]:
        for one in self._draw.schedule:
            for index in range(one.count):
                if one.name in self._stopped:
                    break
                id = sample_id(self._draw.run_id, one.name, index)
                if id in self._journal or id in self._failed:
                    continue
                self._waiting[id] = (one, index)
                yield self._request(id, one, index)

    def _request(self, id: str, one: Slice, index: int) -> CompleteRequest:
        settings, key = self._draw.settings, self._key(one, index)
        template, prompt = self._draw.templates[key], self._prompts[key]
        sampling = Sampling(
            temperature=one.temperature,
            top_p=one.top_p,
            max_tokens=settings.max_tokens,
            stop=(*template.stop_strings, "\n") if settings.stop_on_newline else template.stop_strings,
            stop_ids=template.stop_ids,
            seed=sample_seed(settings.seed, one.name, index),
            first_token_temperature=settings.first_token_temperature,
            banned_first_ids=template.markdown_ids if settings.no_markdown else (),
        )
        return CompleteRequest(id, prompt_ids=prompt.ids, prompt=prompt.text, sampling=sampling)

    def _take(self, generation: Generation) -> None:
        place = self._waiting.pop(generation.id, None)
        if place is None:
            return  # of a stream that was ended, or twice the same
        one, index = place
        sample = self._sample(generation, one, index)
        if sample.finish_reason != "error":
            self._any_success = True
            self._journal.add(sample)
            return
        self._failed[sample.id] = sample  # not in the journal: the next run draws it again
        if not self._any_success and len(self._failed) >= min(ERRORS_BEFORE_GIVING_UP, self._total):
            raise EngineError(
                f"every request failed: {generation.error}",
                where=self._draw.engine.uri,
                hint="finished samples are kept; run the same command again once the engine works",
            )

    def _key(self, one: Slice, index: int) -> str:
        return system_key(self._draw.settings.seed, one, index)

    @property
    def _total(self) -> int:
        return sum(one.count for one in self._draw.schedule)

    def _sample(self, generation: Generation, one: Slice, index: int) -> Sample:
        draw, settings = self._draw, self._draw.settings
        key = self._key(one, index)
        template = draw.templates[key]
        raw = clean_text(generation.text)
        cleaned = clean_instruction(
            raw, max_chars=settings.max_chars, cut_at_answer=settings.cut_at_answer, debris=self._debris[key]
        )
        finish = "empty" if not cleaned.text and generation.finish_reason != "error" else generation.finish_reason
        reason = _reason(finish, cleaned, settings.ignore_flags)
        return Sample(
            id=generation.id,
            run_id=draw.run_id,
            slice=one.name,
            index=index,
            seed=sample_seed(settings.seed, one.name, index),
            messages=_messages(cleaned.text, template, settings.keep_system),
            raw_text=raw,
            finish_reason=finish,
            stopped_by=generation.stopped_by,
            prefix_ref=self._prompts.refs[key],
            clean_ops=tuple(op._asdict() for op in cleaned.ops),
            flags=cleaned.flags,
            gen=_gen(draw.engine, one, key, template, settings, generation),
            tags={"personal_data": list(cleaned.personal_data)} if cleaned.personal_data else {},
            kept=reason is None,
            reason=reason,
        )

    def _checked(self, sample: Sample, one: Slice, index: int) -> Sample:
        ref = self._prompts.refs[self._key(one, index)]
        if (sample.slice, sample.index) != (one.name, index) or sample.prefix_ref != ref:
            what = "another prefix or schedule"
        elif sample.seed != sample_seed(self._draw.settings.seed, one.name, index):
            what = "another seed"
        else:
            return sample
        raise ConfigError(
            f"the journal was written with {what}", where=str(self._journal.path), hint="use a new --out folder"
        )


class _Prompts(dict[str, WirePrompt]):
    """The prompt of each system key in the form the engine takes, found out when first needed."""

    def __init__(self, engine: Engine, templates: Mapping[str, PrefixTemplate]) -> None:
        super().__init__()
        self._engine, self._templates = engine, templates
        self.refs = {key: template.ref for key, template in templates.items()}

    def __missing__(self, key: str) -> WirePrompt:
        self[key] = wire_prompt(self._engine, self._templates[key])
        return self[key]


def _reason(finish: str, cleaned: Cleaned, ignored: Sequence[str]) -> str | None:
    """Why a sample is not kept, None when it is."""
    if finish in ("error", "empty", "length"):
        return finish
    return next((f"flag:{flag}" for flag in cleaned.flags if flag not in ignored), None)


def _messages(text: str, template: PrefixTemplate, keep_system: bool) -> tuple[Message, ...]:
    system = template.mode.removeprefix("system:") if template.mode.startswith("system:") and keep_system else None
    if system is None:
        return (Message("user", text, id="0"),)
    return (Message("system", system, id="0"), Message("user", text, id="1", parent="0"))


def _gen(
    engine: Engine,
    one: Slice,
    key: str,
    template: PrefixTemplate,
    settings: DrawSettings,
    generation: Generation,
) -> dict[str, Any]:
    return {
        "model": engine.uri,
        "revision": None,
        "temperature": one.temperature,
        "top_p": one.top_p,
        "max_tokens": settings.max_tokens,
        "engine": engine.uri.partition(":")[0],
        "engine_version": __version__,
        "system_key": key,
        "system_prompt": template.mode.removeprefix("system:") if template.mode.startswith("system:") else None,
        "prompt_tokens": generation.usage.prompt_tokens,
        "completion_tokens": generation.usage.completion_tokens,
    }


def _plain(match: object) -> Any:
    """A match in JSON words."""
    if is_dataclass(match) and not isinstance(match, type):
        return asdict(match)
    as_dict = getattr(match, "_asdict", None)  # a named tuple
    return as_dict() if as_dict is not None else match
