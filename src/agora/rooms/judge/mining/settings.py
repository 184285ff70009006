"""What a conversation must be like to become a task, and how many tasks of which kind are wanted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from agora.core.config import Config
from agora.core.errors import ConfigError
from agora.rooms.judge.types import GROUPS

#: The twelve task categories, in the order of their groups.
TAGS: tuple[str, ...] = tuple(tag for tags in GROUPS.values() for tag in tags)


class MineSettings(Config):
    """The rules of one mining run (WildBench, arXiv:2406.04770, section 2.1). The defaults are the paper's where it
    states one; it does not say which tokenizer counted, nor how large the part is that stays private.
    """

    request: Literal["last", "last_workable"] = Field(
        "last", description="which user turn is the task: the last, or the last that is not too short (thanks are left)"
    )
    min_tokens: int = Field(10, ge=1, description="of the last user turn")
    max_tokens: int = Field(3000, ge=1, description="of the last user turn")
    tokenizer: str = Field(
        "pieces", description="what counts: pieces (words, signs, CJK characters), hf:FOLDER, microcosm:chat"
    )
    max_turns: int = Field(5, ge=1, description="user turns")
    language: str | None = Field(
        "English", description="name or code of the language; None: any; rows that state none pass"
    )
    toxic: Literal["drop", "keep"] = Field("drop", description="conversations that their source flags as toxic")
    personal_data: Literal["drop", "flag", "keep"] = Field(
        "drop", description="what has a shape in a user turn: addresses, numbers, keys (see agora curate personal)"
    )
    near_duplicate_jaccard: float = Field(0.8, ge=0.5, le=1, description="of character 5-grams of the last user turns")
    embedding_cosine: float = Field(0.9, gt=0, le=1, description="used when an embedder is given")
    one_per_user: bool = Field(True, description="keep the last conversation of each user that the log tells apart")
    max_tasks: int = Field(1500, ge=1, description="tasks handed to review")
    pool: int | None = Field(None, ge=1, description="tasks that are rated; default three times max_tasks")
    mix: Literal["original"] | dict[str, float] = Field(
        "original", description="shares by category or group; original: those of the rated tasks before easy ones go"
    )
    private_share: float = Field(0.2, ge=0, le=1, description="of the tasks, never published")
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> MineSettings:
        if self.min_tokens > self.max_tokens:
            raise ConfigError(f"min_tokens must be at most max_tokens, got {self.min_tokens} and {self.max_tokens}")
        if isinstance(self.mix, dict):
            unknown = sorted(set(self.mix) - set(TAGS) - set(GROUPS))
            if unknown:
                hint = f"categories: {', '.join(TAGS)}; groups: {', '.join(GROUPS)}"
                raise ConfigError(f"mix names no category or group: {', '.join(unknown)}", hint=hint)
            if min(self.mix.values(), default=0.0) < 0 or sum(self.mix.values()) <= 0:
                raise ConfigError("the shares of mix must be at least 0, and one above 0")
        return self

    @property
    def pool_size(self) -> int:
        """How many tasks are rated at most."""
        return self.pool if self.pool is not None else 3 * self.max_tasks
