"""A hard limit on what a job may spend."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from agora.core.errors import BudgetError, ConfigError
from agora.engines.types import Usage


@dataclass(slots=True)
class Budget:
    """Tokens and money, shared by every engine it is given to.

    It is checked before each call and before each answer is handed on: once a limit is reached no call is begun. Calls
    that are in flight at that moment are paid for and kept, so a server can overshoot by at most those.

    Args:
        max_tokens: prompt and completion tokens together; None: no limit.
        max_cost_usd: US dollars; None: no limit.
    """

    max_tokens: int | None = None
    max_cost_usd: float | None = None
    spent_tokens: int = 0
    spent_usd: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, limit in (("max_tokens", self.max_tokens), ("max_cost_usd", self.max_cost_usd)):
            if limit is not None and not limit >= 0:
                raise ConfigError(f"{name} must be at least 0, got {limit}")

    def add(self, usage: Usage) -> None:
        """Count one call's usage."""
        with self._lock:
            self.spent_tokens += usage.prompt_tokens + usage.completion_tokens
            self.spent_usd += usage.cost_usd

    @property
    def reached(self) -> str | None:
        """Which limit is reached, in words; None while there is something left."""
        if self.max_tokens is not None and self.spent_tokens >= self.max_tokens:
            return f"{self.spent_tokens:,} of {self.max_tokens:,} tokens are spent"
        if self.max_cost_usd is not None and self.spent_usd >= self.max_cost_usd:
            return f"${self.spent_usd:.4f} of ${self.max_cost_usd:.4f} is spent"
        return None

    def check(self) -> None:
        """Raise BudgetError if a limit is reached."""
        if self.reached:
            raise BudgetError(f"the budget is used up: {self.reached}", hint="raise the limit and run again to go on")
