"""The values of this room: the prefix of a model, the decoding schedule, and how to draw.

Source: "Magpie: Alignment Data Synthesis from Scratch by Prompting Aligned LLMs with Nothing" (arXiv:2406.08464).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from agora.core.errors import ConfigError, DataError
from agora.core.json_text import clean_text
from agora.rooms.synthesize.header import CONTROL

if TYPE_CHECKING:
    from agora.engines.types import Generation

# what the cleaner may say against a text, most telling first; "empty" is no opinion and cannot be ignored
FLAGS = (
    "role_leakage", "assistant_voice", "self_answering", "step_heading", "unfinished", "odd_code_fences", "repetition",
    "non_printing", "too_short", "too_long",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PrefixTemplate:
    """Everything a model sees before (``prefix``) and after (``post_query``) a user's text.

    ``prefix_ids`` is what goes to the engine; it may end before ``prefix`` does, because a trailing space that would
    merge with the first word is left for the model to write. ``sent_text`` is the text of ``prefix_ids``. Without a
    tokenizer the ids are None and ``sent_text`` equals ``prefix``.
    """

    SCHEMA: ClassVar[str] = "prefix_template/1"
    model: str
    mode: str  # template | bare | system:TEXT | custom:STRING
    prefix: str
    post_query: str
    sent_text: str
    prefix_ids: tuple[int, ...] | None = None
    stop_ids: tuple[int, ...] = ()
    stop_strings: tuple[str, ...] = ()
    supports_system: str = "unknown"  # yes | dropped | unknown | "error: " and the template's own words
    prefix_with_system: str | None = None  # holds "{system}" where the system text goes
    prefix_preserving: bool = False
    later_user_turn_lead_in: str | None = None
    content_format: str = "string"  # string | parts (a list of {"type": "text", "text": ...})
    bos_token: str = ""
    clock: str | None = None  # ISO date the template printed; None when it prints none
    template_sha: str | None = None
    tokenizer_sha: str | None = None
    markdown_ids: tuple[int, ...] = ()  # tokens that are nothing but #, *, - or backticks
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as JSON-ready values, ``ref`` included; :meth:`from_json` reads it back."""
        row = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {"schema": self.SCHEMA, "ref": self.ref, **row}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> PrefixTemplate:
        """Read :meth:`to_json` back.

        Raises:
            DataError: a field is unknown or missing, or the content does not match the stored ``ref``.
        """
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in row.items() if k not in ("schema", "ref")
        }
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise DataError(f"unknown field {unknown[0]!r} in a {cls.SCHEMA} record")
        try:
            template = cls(**values)
        except TypeError as error:
            raise DataError(f"not a {cls.SCHEMA} record: {error}") from error
        if "ref" in row and row["ref"] != template.ref:
            raise DataError(
                f"a {cls.SCHEMA} record does not match its ref {row['ref']}", hint="derive the prefix again"
            )
        return template

    @property
    def debris(self) -> tuple[str, ...]:
        """The template's own control tokens, which are no part of an instruction."""
        found = CONTROL.findall(self.prefix + self.post_query)
        return tuple(dict.fromkeys([*found, *([self.bos_token] if self.bos_token else [])]))

    @property
    def ref(self) -> str:
        """sha256 (hex) of the record's canonical JSON; samples point here."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Slice:
    """One row of a decoding schedule: ``count`` samples at one setting.

    Args:
        name: part of every sample's id and seed; unique in the schedule.
        count: samples to draw, at least 0.
        temperature: above 0 (temperature 0 would write the same instruction ``count`` times).
        top_p: in (0, 1].
        system: key of the system prompt used, "" for the template as it is.
        systems: (key, weight) pairs; each sample draws its own key by weight, from its own seed. Replaces ``system``.
    """

    name: str
    count: int
    temperature: float = 1.0
    top_p: float = 1.0
    system: str = ""
    systems: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        where = f"slice {self.name!r}"
        if self.systems and (min(w for _, w in self.systems) < 0 or sum(w for _, w in self.systems) <= 0):
            raise ConfigError("weights of system prompts must be at least 0 and not all 0", where=where)
        if self.count < 0:
            raise ConfigError(f"count must be at least 0, got {self.count}", where=where)
        if not self.temperature > 0:
            raise ConfigError(
                f"temperature must be above 0 to draw instructions, got {self.temperature}",
                where=where,
                hint="at temperature 0 every sample is the same; the paper draws at 1.0 to 1.25",
            )
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be in (0, 1], got {self.top_p}", where=where)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key of a system prompt that a sample of this slice may have."""
        return tuple(key for key, weight in self.systems if weight > 0) if self.systems else (self.system,)

    def key_at(self, share: float) -> str:
        """The key whose part of the weights, laid end to end and scaled to 1, holds ``share``, in [0, 1).

        Weights need not sum to 1: 0.7, 0.2 and 0.1 do not in floating point.
        """
        keys, left = self.keys, share * sum(weight for _, weight in self.systems)
        for key, weight in self.systems:
            if weight > 0 and left < weight:
                return key
            left -= weight
        return keys[-1]


