"""The programs' interface to the proof of work."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from agora.rooms.collect.api import Consented, TheChat
from agora.rooms.collect.guard.proof import keep_proof, make_challenge

router = APIRouter(prefix="/api/v1")


class ProofBody(BaseModel):
    """A solved challenge."""

    model_config = ConfigDict(extra="forbid")

    challenge: str = Field(max_length=200)
    number: str = Field(max_length=20, pattern="^[0-9]+$")


@router.get("/proof")
async def challenge(chat: TheChat, subject: Consented) -> Any:
    """The puzzle before a first message; ``challenge`` is null for a visit that has to solve none.

    Find a number, written in decimal, such that the SHA-256 of ``CHALLENGE:NUMBER`` begins with ``bits`` zero bits.
    """
    keys, abuse = chat.store.keys, chat.settings.abuse
    made = await chat.read(lambda c: make_challenge(c, keys, abuse, subject.id))
    return {"challenge": made.text if made else None, "bits": made.bits if made else 0, "algorithm": "sha256"}


@router.post("/proof")
async def solved(body: ProofBody, chat: TheChat, subject: Consented) -> Any:
    """Hand in the number."""
    keys = chat.store.keys
    await chat.write(lambda c: keep_proof(c, keys, subject.id, body.challenge, body.number))
    return {"proved": True}
