"""What every page stands on: whose address it is, which language, what a cookie proves, how large a body may be."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import ConfigError, DataError
from agora.site.clients import client_address
from agora.site.markdown import render_markdown
from agora.site.pages import Site
from agora.site.security import BodyLimit, Cookies, form_token, same_form_token, same_origin
from agora.site.settings import SiteSettings
from agora.site.translations import Words, choose_locale
from agora.store.keys import Keys
from tests.stores import store_in

PROXIES = SiteSettings(trusted_proxies=("10.0.0.0/8", "fd00::/8")).proxies


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),  # nobody we trust: the header is the client's own word
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # the left entry is forged
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["nonsense"], "nonsense"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        (None, ["1.2.3.4"], None),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str | None, forwarded: list[str], address: str | None) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


@pytest.mark.parametrize(
    ("wanted", "accepted", "chosen"),
    [
        ("de", "en", "de"),
        ("fr", "de", "de"),
        (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
        (None, "fr, en;q=0.5, de;q=0.7", "de"),
        (None, "de;q=0, fr", "en"),
        (None, "de;q=x", "en"),
        (None, None, "en"),
        (None, "*", "en"),
    ],
)
def test_the_language_that_fits_best(wanted: str | None, accepted: str | None, chosen: str) -> None:
    assert choose_locale(wanted, accepted, ("en", "de")) == chosen


@given(st.text(max_size=200))
def test_any_language_header_gives_an_offered_language(header: str) -> None:
    assert choose_locale(None, header, ("en", "de")) in ("en", "de")


def test_both_languages_have_the_same_words_with_the_same_gaps() -> None:
    english, german = (Words(locale, ("agora.site", "agora.rooms.collect")) for locale in ("en", "de"))
    assert english.keys == german.keys
    gaps = re.compile(r"{\w+}")
    assert [k for k in english.keys if sorted(gaps.findall(english(k))) != sorted(gaps.findall(german(k)))] == []


def test_a_language_without_words_is_one_clear_line(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with pytest.raises(DataError, match="no words in 'fr'"):
        Site(SiteSettings(locales=("en", "fr")), store, ("agora.site",))
    store.close()


def test_settings_refuse_a_network_that_is_none() -> None:
    with pytest.raises((ConfigError, ValueError)):
        SiteSettings(trusted_proxies=("10.0.0.0/99",))


@given(st.text(max_size=100) | st.just("\ud800.\udfff.x"))
def test_a_cookie_that_we_did_not_sign_says_nothing(text: str) -> None:
    cookies = Cookies(Keys(b"k" * 32, []), secure=True)
    assert cookies.load(text) is None
    signed = cookies.dump("subject")
    assert cookies.load(signed) == "subject"
    assert cookies.load(signed[:-9] + ("A" if signed[-9] != "A" else "B") + signed[-8:]) is None
    assert Cookies(Keys(b"o" * 32, []), secure=True).load(signed) is None
    assert cookies.load(signed, days=-1) is None


def test_a_form_is_bound_to_its_visit() -> None:
    keys = Keys(b"k" * 32, [])
    token = form_token(keys, "one")
    assert same_form_token(keys, "one", token)
    assert not same_form_token(keys, "two", token)
    assert not same_form_token(keys, "one", "")
    assert not same_form_token(keys, "one", "é\udcff")


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site", "origin": "http://host"}, False),
        ({"origin": "https://host", "host": "host"}, True),
        ({"origin": "https://evil", "host": "host"}, False),
        ({"origin": "null", "host": "host"}, False),
        ({}, True),  # a program, which has no cookies but its own
    ],
)
def test_requests_of_other_sites_pages_are_told_apart(headers: dict[str, str], ours: bool) -> None:
    assert same_origin(headers) is ours


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:msgbox(1))",
    "![x](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "<javascript:alert(1)>",
    '[x](https://a.example "onmouseover=alert(1)")',
    '[x](https://a.example/"onmouseover="alert(1))',
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<math><mtext><style><img src onerror=alert(1)></style></mtext></math>",
    "```\n</code></pre><script>alert(1)</script>\n```",
    "`</code><script>alert(1)</script>`",
    "```html onload=alert(1)\nx\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "> <script>alert(1)</script>",
    "# <script>alert(1)</script>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<form action=https://evil.example><input name=x></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<object data=javascript:alert(1)>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "\x00<script>alert(1)</script>",
    "<scr\u0000ipt>alert(1)</script>",
]
ALLOWED = {
    "p",
    "br",
    "hr",
    "em",
    "strong",
    "s",
    "code",
    "pre",
    "blockquote",
    "ul",
    "ol",
    "li",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
} | {"thead", "tbody", "tr", "th", "td", "a"}
ATTRIBUTES = {"href", "title", "rel", "start", "class", "lang"}


def _tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """Tags and attributes as a browser would find them."""
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(html)
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_markdown_is_shown_and_never_runs(attack: str) -> None:
    for tag, attributes in _tags(str(render_markdown(attack))):
        assert tag in ALLOWED
        assert set(attributes) <= ATTRIBUTES
        assert re.match(r"(https?|mailto):|$", attributes.get("href") or "")


@given(st.text(max_size=300))
def test_any_text_renders_to_allowed_tags_alone(text: str) -> None:
    for tag, attributes in _tags(str(render_markdown(text))):
        assert tag in ALLOWED and set(attributes) <= ATTRIBUTES


def test_markdown_means_what_it_says() -> None:
    html = str(render_markdown("# Title\n\n**bold** and `code`\n\n1. one\n2. two\n\n[a](https://x.example) ~~gone~~"))
    for part in ("<h3>Title</h3>", "<strong>bold</strong>", "<code>code</code>", "<ol>", "<s>gone</s>"):
        assert part in html
    assert 'rel="noopener noreferrer nofollow ugc"' in html
    assert str(render_markdown("x" * 300_000)).startswith("<pre>xxx")


async def _ask(app: BodyLimit, parts: list[bytes], told: str | None, wait_s: float = 0.0) -> tuple[int, bytes]:
    pending = [{"type": "http.request", "body": p, "more_body": i + 1 < len(parts)} for i, p in enumerate(parts)]
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(wait_s)
        return pending.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", told.encode())] if told is not None else []
    await app({"type": "http", "headers": headers}, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    ("parts", "told", "status"),
    [
        ([b"a" * 100], "100", 200),
        ([b"a" * 60, b"a" * 40], None, 200),
        ([b"a" * 101], "101", 413),
        ([b"a" * 60, b"a" * 41], None, 413),
        ([b"a" * 101], "3", 413),  # the length it tells is a lie
        ([b""], "-1", 413),
        ([b""], "x", 413),
    ],
)
def test_a_body_over_the_bound_is_refused_whatever_its_length_says(
    parts: list[bytes], told: str | None, status: int
) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    got, body = asyncio.run(_ask(BodyLimit(echo, 100), parts, told))
    assert got == status
    assert status != 200 or body == b"".join(parts)


def test_a_body_that_comes_too_slowly_is_refused() -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the app must not see it")

    limit = BodyLimit(never, 100, patience_s=0.05)
    assert asyncio.run(_ask(limit, [b"a"] * 50, None, wait_s=0.02))[0] == 408
