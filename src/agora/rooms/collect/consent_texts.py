"""The words people are asked to agree to, made from the settings that they speak of."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from agora.core.errors import DataError
from agora.rooms.collect.settings import CollectSettings
from agora.site.settings import SiteSettings
from agora.site.translations import read_words
from agora.store.consent import ConsentText

_BETWEEN = "\n---\n"


def consent_texts(site: SiteSettings, collect: CollectSettings) -> Mapping[str, ConsentText]:
    """The text of each offered language, by locale.

    Raises:
        DataError: a language has no text, or its text lacks one of the two steps.
    """
    return {locale: _text(locale, site, collect) for locale in site.locales}


def _text(locale: str, site: SiteSettings, collect: CollectSettings) -> ConsentText:
    path = files("agora.rooms.collect") / "consent" / f"{locale}.md"
    if not path.is_file():
        raise DataError(f"there is no consent text in {locale!r}", where=str(path))
    terms, between, publication = path.read_text(encoding="utf-8").partition(_BETWEEN)
    if not between:
        raise DataError("the consent text lacks the line --- between its two steps", where=str(path))
    words = read_words("agora.rooms.collect", locale)
    address = words[f"collect.consent.address_{'kept' if collect.abuse.address_h else 'not_kept'}"]
    values = {
        "address": address.format(hours=collect.abuse.address_h),
        "operator": site.operator,
        "contact": site.contact or site.operator,
        "provider": collect.provider,
        "license": collect.license,
        "age": collect.minimum_age,
        "quarantine_days": collect.quarantine_days,
        "backup_days": collect.backup_days,
    }
    return ConsentText(
        collect.consent_version, locale, terms.format(**values).strip(), publication.format(**values).strip()
    )
