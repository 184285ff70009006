"""Signing in and out, and what only operators may see.

A route for operators names one of these as a parameter:

    @router.get("/moderate")
    async def queue(request: Request, operator: Moderator) -> Response: ...

Whoever is not signed in is led to ``/sign-in`` (a program is answered 401), whoever lacks the role gets 403. A form of
an operator's page carries the token of their session: render it with ``site.page(..., session=operator.session)`` and
call ``check_form(request, operator.session, form_token)`` first.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from agora.site.pages import Site, site_of
from agora.site.refusals import RefusalError
from agora.site.requests import address_of, check_form, from_here
from agora.site.security import inside
from agora.store.accounts import (
    SESSION_H,
    Account,
    Operator,
    Role,
    begin_session,
    check_password,
    end_session,
    log_refused,
    operator_of,
)
from agora.store.limits import Limit, count
from agora.store.pseudonyms import ip_pseudonym

OPERATOR = "operator"
router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=300)]
#: Two guesses of a password are worked on at once: each costs a third of a second of a core and 32 MiB.
_guessing = ThreadPoolExecutor(2, thread_name_prefix="agora-password")


async def load_operator(request: Request) -> None:
    """Put the signed-in operator into ``request.state.operator``; a dependency of every route of the app."""
    token = request.cookies.get(OPERATOR)
    site = site_of(request)
    request.state.operator = await asyncio.to_thread(_find, site, token) if token else None


def _find(site: Site, token: str) -> Operator | None:
    with site.store.reading() as connection:
        return operator_of(connection, site.store.keys, token)


def signed_in(request: Request) -> Operator | None:
    """The operator behind a request, if one is signed in."""
    found: Operator | None = getattr(request.state, "operator", None)
    return found


def require_role(request: Request, role: Role | str) -> Operator:
    """The operator behind a request, if their role is enough.

    Raises:
        RefusalError: ``sign_in_required``, ``role_required``, or ``cross_site`` when another site's page sent it.
    """
    from_here(request)
    operator = signed_in(request)
    if operator is None:
        raise RefusalError("sign_in_required", "please sign in first", 401)
    if not operator.role.covers(Role(role)):
        raise RefusalError("role_required", f"this is for accounts with the role {role}", 403)
    return operator


async def _moderator(request: Request) -> Operator:
    return require_role(request, Role.MODERATOR)


async def _admin(request: Request) -> Operator:
    return require_role(request, Role.ADMIN)


Moderator = Annotated[Operator, Depends(_moderator)]
Admin = Annotated[Operator, Depends(_admin)]
TheSite = Annotated[Site, Depends(site_of)]


@router.get("/sign-in")
async def sign_in_page(request: Request, site: TheSite, next: str = "/") -> Response:
    """Where operators sign in."""
    return site.page(request, "sign_in.html.j2", next=inside(next))


@router.post("/sign-in", dependencies=[Depends(from_here)])
async def sign_in(request: Request, site: TheSite, name: Text, password: Text, next: Text = "/") -> Response:
    """Begin a session. It is always a new one, whatever cookie came with the request."""
    await _count_try(site, request, name)
    account = await asyncio.get_running_loop().run_in_executor(_guessing, _check, site, name, password)
    if account is None:
        await asyncio.wrap_future(site.store.submit(lambda c: log_refused(c, name)))
        return site.page(request, "sign_in.html.j2", next=inside(next), wrong=True, status=403)
    before = signed_in(request)
    store = site.store

    def begin(connection: Connection) -> str:
        if before is not None:
            end_session(connection, before)
        return begin_session(connection, store.keys, account)

    token = await asyncio.wrap_future(store.submit(begin))
    response = RedirectResponse(inside(next), 303)
    response.set_cookie(
        OPERATOR,
        token,
        max_age=SESSION_H * 3600,
        httponly=True,
        secure=site.settings.secure_cookies,
        samesite="strict",
        path="/",
    )
    return response


@router.post("/sign-out", dependencies=[Depends(from_here)])
async def sign_out(request: Request, site: TheSite, form_token: Text) -> Response:
    """End the session; the cookie is worthless afterwards, wherever it was copied to."""
    operator = signed_in(request)
    if operator is not None:
        check_form(request, operator.session, form_token)
        await asyncio.wrap_future(site.store.submit(lambda c: end_session(c, operator)))
    response = RedirectResponse("/", 303)
    response.delete_cookie(OPERATOR, path="/")
    return response


def _check(site: Site, name: str, password: str) -> Account | None:
    with site.store.reading() as connection:
        return check_password(connection, name, password)


async def _count_try(site: Site, request: Request, name: str) -> None:
    """Count a try for the address and for the name.

    Raises:
        LimitError: too many for one of them.
    """
    keys, settings = site.store.keys, site.settings
    _, whom = ip_pseudonym(keys, address_of(request))
    limits = (
        (Limit("sign-in", settings.sign_in_tries_per_minute, 60), whom or "unknown"),
        (Limit("sign-in name", settings.sign_in_tries_per_name, 3600), keys.mac("name", name).hex()[:32]),
    )
    await asyncio.wrap_future(site.store.submit(lambda c: count(c, limits)))
