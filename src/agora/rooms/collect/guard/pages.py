"""The admins' page: what today cost, who is blocked, and what operators did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from sqlalchemy import Connection, select
from starlette.responses import RedirectResponse, Response

from agora.core.json_text import loads
from agora.rooms.collect.api import TheChat, TheSite
from agora.rooms.collect.tables import CONVERSATIONS
from agora.site.accounts import Admin
from agora.site.refusals import RefusalError
from agora.site.requests import check_form
from agora.store.accounts import list_accounts
from agora.store.addresses import block, list_blocks, reveal_address, unblock
from agora.store.tables import EVENTS, SUBJECTS

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=64)]
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Act:
    """Something an operator did; ``at_us`` is microseconds since 1970, UTC."""

    at_us: int
    who: str
    kind: str
    conversation_id: str | None


@router.get("/admin")
async def admin_page(request: Request, chat: TheChat, site: TheSite, operator: Admin, whom: str = "") -> Response:
    """Budget, blocks and the log."""
    return await _page(request, chat, site, operator, whom=whom[:64])


@router.post("/admin/block")
async def block_address(
    request: Request, chat: TheChat, operator: Admin, whom: Text, days: Text, form_token: Text
) -> Response:
    """Block the address behind a code, or the one that a conversation came from."""
    check_form(request, operator.session, form_token)
    if days not in ("1", "7", "30", "90"):
        raise RefusalError("invalid_request", "days are 1, 7, 30 or 90", 422)

    def run(connection: Connection) -> None:
        block(connection, operator.id, _pseudonym(connection, whom.strip()), int(days))

    await chat.write(run)
    return RedirectResponse("/admin", 303)


@router.post("/admin/unblock")
async def unblock_address(
    request: Request, chat: TheChat, operator: Admin, pseudonym: Text, form_token: Text
) -> Response:
    """End a block."""
    check_form(request, operator.session, form_token)
    await chat.write(lambda c: unblock(c, operator.id, pseudonym))
    return RedirectResponse("/admin", 303)


@router.post("/admin/address")
async def show_address(
    request: Request, chat: TheChat, site: TheSite, operator: Admin, pseudonym: Text, form_token: Text
) -> Response:
    """Show the address behind a code while it is kept; the log says who asked."""
    check_form(request, operator.session, form_token)
    keys = chat.store.keys
    address = await chat.write(lambda c: reveal_address(c, keys, operator.id, pseudonym))
    return await _page(request, chat, site, operator, asked=True, address=address)


async def _page(request: Request, chat: TheChat, site: TheSite, operator: Admin, **values: Any) -> Response:
    shown: dict[str, Any] = {
        "budget": await chat.read(chat.budget.state),
        "bounds": chat.settings.budget,
        "abuse": chat.settings.abuse,
        "blocks": await chat.read(list_blocks),
        "log": await chat.read(acts),
        "live": chat.replies.count,
        "whom": "",
        "asked": False,
        "address": None,
    }
    return site.page(request, "admin.html.j2", session=operator.session, **{**shown, **values})


def acts(connection: Connection, limit: int = _SHOWN) -> list[Act]:
    """What operators did, the newest first."""
    names = {account.id: account.name for account in list_accounts(connection)}
    found = connection.execute(
        select(EVENTS.c.ts_us, EVENTS.c.kind, EVENTS.c.conversation_id, EVENTS.c.payload)
        .where(EVENTS.c.kind.startswith("operator.") | EVENTS.c.kind.startswith("account."))
        .order_by(EVENTS.c.seq.desc())
        .limit(limit)
    )
    told = [(row, loads(row.payload.encode()).get("account", "")) for row in found]
    return [Act(row.ts_us, names.get(who, who), row.kind, row.conversation_id) for row, who in told]


def _pseudonym(connection: Connection, whom: str) -> str:
    """The code itself, or that of the person whose conversation has this id.

    Raises:
        RefusalError: ``unknown_visitor``.
    """
    by_code = select(SUBJECTS.c.ip_pseudonym).where(SUBJECTS.c.ip_pseudonym == whom).limit(1)
    by_conversation = (
        select(SUBJECTS.c.ip_pseudonym)
        .join(CONVERSATIONS, CONVERSATIONS.c.subject_id == SUBJECTS.c.subject_id)
        .where(CONVERSATIONS.c.conversation_id == whom)
    )
    found = connection.scalar(by_code) or connection.scalar(by_conversation)
    if found is None:
        raise RefusalError("unknown_visitor", "there is no such conversation and no such code", 422)
    return str(found)
