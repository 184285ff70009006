"""Makes the app: the site, the rooms' routers, one answer for each kind of refusal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from agora import __version__
from agora.rooms.collect import api as collect_api
from agora.rooms.collect import facade as collect_facade
from agora.rooms.collect import pages as collect_pages
from agora.rooms.collect import preview as collect_preview
from agora.rooms.collect.beside import Beside
from agora.rooms.collect.chat import Chat
from agora.rooms.collect.consent_texts import consent_texts
from agora.rooms.collect.enrich.annotations import check_kinds
from agora.rooms.collect.enrich.places import Places
from agora.rooms.collect.explore import pages as explore_pages
from agora.rooms.collect.guard import api as guard_api
from agora.rooms.collect.guard import pages as guard_pages
from agora.rooms.collect.guard.budget import Budget, forget_charges
from agora.rooms.collect.moderate import api as moderate_api
from agora.rooms.collect.moderate import pages as moderate_pages
from agora.rooms.collect.release import pages as release_pages
from agora.rooms.collect.removal import expire_unpublished
from agora.rooms.collect.replies import Replies
from agora.rooms.collect.settings import CollectSettings, ServeSettings
from agora.rooms.collect.upstream import Upstream
from agora.site.accounts import load_operator, require_role
from agora.site.accounts import router as accounts_router
from agora.site.pages import LOCALE_COOKIE, NavLink, Site
from agora.site.refusals import RefusalError
from agora.site.requests import came_from_this_machine, from_here
from agora.site.security import BodyLimit, SecureHeaders, inside
from agora.store import Store
from agora.store.accounts import Role
from agora.store.addresses import forget_addresses
from agora.store.consent import ConsentError, register_texts
from agora.store.limits import LimitError, forget_old
from agora.store.spending import forget_spending
from agora.web.numbers import numbers
from agora.web.watching import Watching, prometheus

PACKAGES = (
    "agora.site",
    "agora.rooms.collect",
    "agora.rooms.collect.moderate",
    "agora.rooms.collect.release",
    "agora.rooms.collect.guard",
    "agora.rooms.collect.explore",
)
NAV = (
    NavLink("/chat", "collect.nav.chat"),
    NavLink("/receipt", "collect.nav.receipt"),
    NavLink("/explore", "explore.nav.explore"),
    NavLink("/moderate", "moderate.nav", Role.MODERATOR),
    NavLink("/releases", "release.nav", Role.ADMIN),
    NavLink("/admin", "guard.nav", Role.ADMIN),
)
_HOUSEKEEPING_S = 3600.0
_CONSENT_STATUS = {"consent_version_stale": 409, "consent_step_order": 409}


def create_app(settings: ServeSettings, store: Store, upstream: Upstream) -> FastAPI:
    """The app over an open store and a model.

    Args:
        settings: of the site and the rooms.
        store: closed by the caller.
        upstream: closed with the app.

    Raises:
        AgoraError: a text or a translation is missing, or people agreed to other words under the same version.
    """
    texts = dict(consent_texts(settings.site, settings.collect))
    store.write(lambda c: register_texts(c, texts.values()))
    check_kinds(settings.collect.enrich)
    beside = Beside(store, settings.collect.enrich, index=settings.collect.explore.index)
    geo = settings.collect.geo
    places = Places(Path(geo), most_specific=settings.collect.geo_most_specific) if geo else None
    budget = Budget(settings.collect.budget)
    replies = Replies(store, upstream, most_of_one=settings.collect.limits.streams, budget=budget)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        house = _keep_house(store, settings.collect)
        keeping = [asyncio.create_task(house), asyncio.create_task(beside.run())]
        replies.open()
        yield
        for task in keeping:
            task.cancel()
        if places:
            places.close()
        await replies.close()
        await beside.stop()

    app = FastAPI(
        title="Agora",
        version=__version__,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(load_operator)],
    )
    app.state.site = Site(settings.site, store, PACKAGES, NAV)
    app.state.places = places
    app.state.chat = Chat(store, settings.collect, texts, replies)
    for_operators = (moderate_pages.router, guard_pages.router, release_pages.router, explore_pages.router)
    of_collection = (
        collect_api.router,
        collect_api.sending,
        collect_preview.router,
        collect_facade.router,
        collect_pages.router,
    )
    for router in (accounts_router, moderate_api.router, guard_api.router, *for_operators, *of_collection):
        app.include_router(router)
    requests: Counter[tuple[str, int]] = Counter()
    _add_own_routes(app, store, requests)
    _add_refusals(app)
    for package in reversed(PACKAGES):
        folder = files(package) / "static"
        app.mount(_static_path(package), StaticFiles(directory=str(folder)), name=package)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(SecureHeaders)
    app.add_middleware(Watching, requests=requests)
    return app


def check_settings(settings: ServeSettings) -> None:
    """Look at what costs nothing to look at.

    Raises:
        AgoraError: a kind of annotation or a geography database that is named is not there, or a text is missing.
    """
    check_kinds(settings.collect.enrich)
    consent_texts(settings.site, settings.collect)
    if settings.collect.geo:
        Places(Path(settings.collect.geo)).close()


def _static_path(package: str) -> str:
    return "/static" if package == "agora.site" else f"/static/{package.rpartition('.')[2]}"


async def _keep_house(store: Store, settings: CollectSettings) -> None:
    """Turn the key epochs over, forget what is kept for a while only, erase what was never to be published."""

    def forget(connection: Connection) -> None:
        forget_old(connection)
        forget_addresses(connection, settings.abuse.address_h)
        forget_spending(connection)
        forget_charges(connection)

    while True:
        store.keys.rotate()
        await asyncio.wrap_future(store.submit(forget))
        await asyncio.to_thread(expire_unpublished, store, settings.retention_unpublished_h)
        await asyncio.sleep(_HOUSEKEEPING_S)


def _add_own_routes(app: FastAPI, store: Store, requests: Counter[tuple[str, int]]) -> None:
    @app.get("/health")
    async def health() -> Response:
        """Whether the store can be written: 200, or 503."""
        try:
            await asyncio.wait_for(asyncio.wrap_future(store.submit(forget_old)), 5)
        except Exception:  # whatever the reason: whoever watches must see red
            return JSONResponse({"status": "failing"}, 503)
        return JSONResponse({"status": "ok", "version": __version__})

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        """Numbers for a monitoring system, in Prometheus' text format: for this machine, and for signed-in admins."""
        if not came_from_this_machine(request):
            require_role(request, Role.ADMIN)
        chat: Chat = app.state.chat
        text = prometheus(await chat.read(lambda c: numbers(c, chat, requests)))
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @app.post("/locale", include_in_schema=False, dependencies=[Depends(from_here)])
    async def set_locale(request: Request) -> Response:
        """Remember the language a visitor chose."""
        form = await request.form()
        back, locale = str(form.get("back", "/")), str(form.get("locale", ""))
        response = RedirectResponse(inside(back), 303)
        site: Site = app.state.site
        if locale in site.settings.locales:
            response.set_cookie(
                LOCALE_COOKIE, locale, max_age=31_536_000, samesite="lax", secure=site.settings.secure_cookies
            )
        return response


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(RefusalError)
    async def refusal(request: Request, err: RefusalError) -> Response:
        if err.code == "sign_in_required" and _wants_page(request) and request.method == "GET":
            back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(back)}", 303)
        return _refuse(request, err.status, err.code, err.what, retry_after_s=err.retry_after_s)

    @app.exception_handler(LimitError)
    async def too_often(request: Request, err: LimitError) -> Response:
        return _refuse(request, 429, "rate_limited", str(err), retry_after_s=err.retry_after_s)

    @app.exception_handler(ConsentError)
    async def consent_error(request: Request, err: ConsentError) -> Response:
        if _wants_page(request) and request.method == "GET":
            return RedirectResponse("/consent", 303)
        version = app.state.chat.settings.consent_version
        return _refuse(request, _CONSENT_STATUS.get(err.code, 403), err.code, err.what, current_version=version)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, err: RequestValidationError) -> Response:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _refuse(request, 422, "invalid_request", f"{where}: {first['msg']}" if where else str(first["msg"]))

    @app.exception_handler(OperationalError)
    async def store_failed(request: Request, _: OperationalError) -> Response:
        return _refuse(
            request, 503, "store_unavailable", "the store cannot be reached; please try again", retry_after_s=5
        )

    @app.exception_handler(DataError)
    async def not_storable(request: Request, _: DataError) -> Response:
        # a database may refuse what the language allows, such as PostgreSQL the character NUL
        return _refuse(
            request, 422, "invalid_text", "a value cannot be stored: it is too long, or holds the character NUL"
        )

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, err: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(err.status_code, "refused")
        return _refuse(request, err.status_code, code, str(err.detail))

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> Response:
        return _refuse(request, 500, "internal", "something went wrong on our side")


def _wants_page(request: Request) -> bool:
    program = request.url.path.startswith(("/api/", "/v1/"))
    return not program and "text/html" in request.headers.get("accept", "")


def _refuse(
    request: Request, status: int, code: str, what: str, *, retry_after_s: int | None = None, **more: Any
) -> Response:
    headers = {"retry-after": str(retry_after_s)} if retry_after_s else {}
    if _wants_page(request):
        site: Site = request.app.state.site
        t = site.words[site.locale_of(request)]
        known = f"refusals.{code}" in t.keys
        heading = t("site.not_found.heading") if status == 404 else t("site.failed.heading")
        text = t(f"refusals.{code}") if known else t("site.not_found.text" if status == 404 else "site.failed.text")
        link = "/consent" if code.startswith("consent") else "/"
        page = site.page(
            request, "message.html.j2", status=status, heading=heading, text=text, link=link, link_text=t("site.home")
        )
        page.headers.update(headers)
        return page
    body = {"error": {"code": code, "message": what, **more}}
    return JSONResponse(body, status, headers=headers)
