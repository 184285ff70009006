"""What the operator decides about costs and abuse. The texts that people read are made from these values."""

from __future__ import annotations

from pydantic import Field

from agora.core.config import Config


class BudgetSettings(Config):
    """What a day may cost, midnight to midnight UTC. Without a value there is no bound.

    Args:
        tokens_per_day: prompt and reply together.
        money_per_day: in the currency of the prices.
        prompt_price: for a million tokens that the model reads.
        reply_price: for a million tokens that it writes.
        soft_share: the share of a bound from which the chat page says that little is left.
    """

    tokens_per_day: int | None = Field(default=None, ge=1)
    money_per_day: float | None = Field(default=None, gt=0)
    prompt_price: float = Field(default=0.0, ge=0)
    reply_price: float = Field(default=0.0, ge=0)
    soft_share: float = Field(default=0.8, gt=0, le=1)


class AbuseSettings(Config):
    """What is done against those who come to harm or to harvest.

    Args:
        address_h: hours that network addresses are kept, encrypted; 0 keeps none.
        address_streams: replies that may be written at once for one address.
        proof_bits: leading zero bits of the puzzle before a first message; 0 asks for none. Each bit doubles the work:
            16 take a browser a second or so.
        most_proof_bits: for the riskiest visitor; each doubling of visits from one address in a day adds a bit, and
            each of the two missing headers.
    """

    address_h: int = Field(default=72, ge=0, le=24 * 30)
    address_streams: int = Field(default=8, ge=1)
    proof_bits: int = Field(default=0, ge=0, le=24)
    most_proof_bits: int = Field(default=22, ge=0, le=28)
