"""What protects every page: headers, a bound on bodies, signed cookies, and forms that only our own pages can send."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from itsdangerous import BadSignature, TimestampSigner, URLSafeTimedSerializer

from agora.core.json_text import dumps
from agora.store.keys import Keys

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Nothing is ever loaded from another host, and no script or style stands inside a page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
SESSION_DAYS = 180


class SecureHeaders:
    """Adds the headers to every response, whoever made it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and dress the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", [])}
                extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        await self._app(scope, receive, dressed)


class BodyLimit:
    """Reads the whole body before a route sees it: refuses one that is too large or comes too slowly.

    A length that a request tells is not believed, only used to refuse early.

    Args:
        app: what to protect.
        max_bytes: the largest body.
        patience_s: how long a body may take to arrive.
    """

    def __init__(self, app: App, max_bytes: int, patience_s: float = 20.0) -> None:
        self._app, self._max, self._patience_s = app, max_bytes, patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on once its body is here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or int(told) > self._max:
            await _refuse(send, 413, "body_too_large", f"the request is larger than {self._max} bytes")
            return
        try:
            async with asyncio.timeout(self._patience_s):
                body = await self._read(receive)
        except TimeoutError:
            await _refuse(send, 408, "body_too_slow", "the request did not arrive in time")
            return
        if body is None:
            await _refuse(send, 413, "body_too_large", f"the request is larger than {self._max} bytes")
            return
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(given, None) or await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max:
                return None
            more = message.get("more_body", False)
        return b"".join(parts)


async def _refuse(send: Send, status: int, code: str, what: str) -> None:
    body = dumps({"error": {"code": code, "message": what}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Cookies:
    """Values signed with the site's key: a visitor can read what we say of them, and cannot say it themselves."""

    def __init__(self, keys: Keys, *, secure: bool) -> None:
        self._signer = URLSafeTimedSerializer(keys.derived("cookie"), salt="agora", signer=TimestampSigner)
        self._secure = secure

    def dump(self, value: str) -> str:
        """A value with its signature."""
        return str(self._signer.dumps(value))

    def load(self, text: str | None, *, days: int = SESSION_DAYS) -> str | None:
        """The value, or None for a forged, broken or old cookie."""
        if not text or len(text) > 1024:
            return None
        try:
            value = self._signer.loads(text, max_age=days * 86_400)
        except (BadSignature, UnicodeError):
            return None
        return value if isinstance(value, str) else None

    def set(self, response: Any, name: str, value: str) -> None:
        """Put a signed cookie on a response: not for scripts, not for other sites."""
        response.set_cookie(
            name,
            self.dump(value),
            max_age=SESSION_DAYS * 86_400,
            httponly=True,
            secure=self._secure,
            samesite="strict",
            path="/",
        )


def form_token(keys: Keys, session: str) -> str:
    """What a form carries to show that one of our pages sent it for this session."""
    return keys.mac("form", session).hex()[:40]


def same_form_token(keys: Keys, session: str, given: str) -> bool:
    """Whether a form's token is that of the session; takes the same time whatever was given."""
    return hmac.compare_digest(form_token(keys, session).encode(), given.encode("utf-8", "replace"))


def inside(path: str) -> str:
    """The path, if it leads to a page of this site; ``/`` for anything that a browser could take for another site.

    Browsers drop tabs and line ends from addresses and take backslashes for slashes, so neither may be in it.
    """
    plain = path.isascii() and path.isprintable() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"


_SCHEME = re.compile(r"^https?://")


def same_origin(headers: Any) -> bool:
    """Whether a browser says that the request comes from our own pages; programs say nothing and are believed.

    A cross-site request carries ``Sec-Fetch-Site`` or a foreign ``Origin`` in every browser of today.
    """
    fetch_site = headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or _SCHEME.sub("", origin) == headers.get("host")
