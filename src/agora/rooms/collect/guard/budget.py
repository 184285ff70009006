"""The day's budget in tokens and money: charged before the model is asked, corrected when the reply's cost is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from agora.rooms.collect.guard.context import estimate_tokens
from agora.rooms.collect.guard.settings import BudgetSettings
from agora.rooms.collect.guard.tables import CHARGES
from agora.site.refusals import RefusalError
from agora.store.prepared import Prepared
from agora.store.spending import seconds_left, spend, spent, today

_MICRO = 1_000_000  # money is counted in millionths: integers add up without error
_OF = CHARGES.c.message_id == bindparam("reply_id")
_OPEN = Prepared(insert(CHARGES), [column.name for column in CHARGES.c])
_LOOK = Prepared(select(CHARGES.c.prompt, CHARGES.c.reply, CHARGES.c.day).where(_OF))
_CLOSE = Prepared(delete(CHARGES).where(_OF))
_KEEP_DAYS = 2


@dataclass(frozen=True, slots=True)
class Charge:
    """What a reply was charged before it began: estimated tokens of the prompt, the longest reply, and the day."""

    reply_id: str
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

    def charge(self, connection: Connection, reply_id: str, prompt: int, reply: int) -> Charge:
        """Charge a reply that is about to begin, at its longest.

        Args:
            connection: of a transaction that writes.
            reply_id: the message that will hold it.
            prompt: estimated tokens.
            reply: most tokens.

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
        if self._bounded:  # otherwise nobody waits for what a dead process leaves
            row = {"message_id": reply_id, "day": day, "prompt": prompt, "reply": reply}
            _OPEN.run(connection, {**row, "reply_price": self.settings.reply_price})
        return Charge(reply_id, prompt, reply, day)

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
        held = _LOOK.run(connection, {"reply_id": charge.reply_id}).fetchone() if self._bounded else None
        if held is not None:  # less than was charged first, where this process was given up for dead
            charge = Charge(charge.reply_id, *held)
            _CLOSE.run(connection, {"reply_id": charge.reply_id})
        before, after = self._amounts(charge.prompt, charge.reply), self._amounts(prompt, reply)
        spend(connection, {kind: after[kind] - before[kind] for kind in after}, charge.day)

    def state(self, connection: Connection) -> State:
        """The day so far."""
        sums = spent(connection, today())
        share = self._share(sums)
        return State(sums.get("tokens", 0), sums.get("micros", 0) / _MICRO, share, share >= self.settings.soft_share)

    @property
    def _bounded(self) -> bool:
        return self.settings.tokens_per_day is not None or self.settings.money_per_day is not None

    def _amounts(self, prompt: int, reply: int) -> dict[str, int]:
        # prices are for a million tokens, so tokens times price is millionths of the currency
        micros = round(prompt * self.settings.prompt_price + reply * self.settings.reply_price)
        return {"micros": micros, "tokens": prompt + reply}

    def _share(self, sums: Mapping[str, int]) -> float:
        tokens, money = self.settings.tokens_per_day, self.settings.money_per_day
        by_tokens = sums.get("tokens", 0) / tokens if tokens else 0.0
        by_money = sums.get("micros", 0) / (money * _MICRO) if money else 0.0
        return max(by_tokens, by_money)


def give_back_unwritten(connection: Connection, interrupted: Iterable[tuple[str, str]]) -> None:
    """Correct what dead processes charged to the text that there is.

    A process that was given up too early and ends its reply after all corrects it once more.

    Args:
        connection: of a transaction that writes.
        interrupted: replies that nobody writes any more: id and text so far.
    """
    texts = dict(interrupted)
    c = CHARGES.c
    for row in connection.execute(select(CHARGES).where(c.message_id.in_(list(texts)))).all():
        written = min(row.reply, estimate_tokens(texts[row.message_id]))
        left = row.reply - written
        spend(connection, {"micros": -round(left * row.reply_price), "tokens": -left}, row.day)
        connection.execute(update(CHARGES).where(c.message_id == row.message_id).values(reply=written))


def forget_charges(connection: Connection) -> None:
    """Drop the charges of replies that nobody will end any more."""
    connection.execute(delete(CHARGES).where(CHARGES.c.day < today() - _KEEP_DAYS))
