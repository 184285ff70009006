"""What has a shape of its own: e-mail and IP addresses, IBANs, wallets, US social security numbers, links."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agora.curate.personal.recognizer import Recognizer, count_digits
from agora.curate.personal.spans import Span

_EMAIL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w@-])")
# functions, not people: a message to them says nothing about who wrote it
_ROLES_TEXT = (
    "abuse accounts admin administrator billing booking bookings careers contact customercare customerservice "
    "editor enquiries feedback hello help helpdesk hostmaster hr info inquiries jobs legal mail mailer-daemon "
    "marketing media news newsletter no-reply noreply office orders postmaster press privacy recruitment "
    "reservations root sales security service services shop subscribe support team tech unsubscribe webmaster "
    "test user username yourname your.name your_name youremail your.email your_email example email someone "
    "somebody name firstname.lastname you me"
)
_ROLES = frozenset(_ROLES_TEXT.split())
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{1,4}){3,8}(?![A-Za-z0-9])")
_SSN = re.compile(r"(?<![\w.-])\d{3}([- ])\d{2}\1\d{4}(?![\w-])")
_IP4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_IP6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220"})
_WALLET = re.compile(r"\b(?:bc1[02-9ac-hj-np-z]{8,87}|0x[0-9a-fA-F]{40}|[13][1-9A-HJ-NP-Za-km-z]{25,34})\b")
_LINK = re.compile(
    r"(?<![\w@])(?:https?://|ftp://|www\.)[^\s<>\"'`()\[\]{}|\\^]{3,2048}"
    r"|(?<![\w@/.-])(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,4}"
    r"(?:com|org|net|edu|gov|info|biz|io|dev|app|ai|me|co|us|uk|de|fr|es|it|nl|be|ch|at|se|no|dk|fi|pl|cz|sk|hu|pt|gr|cy"
    r"|si|hr|ro|bg|ru|ua|br|ar|mx|cl|uy|ca|au|nz|jp|cn|kr|in|id|tr|il|za|eu|tv|xyz|online|site)(?![\w-]|\.\w)(?:/[^\s<>\"'`()]{0,2048})?",
    re.IGNORECASE,
)
_PROFILE = re.compile(
    r"(?:linkedin\.com/in|facebook\.com|instagram\.com|twitter\.com|x\.com|tiktok\.com/@|t\.me|vk\.com|ok\.ru|weibo\.com"
    r"|threads\.net/@|mastodon\.social/@|snapchat\.com/add|onlyfans\.com|paypal\.me|venmo\.com|wa\.me)/?[\w.@%+-]{3,}",
    re.IGNORECASE,
)
# the host belongs to it: with the name before the @ it would pass for an e-mail address
_URL_PASSWORD = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.-]{1,15}://(?P<value>[^\s/@?#:\"'<>]{0,128}:[^\s/@?#\"'<>]{1,128}@[\w.-]{1,255})"
)


def _email(found: re.Match[str]) -> Iterator[Span]:
    start = found.start() + len(found[0]) - len(found[0].lstrip(".'%+-"))
    local = found.string[start : found.end()].partition("@")[0]
    if not local:
        return
    role = local.lower() in _ROLES
    yield Span("EMAIL_ADDRESS", start, found.end(), 0.2 if role else 0.9, "role_email" if role else "email")


def _iban(found: re.Match[str]) -> Iterator[Span]:
    from stdnum import iban

    text = found[0]
    # words may stand behind the number: try ever shorter ends at its gaps
    for gap in [len(text), *(m.start() for m in reversed(list(re.finditer(r"[ -]", text))))]:
        if iban.is_valid(text[:gap], check_country=False):
            yield Span("IBAN_CODE", found.start(), found.start() + gap, 1.0, "iban")
            return


def _ssn(found: re.Match[str]) -> Iterator[Span]:
    area, group, serial = found[0][:3], found[0][4:6], found[0][7:]
    digits = area + group + serial
    if area == "0" * 3 or area == "666" or group == "00" or serial == "0000" or len(set(digits)) == 1:
        return
    # numbers from 900 on are taxpayers' (ITIN), which are no less personal; advertised ones are nobody's
    known = digits in ("123456789", "078051120", "219099999", "987654321")
    said = "ssn" in found.string[max(0, found.start() - 40) : found.start()].lower()
    score = 0.2 if known else 0.85 if found[1] == "-" or said else 0.3
    yield Span("US_SSN", found.start(), found.end(), score, "us_ssn")


def _ip(found: re.Match[str]) -> Iterator[Span]:
    from ipaddress import ip_address

    text = found[0]
    if ":" in text and (len(text) < 6 or not any(c in "0123456789abcdefABCDEF" for c in text)):
        return
    try:
        address = ip_address(text)
    except ValueError:
        return
    before = found.string[max(0, found.start() - 12) : found.start()].lower()
    version = address.version == 4 and ("version" in before or before.endswith(("v", "v. ", "ver. ", "release ")))
    # documentation networks are reserved for examples, private ones lead to nobody
    short = len(text) <= 7  # 1.2.3.4: a version more often than an address
    personal = address.is_global and not (version or short or text in _RESOLVERS)
    yield Span("IP_ADDRESS", found.start(), found.end(), 0.7 if personal else 0.2, f"ip{address.version}")


def _wallet(found: re.Match[str]) -> Iterator[Span]:
    text = found[0]
    if text.startswith("0x"):
        yield Span("CRYPTO", found.start(), found.end(), 0.6, "ethereum")
    elif text.startswith("bc1"):
        from stdnum import bitcoin

        if bitcoin.is_valid(text):
            yield Span("CRYPTO", found.start(), found.end(), 1.0, "bitcoin")
    elif any(c.isdigit() for c in text[1:]) and _is_base58_address(text):
        yield Span("CRYPTO", found.start(), found.end(), 1.0, "bitcoin")


def _is_base58_address(text: str) -> bool:
    from stdnum import bitcoin

    return bool(bitcoin.is_valid(text))


def _link(found: re.Match[str]) -> Iterator[Span]:
    text = found[0].rstrip(".,;:!?*_~")
    if text.lower() in ("http://", "https://", "www."):
        return
    profile = _PROFILE.search(text)
    score, by = (0.6, "profile_link") if profile else (0.3, "link")
    yield Span("URL", found.start(), found.start() + len(text), score, by)


def _url_password(found: re.Match[str]) -> Iterator[Span]:
    yield Span("URL_PASSWORD", found.start("value"), found.end("value"), 0.9, "url_password")


def _has_digits(text: str) -> bool:
    return count_digits(text) > 0


PATTERNS: tuple[Recognizer, ...] = (
    Recognizer("email", _EMAIL, _email, lambda text: "@" in text),
    Recognizer("iban", _IBAN, _iban, _has_digits),
    Recognizer("us_ssn", _SSN, _ssn, _has_digits),
    Recognizer("ip4", _IP4, _ip, lambda text: text.count(".") >= 3),
    Recognizer("ip6", _IP6, _ip, lambda text: text.count(":") >= 2),
    Recognizer("wallet", _WALLET, _wallet, _has_digits),
    Recognizer("link", _LINK, _link, lambda text: "." in text),
)
URL_PASSWORD = Recognizer("url_password", _URL_PASSWORD, _url_password, lambda text: "://" in text and "@" in text)
