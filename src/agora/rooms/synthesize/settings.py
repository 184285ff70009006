"""What ``agora synthesize run`` does: one small value, from a YAML file and options."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from agora.core.config import Config
from agora.core.errors import ConfigError
from agora.rooms.synthesize.self_instruct import SelfInstruct
from agora.rooms.synthesize.systems import SystemPrompt, mixture
from agora.rooms.synthesize.types import DrawSettings, Slice


class SliceConfig(Config):
    """One row of the decoding schedule; see :class:`agora.rooms.synthesize.Slice`."""

    name: str = Field("", description="default: temperature and top-p")
    count: int = Field(ge=0, description="samples to draw")
    temperature: float = 1.0
    top_p: float = 1.0
    system: str = Field("", description='key of one system prompt; "" is the template as it is')
    mix: bool = Field(False, description="draw each sample's system prompt from all of them, by weight")

    @property
    def full_name(self) -> str:
        """The name, or one made of what sets the slice apart."""
        more = f"-{self.system}" if self.system else "-mix" if self.mix else ""
        return self.name or f"t{self.temperature:g}-p{self.top_p:g}{more}"


class AnswerConfig(Config):
    """How kept instructions are answered: greedily, unless told otherwise (arXiv:2406.08464, section 3)."""

    model: str | None = Field(None, description="engine URI; the drawn-from model when None")
    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(4096, ge=1)
    keep_truncated: bool = False


class Expected(Config):
    """How long texts are expected to be; for plans alone, it changes nothing that is drawn."""

    instruction_tokens: float = Field(50.0, gt=0, description="mean")
    answer_tokens: float = Field(400.0, gt=0, description="mean")
    kept: float = Field(1.0, gt=0, le=1, description="share of the instructions that is answered")

    @property
    def given(self) -> bool:
        """Whether the lengths were stated."""
        return {"instruction_tokens", "answer_tokens"} <= self.model_fields_set


class SynthesizeConfig(Config):
    """One synthesis run: what is drawn from, by which schedule, and how it is answered."""

    model: str = Field("microcosm:chat", description="aligned model that instructions are drawn from (engine URI)")
    tokenizer: str | None = Field(None, description="tokenizer of a model that is served elsewhere")
    chat_template: str | None = Field(None, description="Jinja file used in place of the tokenizer's own")
    mode: str = Field("template", description="template, bare, system:TEXT or custom:STRING")
    clock: str | None = Field(None, description="date that templates print, YYYY-MM-DD; the day of the first start")
    seed: int = 0
    schedule: tuple[SliceConfig, ...] = (SliceConfig(count=1000),)
    systems: dict[str, SystemPrompt] = Field(default_factory=dict, description="system prompts by key")
    draw: DrawSettings = DrawSettings()
    deduplicate: float | None = Field(
        0.6, ge=0.5, le=1, description="char-5 Jaccard at which a draw repeats a kept one; null keeps repeats"
    )
    filter: str | None = Field(
        None, description="conditions in the language of `agora curate filter`; what fails is never answered"
    )
    probe: bool = Field(True, description="try the prefix on 8 short texts before any work")
    answers: AnswerConfig | None = AnswerConfig()
    self_instruct: SelfInstruct | None = Field(
        None, description="write tasks from seeds in place of drawing; the schedule's count says how many to keep"
    )
    expected: Expected = Expected()

    @field_validator("draw", mode="before")
    @classmethod
    def _no_seed_of_its_own(cls, value: Any) -> Any:
        if isinstance(value, dict) and "seed" in value:
            raise ConfigError("the seed of a run stands at its top", where="draw.seed", hint="write seed: N")
        return value

    @model_validator(mode="after")
    def _keys_are_known(self) -> SynthesizeConfig:
        for one in self.schedule:
            if one.system and one.system not in self.systems:
                known = ", ".join(self.systems) or "none"
                raise ConfigError(f"no system prompt {one.system!r} (known: {known})", where=f"slice {one.full_name}")
            if one.mix and not self.systems:
                raise ConfigError("mix needs system prompts", where=f"slice {one.full_name}", hint="give systems:")
        if self.filter is not None:
            from agora.rooms.synthesize.online_filter import parse_conditions

            parse_conditions(self.filter)
        return self

    def slices(self) -> tuple[Slice, ...]:
        """The schedule as the drawing takes it."""
        mixed = mixture(self.systems)
        return tuple(
            Slice(one.full_name, one.count, one.temperature, one.top_p, one.system, mixed if one.mix else ())
            for one in self.schedule
        )

    @property
    def count(self) -> int:
        """Samples of the whole schedule."""
        return sum(one.count for one in self.schedule)
