"""Values of quasi-identifiers made coarser: a browser's line, a date, a list of languages, a country."""

from __future__ import annotations

import re
from datetime import date, timedelta

#: A date of the proleptic calendar (``date.toordinal``) and what it stands for: "day", "week" (its Monday) or "month"
#: (its first).
Moment = tuple[int, str]

# The first that is found names the browser: the later ones also stand in the lines of the earlier ones.
_BROWSERS = (
    ("Edge", r"\bEdg(?:e|A|iOS)?/"),
    ("Opera", r"\b(?:OPR|Opera|OPX)\b"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Yandex", r"\bYaBrowser/"),
    ("Firefox", r"\b(?:Firefox|FxiOS)/"),
    ("program", r"(?i)\b(?:curl|wget|python|httpx|aiohttp|okhttp|go-http|java|node|axios|bot|spider|crawler)\b"),
    ("Chrome", r"\b(?:Chrome|CriOS|Chromium|HeadlessChrome)/"),
    ("Safari", r"\bSafari/"),
)
_SYSTEMS = (
    ("Android", r"\bAndroid\b"),
    ("iOS", r"\b(?:iPhone|iPad|iPod|CFNetwork)\b"),
    ("Windows", r"\bWindows\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("macOS", r"\bMac(?:intosh| OS X)\b"),
    ("Linux", r"\b(?:Linux|X11)\b"),
)
_PRIMARY = re.compile(r"\s*([A-Za-z]{2,3})(?=[-;,\s]|$)")

# The regions of the UN's M49 standard, by ISO 3166 code.
_REGIONS = {
    "Africa": "DZ EG LY MA SD TN EH IO BI KM DJ ER ET TF KE MG MW MU YT MZ RE RW SC SO SS UG TZ ZM ZW AO CM CF TD "
    "CG CD "
    "GQ GA ST BW SZ LS NA ZA BJ BF CV CI GM GH GN GW LR ML MR NE NG SH SN SL TG",
    "Americas": "AI AG AW BS BB BQ VG KY CU CW DM DO GD GP HT JM MQ MS PR BL KN LC MF VC SX TT TC VI BZ CR SV GT HN "
    "MX NI "
    "PA AR BO BV BR CL CO EC FK GF GY PY PE GS SR UY VE BM CA GL PM US",
    "Asia": "KZ KG TJ TM UZ CN HK MO KP JP MN KR TW BN KH ID LA MY MM PH SG TH TL VN AF BD BT IN IR MV NP PK LK AM "
    "AZ BH "
    "CY GE IQ IL JO KW LB OM QA SA PS SY TR AE YE",
    "Europe": "BY BG CZ HU PL MD RO RU SK UA AX DK EE FO FI GG IS IE IM JE LV LT NO SJ SE GB AL AD BA HR GI GR VA "
    "IT MT ME "
    "MK PT SM RS SI ES AT BE FR DE LI LU MC NL CH XK",
    "Oceania": "AU CX CC HM NZ NF FJ NC PG SB VU GU KI MH FM NR MP PW UM AS CK PF NU PN WS TK TO TV WF",
}
_REGION_OF = {iso: region for region, isos in _REGIONS.items() for iso in isos.split()}


def browser_and_system(user_agent: str | None) -> str | None:
    """``Firefox on Linux``; ``other`` for what is in neither list."""
    if user_agent is None:
        return None
    browser = next((name for name, pattern in _BROWSERS if re.search(pattern, user_agent)), "other")
    system = next((name for name, pattern in _SYSTEMS if re.search(pattern, user_agent)), None)
    return f"{browser} on {system}" if system else browser


def primary_tag(accept_language: str | None) -> str | None:
    """``de`` of ``de-CH,de;q=0.9,en;q=0.8``; None where no language is named."""
    found = _PRIMARY.match(accept_language or "")
    return found[1].lower() if found else None


def week_of(moment: Moment | None) -> Moment | None:
    """The Monday of a day's week."""
    if moment is None or moment[1] != "day":
        return moment
    day = date.fromordinal(moment[0])
    return (day - timedelta(days=day.weekday())).toordinal(), "week"


def month_of(moment: Moment | None) -> Moment | None:
    """The first of the month of a day, or of a week's Thursday (the month that most of the week lies in)."""
    if moment is None or moment[1] == "month":
        return moment
    day = date.fromordinal(moment[0] + (3 if moment[1] == "week" else 0))
    return day.replace(day=1).toordinal(), "month"


def region_of(iso: str | None) -> str | None:
    """The continent of a country's ISO 3166 code; None for a code that is not known."""
    return _REGION_OF.get(iso or "")


#: The ladder in words, for the card.
LADDER_NOTE = (
    "Rows that too few people shared were made coarser step by step: browser line to family and system, date to "
    "week and "
    "month, accepted languages to the first one, no state, no browser, country to continent, no country; then all "
    "of them "
    "and the language were taken out, and at last the date. A continent may thus stand in the column `country`."
)
