"""The releases page for admins: what was published, and what each gate left out. It changes nothing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from agora.rooms.collect.api import TheChat, TheSite
from agora.rooms.collect.release.publish import all_releases
from agora.site.accounts import Admin

router = APIRouter(include_in_schema=False)


@router.get("/releases")
async def releases_page(request: Request, chat: TheChat, site: TheSite, operator: Admin) -> Response:
    """All releases, newest first, each with its gates."""
    found = await chat.read(all_releases)
    return site.page(request, "releases.html.j2", session=operator.session, releases=found)
