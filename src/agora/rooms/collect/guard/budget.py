"""The day's budget in tokens and money: charged before the model is asked, corrected when the reply's cost is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from agora.rooms.collect.guard.settings import BudgetSettings
from agora.site.refusals import RefusalError
from agora.store.spending import seconds_left, spend, spent, today

_MICRO = 1_000_000  # money is counted in millionths: integers add up without error


@dataclass(frozen=True, slots=True)
class Charge:
    """What a reply was charged before it began: estimated tokens of the prompt, the longest reply, and the day."""

    prompt: int
    reply: int
    day: int


@dataclass(frozen=True, slots=True)
class State:
    """The day so far. ``share`` is of the bound that is nearest, 0 without a bound."""

    tokens: int
    money: float
    share: float
    soft: bool


class Budget:
    """The operator's bounds over the store's sums.

    Args:
        settings: the bounds and prices.
    """

    def __init__(self, settings: BudgetSettings) -> None:
        self.settings = settings

    def charge(self, connection: Connection, prompt: int, reply: int) -> Charge:
        """Charge a reply that is about to begin, at its longest.

        Raises:
            RefusalError: ``budget_exhausted``: it does not fit into the day; the caller's transaction is undone.
        """
        day = today()
        sums = spend(connection, self._amounts(prompt, reply), day)
        if self._share(sums) > 1:
            raise RefusalError(
                "budget_exhausted",
                "the budget of the day is spent; the chat is open again after midnight UTC",
                503,
                retry_after_s=seconds_left(),
            )
        return Charge(prompt, reply, day)

    def settle(self, connection: Connection, charge: Charge, usage: Mapping[str, int], written_tokens: int) -> None:
        """Correct a charge to what the reply cost.

        Args:
            connection: of the transaction that keeps the reply's end.
            charge: from :meth:`charge`.
            usage: as the model told it; empty when it told nothing.
            written_tokens: an estimate of the reply's, for that case.
        """
        prompt = usage.get("prompt_tokens", charge.prompt)
        reply = usage.get("completion_tokens", written_tokens)
        before, after = self._amounts(charge.prompt, charge.reply), self._amounts(prompt, reply)
        spend(connection, {kind: after[kind] - before[kind] for kind in after}, charge.day)

    def state(self, connection: Connection) -> State:
        """The day so far."""
        sums = spent(connection, today())
        share = self._share(sums)
        return State(sums.get("tokens", 0), sums.get("micros", 0) / _MICRO, share, share >= self.settings.soft_share)

    def _amounts(self, prompt: int, reply: int) -> dict[str, int]:
        # prices are for a million tokens, so tokens times price is millionths of the currency
        micros = round(prompt * self.settings.prompt_price + reply * self.settings.reply_price)
        return {"micros": micros, "tokens": prompt + reply}

    def _share(self, sums: Mapping[str, int]) -> float:
        tokens, money = self.settings.tokens_per_day, self.settings.money_per_day
        by_tokens = sums.get("tokens", 0) / tokens if tokens else 0.0
        by_money = sums.get("micros", 0) / (money * _MICRO) if money else 0.0
        return max(by_tokens, by_money)