@dataclass(frozen=True, slots=True)
class DrawSettings:
    """How to draw, apart from the schedule.

    Args:
        seed: of the run; each sample's own seed is made from it, the slice's name and the index.
        max_tokens: longest instruction in tokens; longer ones are cut, marked ``length`` and not kept.
        max_chars: longest instruction in characters that is not flagged ``too_long``.
        no_markdown: forbid a first token that is only ``#``, ``*``, ``-`` or backticks.
        first_token_temperature: divides the logits of the first token (1.2 is the reference's flat first token).
        stop_on_newline: end an instruction at its first newline (cuts 22.8 % of real hard prompts; off by default).
        cut_at_answer: cut a self-answered instruction at its answer marker instead of setting it aside.
        ignore_flags: flags of the cleaner that are recorded and set nothing aside.
        check_first: look at this many samples first and stop when they look wrong; 0 never stops.
        fresh_floor: stop a slice when less than this share of the last ``fresh_window`` clean samples is new.
        fresh_window: samples, at least 1.
        keep_system: keep the system prompt as the first message of the sample.
    """

    seed: int = 0
    max_tokens: int = 2048
    max_chars: int = 16_000
    no_markdown: bool = False
    first_token_temperature: float = 1.0
    stop_on_newline: bool = False
    cut_at_answer: bool = False
    ignore_flags: tuple[str, ...] = ()
    check_first: int = 200
    fresh_floor: float = 0.5
    fresh_window: int = 2000
    keep_system: bool = False

    def __post_init__(self) -> None:
        rules = {
            "max_tokens": (self.max_tokens >= 1, "at least 1"),
            "max_chars": (self.max_chars >= 1, "at least 1"),
            "first_token_temperature": (self.first_token_temperature > 0, "above 0"),
            "check_first": (self.check_first >= 0, "at least 0"),
            "fresh_floor": (0 <= self.fresh_floor <= 1, "in [0, 1]"),
            "fresh_window": (self.fresh_window >= 1, "at least 1"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ConfigError(f"{name} must be {rule}, got {getattr(self, name)}")
        unknown = sorted(set(self.ignore_flags) - set(FLAGS))
        if unknown:
            raise ConfigError(f"unknown flag {unknown[0]!r} in ignore_flags; known: {', '.join(FLAGS)}")


@dataclass(frozen=True, slots=True)
class AnswerDraw:
    """What an engine answered to one sample, as it is kept on disk while a run goes on."""

    SCHEMA: ClassVar[str] = "answer_draw/1"
    id: str  # of the sample
    asked: str  # hash of the messages and the sampling: an answer to another question is never reused
    text: str
    finish_reason: str
    stopped_by: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @classmethod
    def of(cls, generation: Generation, asked: str) -> AnswerDraw:
        """What an engine gave, its text freed of what no file could hold."""
        return cls(
            id=generation.id,
            asked=asked,
            text=clean_text(generation.text),
            finish_reason=generation.finish_reason,
            stopped_by=generation.stopped_by,
            prompt_tokens=generation.usage.prompt_tokens,
            completion_tokens=generation.usage.completion_tokens,
        )


class OnlineIndex(Protocol):
    """What the online de-duplication needs: add a text, hear whether one like it is already there."""

    def add(self, id: str, text: str, /) -> object | None:
        """The match among the texts added before, or None when the text is new (and now added)."""
