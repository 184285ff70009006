"""Derive the prefix of a model from its own chat template: what it sees before the first word of a user.

The derivation renders conversations whose texts are sentinels and cuts at them, so it needs no table of models
(arXiv:2406.08464 keeps one by hand). Everything here happens before any weights are loaded.
"""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, NamedTuple

from agora.core.errors import ConfigError
from agora.rooms.synthesize.chat_template import ChatTemplate, TemplateRefusedError
from agora.rooms.synthesize.header import user_header
from agora.rooms.synthesize.sources import Source, open_source
from agora.rooms.synthesize.tokens import PROBES, TokenPart, token_part
from agora.rooms.synthesize.types import PrefixTemplate

MODES = ("template", "bare", "system:TEXT", "custom:STRING")
OTHER_MODES_HINT = "pass mode custom:STRING with the text before a user's words, or another --chat-template"


def derive_prefix(
    source: Any,
    *,
    mode: str = "template",
    chat_template: str | None = None,
    special_tokens: Mapping[str, str] | None = None,
    clock: date | str | None = None,
    stop_ids: Sequence[int] = (),
) -> PrefixTemplate:
    """Derive what a model sees before and after a user's text.

    Args:
        source: an opened :class:`~agora.rooms.synthesize.sources.Source`; a transformers tokenizer; a folder that holds
            one; ``hf:NAME-OR-PATH``; ``microcosm:chat``; or a chat template (Jinja text, or the path of a ``.jinja``
            file), which gives text but no token ids.
        mode: ``template`` (what the template gives, its default system block included), ``bare`` (BOS and the user
            header only), ``system:TEXT`` or ``custom:STRING`` (the prefix itself).
        chat_template: Jinja text used in place of the tokenizer's own.
        special_tokens: ``bos_token`` and others, over those of the source.
        clock: the date that templates with a clock print (ISO text or date); today (UTC) when None.
        stop_ids: further ids that end a turn.

    Raises:
        ConfigError: there is no template, it drops, repeats or rewrites the user's text, or it lacks
            what the mode asks for.
        MissingError: the folder or model is not there.

    Example:
        >>> derive_prefix("{{ bos_token }}USER: {{ messages[-1].content }} ASSISTANT:").prefix
        'USER: '
    """
    kind, text = _parse_mode(mode)
    opened = open_source(source, chat_template=chat_template, special_tokens=special_tokens)
    shape = _shape(opened, clock) if opened.template is not None or kind != "custom" else None
    if shape is None:
        prefix, post_query, warnings = text, "", ["no chat template: only special tokens end a turn"]
    else:
        prefix, post_query = _halves_for(shape, kind, text, opened.name)
        warnings = list(shape.warnings)
    if kind == "custom" and "\\n" in text:
        warnings.append(r"the custom prefix holds a backslash and an n (\n), not a line break")
    prefix, repeated = _single_bos(prefix, opened.special_tokens.get("bos_token", ""))
    warnings += ["the template writes BOS twice; sent once"] if repeated else []
    part = token_part(opened, prefix, post_query, lead_in=shape.lead_in if shape else None, more_stop_ids=stop_ids)
    return _record(opened, mode, prefix, post_query, shape, part, tuple(warnings) + part.warnings)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the renderings of a template tell, apart from the mode."""

    template: ChatTemplate
    parts: bool
    prefix: str
    post_query: str
    system: str
    prefix_with_system: str | None
    lead_in: str | None
    after_assistant: str | None
    preserving: bool
    warnings: tuple[str, ...]


def _day(clock: date | str | None) -> date | None:
    try:
        return date.fromisoformat(clock) if isinstance(clock, str) else clock
    except ValueError as error:
        raise ConfigError(f"clock must be a date as YYYY-MM-DD, got {clock!r}") from error


class _Halves(NamedTuple):
    before: str
    after: str


def _parse_mode(mode: str) -> tuple[str, str]:
    kind, colon, text = mode.partition(":")
    if kind in ("template", "bare") and not colon:
        return kind, ""
    if kind in ("system", "custom") and text:
        return kind, text
    raise ConfigError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")


def sentinel(seed: int, length: int = 16) -> str:
    """Random letters and digits that start and end with a letter: no template trims or splits them."""
    rng = random.Random(f"sentinel {seed}")
    inner = "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(length - 2))
    return rng.choice(string.ascii_letters) + inner + rng.choice(string.ascii_letters)


FIRST, SECOND, SYSTEM, EARLIER, ANSWER = (sentinel(seed) for seed in range(5))


def _shape(opened: Source, clock: date | str | None) -> _Shape:
    if opened.template is None:
        raise ConfigError(
            "the tokenizer has no chat template",
            where=opened.name,
            hint="pass mode custom:STRING with the text before a user's words, or --chat-template FILE",
        )
    template = ChatTemplate(opened.template, opened.special_tokens, clock=_day(clock), name=opened.name)
    parts = _content_format(template)
    halves = _split(template, [("user", FIRST)], FIRST, parts)
    _check_independent(template, halves, parts)
    system, with_system = _system_support(template, parts)
    lead_in, after, preserving = _later_turns(template, parts)
    warnings = () if lead_in is not None else ("the template renders no second user turn",)
    if lead_in is not None and not preserving:
        warnings = ("earlier turns change when a turn is added: later turns must be rendered whole",)
    return _Shape(
        template, parts, halves.before, halves.after, system, with_system, lead_in, after, preserving, warnings
    )


def _content_format(template: ChatTemplate) -> bool:
    """Whether content must be a list of parts: the plain string is rejected or does not show up."""
    refusals: list[str] = []
    for parts in (False, True):
        try:
            count = template.render([("user", FIRST)], generation=True, parts=parts).count(FIRST)
        except TemplateRefusedError as refusal:
            refusals.append(str(refusal))
            continue
        if count > 1:
            raise ConfigError(
                f"the chat template repeats the user's text {count} times", where=template.name, hint=OTHER_MODES_HINT
            )
        if count == 1:
            return parts
        refusals.append("the user's text does not appear")
    raise ConfigError(
        f"the chat template does not render a user turn: {refusals[0]}", where=template.name, hint=OTHER_MODES_HINT
    )


def _split(template: ChatTemplate, turns: list[tuple[str, str]], text: str, parts: bool) -> _Halves:
    before, _, after = template.render(turns, generation=True, parts=parts).rpartition(text)
    return _Halves(before, after)


def _check_independent(template: ChatTemplate, halves: _Halves, parts: bool) -> None:
    for probe in (SECOND, *PROBES):
        try:
            rendered = template.render([("user", probe)], generation=True, parts=parts)
        except TemplateRefusedError as refusal:
            rendered = str(refusal)
        if rendered != halves.before + probe + halves.after:
            raise ConfigError(
                f"the prefix depends on content: it differs when the user writes {probe!r}",
                where=template.name,
                hint=OTHER_MODES_HINT,
            )


def _system_support(template: ChatTemplate, parts: bool) -> tuple[str, str | None]:
    try:
        rendered = template.render([("system", SYSTEM), ("user", FIRST)], generation=True, parts=parts)
    except TemplateRefusedError as refusal:
        return f"error: {refusal}", None
    before, _, after = rendered.rpartition(FIRST)
    if SYSTEM in before:
        return "yes", before.replace(SYSTEM, "{system}")
    return ("error: the system text is rendered after the user's" if SYSTEM in after else "dropped"), None


def _later_turns(template: ChatTemplate, parts: bool) -> tuple[str | None, str | None, bool]:
    """(text between an answer and the next user's words, text after a last answer, whether earlier turns stay)."""
    history = [("user", EARLIER), ("assistant", ANSWER)]
    try:
        cut = _split(template, [*history, ("user", FIRST)], FIRST, parts).before
    except TemplateRefusedError:
        return None, None, False
    if ANSWER not in cut:
        return None, None, False
    lead_in = cut.rpartition(ANSWER)[2]
    try:
        closed = template.render(history, generation=False, parts=parts)
    except TemplateRefusedError:
        return lead_in, None, False
    return lead_in, closed.rpartition(ANSWER)[2], cut.startswith(closed)


def _halves_for(shape: _Shape, kind: str, text: str, name: str) -> tuple[str, str]:
    """(prefix, post-query) in one mode."""
    if kind == "custom":
        return text, shape.post_query
    if kind == "bare":
        bos = shape.template.special_tokens.get("bos_token", "")
        header = user_header(shape.prefix, shape.post_query, shape.lead_in, shape.after_assistant, bos)
        if header is None:
            raise ConfigError(
                "mode bare: the user header cannot be told from the end of the answer before it",
                where=name,
                hint="pass mode template, or custom:STRING",
            )
        return header, shape.post_query
    if kind == "system":
        if shape.system != "yes":
            why = "drops it silently" if shape.system == "dropped" else shape.system.removeprefix("error: ")
            raise ConfigError(
                f"the chat template takes no system prompt ({why})",
                where=name,
                hint="pass mode template, or put the text into custom:STRING",
            )
        try:
            halves = _split(shape.template, [("system", text), ("user", FIRST)], FIRST, shape.parts)
        except TemplateRefusedError as refusal:
            raise ConfigError(f"the chat template refuses this system prompt: {refusal}", where=name) from refusal
        return halves.before, halves.after
    return shape.prefix, shape.post_query


def _single_bos(prefix: str, bos: str) -> tuple[str, bool]:
    repeated = False
    while bos and prefix.startswith(bos + bos):
        prefix, repeated = prefix[len(bos) :], True
    return prefix, repeated


def _record(
    opened: Source,
    mode: str,
    prefix: str,
    post_query: str,
    shape: _Shape | None,
    part: TokenPart,
    warnings: tuple[str, ...],
) -> PrefixTemplate:
    return PrefixTemplate(
        model=opened.name,
        mode=mode,
        prefix=prefix,
        post_query=post_query,
        sent_text=part.sent_text,
        prefix_ids=part.prefix_ids,
        stop_ids=part.stop_ids,
        stop_strings=part.stop_strings,
        supports_system=shape.system if shape else "unknown",
        prefix_with_system=shape.prefix_with_system if shape else None,
        prefix_preserving=shape.preserving if shape else False,
        later_user_turn_lead_in=shape.lead_in if shape else None,
        content_format="parts" if shape and shape.parts else "string",
        bos_token=opened.special_tokens.get("bos_token", ""),
        clock=shape.template.clock.isoformat() if shape and shape.template.clock_read else None,
        template_sha=sha256(opened.template.encode()).hexdigest() if opened.template is not None else None,
        tokenizer_sha=part.tokenizer_sha,
        markdown_ids=part.markdown_ids,
        warnings=warnings,
    )
