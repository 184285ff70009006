"""Rendering: templates of the site and of every room, in the visitor's language, with what each page needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from agora.core.errors import ConfigError
from agora.site.markdown import render_markdown
from agora.site.security import Cookies, form_token
from agora.site.settings import SiteSettings
from agora.site.translations import Words, choose_locale
from agora.store import Store
from agora.store.accounts import Operator, Role

LOCALE_COOKIE = "locale"


@dataclass(frozen=True, slots=True)
class NavLink:
    """A place in the head of every page: where it leads, the key of its words, and who is shown it (None: everyone)."""

    href: str
    words: str
    role: Role | None = None


@dataclass(frozen=True)
class Site:
    """What routers share; it stands in ``app.state.site``.

    Args:
        settings: the operator's decisions.
        store: subjects, events and the rooms' tables.
        packages: whose templates and words are used, the site's own first.
        nav: links in the head of every page.
    """

    settings: SiteSettings
    store: Store
    packages: Sequence[str]
    nav: Sequence[NavLink] = ()
    cookies: Cookies = field(init=False)
    words: Mapping[str, Words] = field(init=False)
    _templates: Environment = field(init=False)

    def __post_init__(self) -> None:
        words = {locale: Words(locale, self.packages) for locale in self.settings.locales}
        first = words[self.settings.locales[0]]
        for other in words.values():
            if wrong := sorted(first.keys ^ other.keys):
                raise ConfigError(f"the words in {first.locale} and {other.locale} differ in {', '.join(wrong[:5])}")
        loaders = [FileSystemLoader(str(files(package) / "templates")) for package in self.packages]
        templates = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters["markdown"] = render_markdown
        templates.filters["utc"] = _utc
        object.__setattr__(self, "cookies", Cookies(self.store.keys, secure=self.settings.secure_cookies))
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "_templates", templates)

    def locale_of(self, request: Request) -> str:
        """The language of a visitor."""
        return choose_locale(
            request.cookies.get(LOCALE_COOKIE), request.headers.get("accept-language"), self.settings.locales
        )

    def page(
        self, request: Request, template: str, *, session: str = "", status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A page of HTML.

        Args:
            request: whose visitor it is for.
            template: name of the file.
            session: id that forms of the page are bound to; empty for a page without forms that need one.
            status: of HTTP.
            values: what the template names.
        """
        operator: Operator | None = getattr(request.state, "operator", None)
        words: Callable[..., str] = self.words[self.locale_of(request)]
        html = self._templates.get_template(template).render(
            t=words,
            locale=self.locale_of(request),
            site=self.settings,
            nav=[link for link in self.nav if _shown(link, operator)],
            operator=operator,
            operator_token=form_token(self.store.keys, operator.session) if operator else "",
            path=request.url.path,
            form_token=form_token(self.store.keys, session) if session else "",
            **values,
        )
        return HTMLResponse(html, status_code=status, headers={"cache-control": "no-store"})


def _utc(at_us: int) -> str:
    """Microseconds since 1970 as ``2024-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(link: NavLink, operator: Operator | None) -> bool:
    return link.role is None or (operator is not None and operator.role.covers(link.role))


def site_of(request: Request) -> Site:
    """The site that a request came to."""
    site: Site = request.app.state.site
    return site
