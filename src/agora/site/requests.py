"""What a request tells of the one who sent it, and whether one of our own pages did."""

from __future__ import annotations

from fastapi import Request

from agora.site.clients import client_address
from agora.site.pages import site_of
from agora.site.refusals import RefusalError
from agora.site.security import same_form_token, same_origin


def address_of(request: Request) -> str | None:
    """The network address a request came from, as far as the trusted proxies tell it. It is used and not kept."""
    peer = request.client.host if request.client else None
    return client_address(peer, request.headers.getlist("x-forwarded-for"), site_of(request).settings.proxies)


def from_here(request: Request) -> None:
    """Refuse what another site's page sends with someone's cookie.

    Raises:
        RefusalError: ``cross_site``.
    """
    if not same_origin(request.headers):
        raise RefusalError("cross_site", "this request comes from a page of another site", 403)


def came_from_this_machine(request: Request) -> bool:
    """Whether a program on this machine asks, and not a proxy here for someone elsewhere."""
    forwarded = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip", "via"))
    return not forwarded and request.client is not None and request.client.host in ("127.0.0.1", "::1")


def check_form(request: Request, session: str, token: str) -> None:
    """Refuse a form that no page of ours gave to this session.

    Raises:
        RefusalError: ``bad_form``.
    """
    if not same_form_token(site_of(request).store.keys, session, token):
        raise RefusalError("bad_form", "this form is not of this visit; please load the page again", 403)
