"""Sizes of texts in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Counts the tokens of a text; only the name goes to another process, each loads the tokenizer once.

    Args:
        name: a folder or a published name.

    Raises:
        AgoraError: the tokenizer cannot be loaded.
    """

    name: str

    def __post_init__(self) -> None:
        _tokenizer(self.name)

    def __call__(self, text: str) -> int:
        """How many tokens a text has, without special ones."""
        return len(_tokenizer(self.name).encode(text, add_special_tokens=False))


@lru_cache(maxsize=4)
def _tokenizer(name: str) -> Any:
    from agora.engines._load import load_tokenizer

    return load_tokenizer(name)
