"""Numbers that a state gives a person, country by country; check digits by python-stdnum.

A pack is always on where the number's own form is strong (letters, dates and check digits together), and needs a word
beside it, or the text's country, where any long number would pass now and then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import NamedTuple

from agora.curate.personal.recognizer import Recognizer, count_digits
from agora.curate.personal.spans import Span

_CUE_CHARS = 48


class Pack(NamedTuple):
    """One country's number.

    ``module`` is that of ``stdnum``; ``cue`` are words one of which must stand before the number (empty: none need);
    ``name`` becomes part of the rule's name.
    """

    name: str
    country: str
    module: str
    pattern: str
    cue: str


PACKS: tuple[Pack, ...] = (
    Pack("codice_fiscale", "IT", "it.codicefiscale", r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]", ""),
    Pack("resident_id", "CN", "cn.ric", r"\d{17}[\dXx]", ""),
    Pack("nir", "FR", "fr.nir", r"[1278] ?\d\d ?[01]\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", ""),
    Pack("cpf", "BR", "br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d\d", ""),
    Pack("cpf_plain", "BR", "br.cpf", r"\d{11}", r"cpf"),
    Pack("hetu", "FI", "fi.hetu", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", ""),
    Pack("rrn", "KR", "kr.rrn", r"\d{6}-[1-8]\d{6}", ""),
    Pack("personnummer", "SE", "se.personnummer", r"(?:\d\d)?\d{6}[-+]\d{4}", ""),
    Pack("dni", "ES", "es.dni", r"\d{8}-?[A-Za-z]", r"dni|nif|documento|identidad"),
    Pack("nie", "ES", "es.nie", r"[XYZxyz]-?\d{7}-?[A-Za-z]", ""),
    Pack(
        "steuer_id", "DE", "de.idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", r"steuer\w{0,20}|idnr|tax id|identifikationsnummer"
    ),
    Pack("pesel", "PL", "pl.pesel", r"\d{11}", r"pesel"),
    Pack("bsn", "NL", "nl.bsn", r"\d{9}", r"bsn|burgerservicenummer|sofinummer"),
    Pack("aadhaar", "IN", "in_.aadhaar", r"\d{4}[ -]?\d{4}[ -]?\d{4}", r"aadhaar|aadhar|uidai|आधार"),
    Pack("pan", "IN", "in_.pan", r"[A-Z]{5}\d{4}[A-Z]", r"pan|permanent account"),
    Pack("tckimlik", "TR", "tr.tckimlik", r"\d{11}", r"kimlik|tckn|t\.?c\.?"),
    Pack("curp", "MX", "mx.curp", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", ""),
    Pack("snils", "RU", "", r"\d{3}-\d{3}-\d{3} \d\d", r"снилс|snils"),
    Pack("passport_ru", "RU", "", r"\d{2} ?\d{2} ?\d{6}", r"паспорт\w{0,3}(?: серия)?"),
    Pack("nhs", "GB", "gb.nhs", r"\d{3} ?\d{3} ?\d{4}", r"nhs"),
    Pack(
        "nino",
        "GB",
        "",
        r"[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z] ?\d\d ?\d\d ?\d\d ?[A-Da-d]",
        "",
    ),
    Pack("ahv", "CH", "ch.ssn", r"756\.\d{4}\.\d{4}\.\d\d", ""),
)


def _spans(pack: Pack, found: re.Match[str]) -> Iterator[Span]:
    cued = True
    if pack.cue:
        before = found.string[max(0, found.start() - _CUE_CHARS) : found.start()]
        cued = re.search(rf"(?<!\w)(?:{pack.cue})(?!\w)", before, re.IGNORECASE) is not None
    if cued and (not pack.module or import_module(f"stdnum.{pack.module}").is_valid(found[0])):
        yield Span("NATIONAL_ID", found.start(), found.end(), 0.85, f"{pack.country.lower()}_{pack.name}")


def _may(text: str, digits: int) -> bool:
    return count_digits(text) >= digits


def _recognizer(pack: Pack) -> Recognizer:
    pattern = re.compile(rf"(?<![\w.-]){pack.pattern}(?![\w-]|[.,]\d)")
    fewest = 4 if pack.name == "pan" else 6
    return Recognizer(
        f"{pack.country.lower()}_{pack.name}", pattern, partial(_spans, pack), partial(_may, digits=fewest)
    )


NATIONAL_IDS: tuple[Recognizer, ...] = tuple(_recognizer(pack) for pack in PACKS)
