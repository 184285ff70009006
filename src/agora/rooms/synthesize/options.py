"""From a configuration file and the options of ``agora synthesize run`` to one configuration."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agora.core.config import load_config
from agora.rooms.synthesize.dry_run import find_recipe
from agora.rooms.synthesize.settings import SliceConfig, SynthesizeConfig
from agora.rooms.synthesize.systems import library_prompts


def run_config(
    file: Path | None,
    overrides: Sequence[str],
    given: Mapping[str, Any],
    *,
    n: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    chat_template: Path | None = None,
    domains: Sequence[str] = (),
    language: str | None = None,
    no_markdown: bool = False,
    self_instruct: Path | None = None,
    answers: bool = True,
    probe: bool = True,
) -> SynthesizeConfig:
    """The configuration of a run. Options win over ``overrides``, which win over the file.

    Args:
        file: YAML of :class:`SynthesizeConfig`, or the name of a recipe; None for the defaults.
        overrides: ``a.b=c`` each.
        given: values by key, None where an option was not used; ``max_tokens`` is that of the draw.
        n: samples; a schedule of several slices keeps its proportions.
        temperature: with ``top_p``, one slice in place of the schedule.
        top_p: see ``temperature``.
        chat_template: Jinja file in place of the tokenizer's own.
        domains: see :func:`agora.rooms.synthesize.systems.library_prompts`.
        language: to draw in.
        no_markdown: forbid a first token that is only markdown.
        self_instruct: file of a person's tasks; tasks are written from them in place of drawing.
        answers: False draws only.
        probe: False skips the probe of raw access.

    Raises:
        ConfigError: a value does not fit, or a domain is unknown.
    """
    more = [f"{_KEYS.get(key, key)}={json.dumps(value)}" for key, value in given.items() if value is not None]
    more += [f"chat_template={json.dumps(str(chat_template))}"] if chat_template is not None else []
    more += ["draw.no_markdown=true"] if no_markdown else []
    more += [f"self_instruct.seeds={json.dumps(str(self_instruct))}"] if self_instruct is not None else []
    more += [] if answers else ["answers=null"]
    more += [] if probe else ["probe=false"]
    config = load_config(SynthesizeConfig, find_recipe(file) if file is not None else None, [*overrides, *more])
    changes: dict[str, Any] = {}
    schedule = config.schedule
    if temperature is not None or top_p is not None:
        one = {"temperature": temperature, "top_p": top_p}
        values = {key: value for key, value in one.items() if value is not None}
        schedule = (SliceConfig(count=n or config.count, **values),)
    prompts = library_prompts(domains, language=language)
    if prompts:
        changes["systems"] = prompts
        schedule = tuple(one.model_copy(update={"mix": True, "system": ""}) for one in schedule)
    if n is not None:
        schedule = _scaled(schedule, n)
    if schedule != config.schedule:
        changes["schedule"] = schedule
    return config.model_copy(update=changes)


def as_typed(verb: str, context: Any) -> str:
    """The command line of an invocation, with the options that were given, so that a page's command repeats its run.

    Args:
        verb: ``agora synthesize run``.
        context: the command's context.
    """
    words = [verb]
    for option in context.command.params:
        if getattr(context.get_parameter_source(option.name), "name", "") != "COMMANDLINE" or option.name in (
            "json",
            "as_json",
        ):
            continue
        value = context.params[option.name]
        flag = max(option.opts, key=len)
        if isinstance(value, bool):
            words.append(flag if value else (option.secondary_opts or [flag])[0])
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [flag, shlex.quote(str(one))] if flag.startswith("-") else [shlex.quote(str(one))]
    return " ".join(words)


_KEYS = {"max_tokens": "draw.max_tokens"}


def _scaled(schedule: Sequence[SliceConfig], n: int) -> tuple[SliceConfig, ...]:
    """The same proportions with ``n`` samples in all."""
    total = sum(one.count for one in schedule) or len(schedule)
    ends, running = [0], 0
    for one in schedule:
        running += one.count or (1 if total == len(schedule) else 0)
        ends.append(round(n * running / total))
    return tuple(
        one.model_copy(update={"count": high - low}) for one, low, high in zip(schedule, ends, ends[1:], strict=False)
    )
