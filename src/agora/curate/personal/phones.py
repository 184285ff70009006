"""Telephone numbers: runs of digits that are written like one, and then are one somewhere or are called one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from agora.curate.personal.recognizer import CHUNK_CHARS, count_digits, matches
from agora.curate.personal.spans import Span

# where a number without a word beside it and without a + may be from; more come from a text's hints
DEFAULT_REGIONS = ("US", "GB", "DE", "FR", "IN", "BR")
# numbers of one text that are looked up, which bounds the work; whatever is written like a number beyond them is one
MAX_PARSED = 400

# Groups of digits with one mandatory separator between them: a text can be split in one way only.
_GROUPS = r"[+(]{0,2}\d{1,15}+(?:(?:[ \u00a0./-]|\) ?-?| ?\(|- )\d{1,12}+){0,8}"
_EXT = r"(?:[ \u00a0]?(?:x|ext\.?|ext:)[ \u00a0]?\d{1,6})?"
_NOT_BEHIND = r"(?![\w@%]|[.,:/-]\d)"
_RUN = re.compile(rf"(?<![\w./:=#@$€£¥₹%&*+-])(?<!\d,){_GROUPS}{_EXT}{_NOT_BEHIND}")
_LABELED = re.compile(rf"(?<!\d)(?:[:=/]|\b[tmpf]\.|№|#)[ \u00a0]?(?P<number>{_GROUPS}{_EXT}){_NOT_BEHIND}")
_CUE = re.compile(
    r"\b(?:tel|phone|telephone|mobile|cell|cellphone|fax|call|calls|called|calling|text me|texting|sms|message|messages"
    r"|whats ?app|viber|telegram|signal|dial|hotline|landline|desk|contact me|reach me|reach us|ring me|answering"
    r"|telefon|telefonnummer|rufnummer|handy|handynummer|mobil|mobilnummer|anrufen|erreichbar"
    r"|téléphone|portable|numéro|appel|appelez|appelle|joindre|teléfono|telefono|móvil|movil|celular|llame|llama"
    r"|llámame|telefone|telemóvel|ligue|liga|cellulare|chiama|chiamami|telefoon|bel|telefonnr|puhelin|nummer"
    r"|телефон\w{0,2}|тел|моб|мобильный|номер|звони\w{0,4}|позвони\w{0,4})\b"
    r"|^[tmpf][.:]|(?:电话|手机|微信|联系方式|電話|携帯|手機|전화|휴대폰|연락처|เบอร์|फ़ोन|मोबाइल|هاتف|جوال|تلفن|טלפון)",
    re.IGNORECASE | re.MULTILINE,
)
_CUE_AFTER = re.compile(
    r"^[ \u00a0]?[-–—(,]?[ \u00a0]?(?:office|fax|mobile|cell|home|work|phone|tel|desk|whatsapp)\b", re.IGNORECASE
)
_DATE = re.compile(
    r"(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])\b"
    r"|(?:0?[1-9]|[12]\d|3[01])[-./ ](?:0?[1-9]|[12]\d|3[01])[-./ ](?:19|20)\d\d\b"
)
_NORTH_AMERICAN = re.compile(r"(?:1[ .-])?\(?\d{3}\)?[ \u00a0.-]?\d{3}[ \u00a0.-]\d{4}")
_YEARS = re.compile(r"\(?(?:1[5-9]|20)\d\d\)?(?:[ -]{1,3}\(?(?:1[5-9]|20)\d\d\)?)+")
_NANP = frozenset({"US", "CA", "PR", "DO", "JM", "TT", "BS"})
_SSN = re.compile(r"\d{3}-\d{2}-\d{4}")
_DECIMAL = re.compile(r"\d+\.\d+")
_BOOK = re.compile(r"\bIS[BS]N\b[^\d\n]{0,12}$", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}(?:[. ]\d{3})+")
_DIGIT = re.compile(r"\d")
_BREAK = re.compile(r"\d\b|(?<!tel)(?<!mob)(?<!тел)(?<!моб)(?<!ph)[.!?] |>", re.IGNORECASE)
_SEPARATOR = re.compile(r"[ \u00a0./()-]")
_EXTENSION = re.compile(r"[ \u00a0]?(?:x|ext).*", re.DOTALL)


class Candidate(NamedTuple):
    """A run of digits that may be a number, with what is written beside it."""

    start: int
    end: int
    text: str
    digits: str
    cued: bool
    is_book: bool


def find_phones(text: str, regions: Sequence[str] = DEFAULT_REGIONS, chunk: int = CHUNK_CHARS) -> Iterator[Span]:
    """Telephone numbers of a text.

    Args:
        text: any length.
        regions: ISO country codes in which a number without a + is looked up; a number with a cue word beside it is
            taken for one if its length is possible anywhere.
        chunk: characters looked at together; does not change the result.
    """
    if not _may(text):
        return
    for number, candidate in enumerate(_candidates(text, chunk)):
        score, by = _judge(candidate, tuple(regions) if number < MAX_PARSED else None)
        if score:
            yield Span("PHONE_NUMBER", candidate.start, candidate.end, score, by)


def _may(text: str) -> bool:
    return count_digits(text) >= 7


def _candidates(text: str, chunk: int) -> Iterator[Candidate]:
    last = -1
    places = sorted(_places(text, chunk))
    for start, end in places:
        if start < last:
            continue
        found = text[start:end]
        main = _EXTENSION.sub("", found)
        digits = "".join(_DIGIT.findall(main))
        if not 7 <= len(digits) <= 15 or _is_something_else(main.strip("() "), digits):
            continue
        last = end
        yield Candidate(
            start,
            end,
            found,
            digits,
            _is_cued(text, start, end),
            _BOOK.search(text, max(0, start - 24), start) is not None,
        )


def _places(text: str, chunk: int) -> Iterable[tuple[int, int]]:
    found = {(m.start(), m.end()) for m in matches(_RUN, text, chunk)}
    found |= {m.span("number") for m in matches(_LABELED, text, chunk)}
    return found


def _is_something_else(text: str, digits: str) -> bool:
    """A date, a span of years, an amount, a social security number, one digit repeated."""
    return bool(
        len(set(digits)) < 3
        or _SSN.fullmatch(text)
        or _YEARS.fullmatch(text)
        or _DATE.match(text)
        or ("." in text and " " in text and "(" not in text and "+" not in text)  # decimals side by side
        or (
            text.count(".") == 3
            and len(digits) <= 12
            and all(0 <= int(p or 0) <= 255 for p in text.split(".") if p.isdigit())
        )
    )


def _is_cued(text: str, start: int, end: int) -> bool:
    """Whether a word before the number, in its line or the one above, or right behind it says what it is."""
    if _CUE_AFTER.match(text[end : end + 16]):
        return True
    before = "\n".join(text[max(0, start - 48) : start].split("\n")[-2:])
    # what stands before another number or in another sentence speaks of that
    cut = max((m.end() for m in _BREAK.finditer(before)), default=0)
    return bool(_CUE.search(before, cut))


def _judge(candidate: Candidate, regions: tuple[str, ...] | None) -> tuple[float, str]:
    """Score and rule; 0 for none. Without regions nothing is looked up, and every doubt is decided for a number."""
    main = _EXTENSION.sub("", candidate.text).strip()
    international = main.startswith(("+", "(+")) or (main.startswith("00") and len(candidate.digits) >= 11)
    if international:
        plus = main if "+" in main else "+" + main[2:]
        if regions is not None and is_number(plus, None):
            return 0.9 if candidate.cued else 0.75, "phone_international"
        return (0.6, "phone_cue") if candidate.cued else (0.5, "phone_plus") if "+" in main else (0.0, "")
    if candidate.cued:
        return 0.7, "phone_cue"
    if not _SEPARATOR.search(main) or _DECIMAL.fullmatch(main) or candidate.is_book:
        return 0.0, ""  # an identifier, a number with decimals or a book's, as far as can be seen
    if _THOUSANDS.fullmatch(main):  # an amount, unless the writer's own country writes its numbers so
        regions = tuple(region for region in regions or () if region not in DEFAULT_REGIONS)
    if regions is None:
        return 0.4, "phone_unchecked"
    if len(candidate.digits) >= 8 and any(_is_written_as_in(main, r) and is_number(main, r) for r in regions):
        return 0.4, "phone"
    return 0.0, ""


def _is_written_as_in(text: str, region: str) -> bool:
    """Whether a number begins as people write it there: with the trunk prefix, or with an area code in brackets.

    Some countries' plans allow almost every length, so that a house number beside a postal code would pass.
    """
    if region in _NANP:
        return _NORTH_AMERICAN.fullmatch(text) is not None
    prefix = _trunk_prefix(region)
    return not prefix or text.startswith((prefix, "(")) or (region == "IN" and text[0] in "6789")


@lru_cache(maxsize=512)
def _trunk_prefix(region: str) -> str:
    """What is dialed before a national number; empty where nothing is."""
    from phonenumbers import PhoneMetadata

    known = PhoneMetadata.metadata_for_region(region, None)
    return (known.national_prefix or "") if known else ""


@lru_cache(maxsize=8192)
def is_number(text: str, region: str | None) -> bool:
    """Whether ``phonenumbers`` knows such a number in a region (None: the text says it with a +)."""
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False
