"""Programmatic checks of the published kinds of verifiable instructions (IFEval format, arXiv:2311.07911).

Each kind is a function of the response and the instruction's arguments. 24 of the 25 kinds can be checked here; the
language of a response needs a language detector, which a caller may pass. Three kinds rest on a tokenizer of words or
sentences that the published checker takes from NLTK; ours follows rules of its own, so those can differ in rare cases
(:data:`APPROXIMATE`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agora.core.errors import DataError
from agora.core.json_text import loads

Arguments = Mapping[str, Any]
Detector = Callable[[str], "str | None"]

#: Kinds whose count of words or sentences follows our own rules.
APPROXIMATE = frozenset({"length_constraints:number_sentences", "change_case:capital_word_frequency"})
LANGUAGE = "language:response_language"
_ABBREVIATIONS = re.compile(
    r"\b(?:mr|mrs|ms|dr|prof|sr|jr|st|vs|etc|e\.g|i\.e|cf|no|vol|inc|ltd|co|a\.m|p\.m|u\.s|fig|approx)\.$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s|\Z)|[。！？]")


class BadArgumentError(DataError):
    """An instruction's arguments are missing or of the wrong kind."""


def check_instruction(kind: str, response: str, arguments: Arguments, *, detect: Detector | None = None) -> bool | None:
    """Whether a response follows one instruction; None where nothing here can tell.

    Args:
        kind: ``group:name`` as published.
        response: the whole text.
        arguments: the instruction's ``kwargs``.
        detect: gives the ISO 639-1 code of a text's language, or None where it is unsure.

    Raises:
        BadArgumentError: an argument is missing or makes no sense.
    """
    if kind == LANGUAGE:
        if detect is None or (found := detect(response)) is None:
            return None
        return found == _text(arguments, "language")
    check = CHECKS.get(kind)
    if check is None:
        return None
    return bool(response.strip()) and check(response, arguments)


def cleaned_variants(response: str) -> list[str]:
    """The eight texts of which one must follow an instruction in loose scoring.

    As written and without asterisks; each whole, without its first line, without its last, and without both.
    """
    lines = response.split("\n")
    cuts = [response, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*cuts, *(cut.replace("*", "") for cut in cuts)]


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        raise BadArgumentError(f'"{name}" must be a text, got {value!r}')
    return value


def _number(arguments: Arguments, name: str) -> int:
    value = arguments.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise BadArgumentError(f'"{name}" must be a whole number, got {value!r}')
    return int(value)


def _texts(arguments: Arguments, name: str) -> list[str]:
    value = arguments.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        raise BadArgumentError(f'"{name}" must be a list of texts, got {value!r}')
    return value


def _related(found: int, arguments: Arguments, relation: str, number: str) -> bool:
    """``at least N`` or ``less than N``."""
    wanted, named = _number(arguments, number), _text(arguments, relation)
    if named not in ("at least", "less than"):
        raise BadArgumentError(f'"{relation}" must be "at least" or "less than", got {named!r}')
    return found >= wanted if named == "at least" else found < wanted


def count_words(text: str) -> int:
    """Runs of word characters, as the published checker counts them."""
    return len(re.findall(r"\w+", text))


def count_sentences(text: str) -> int:
    """Sentences: a stretch of text up to an end mark before white space (not after an abbreviation), or to the end."""
    count, start = 0, 0
    for end in _SENTENCE_END.finditer(text):
        stretch = text[start : end.end()]
        if _ABBREVIATIONS.search(stretch.rstrip("\"'”’)]*_")) or not any(char.isalnum() for char in stretch):
            continue
        count, start = count + 1, end.end()
    return count + any(char.isalnum() for char in text[start:])


def _capital_words(text: str) -> int:
    words = re.findall(r"[^\W_]+(?:['’.&-][^\W_]+)*", text)
    return sum(word.isupper() for word in words)


def _keyword_frequency(response: str, a: Arguments) -> bool:
    found = re.findall(re.escape(_text(a, "keyword").strip()), response, re.IGNORECASE)
    return _related(len(found), a, "relation", "frequency")


def _letter_frequency(response: str, a: Arguments) -> bool:
    letter = _text(a, "letter").strip().lower()
    if len(letter) != 1:
        raise BadArgumentError(f'"letter" must be one character, got {letter!r}')
    return _related(response.lower().count(letter), a, "let_relation", "let_frequency")


def _paragraphs(response: str, a: Arguments) -> bool:
    """Paragraphs parted by ``***``; an empty one counts only at neither end, where it is a fault."""
    parts = re.split(r"\s?\*\*\*\s?", response)
    inner_empty = any(not part.strip() for part in parts[1:-1])
    filled = sum(1 for part in parts if part.strip())
    return not inner_empty and filled == _number(a, "num_paragraphs")


def _nth_first_word(response: str, a: Arguments) -> bool:
    """Paragraphs parted by blank lines: their number, and the first word of the nth."""
    nth, wanted, first = _number(a, "nth_paragraph"), _number(a, "num_paragraphs"), _text(a, "first_word").lower()
    parts = response.split("\n\n")
    filled = sum(1 for part in parts if part.strip())
    if not 1 <= nth <= filled or filled != wanted or not parts[nth - 1].strip():
        return False
    word = parts[nth - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower() == first


def _postscript(response: str, a: Arguments) -> bool:
    marker = _text(a, "postscript_marker").strip()
    spaced = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}.get(marker, re.escape(marker.lower()))
    return re.search(rf"\s*{spaced}.*$", response.lower(), re.MULTILINE) is not None


def _bullets(response: str, a: Arguments) -> bool:
    found = re.findall(r"^\s*(?:\*[^*]|-).*$", response, re.MULTILINE)
    return len(found) == _number(a, "num_bullets")


def _highlights(response: str, a: Arguments) -> bool:
    single = [text for text in re.findall(r"\*[^\n*]*\*", response) if text.strip("*").strip()]
    double = [text for text in re.findall(r"\*\*[^\n*]*\*\*", response) if text[2:-2].strip()]
    return len(single) + len(double) >= _number(a, "num_highlights")


def _sections(response: str, a: Arguments) -> bool:
    name = re.escape(_text(a, "section_spliter").strip())
    return len(re.split(rf"\s?{name}\s?\d+\s?", response)) - 1 >= _number(a, "num_sections")


def _json(response: str, a: Arguments) -> bool:
    text = re.sub(r"\A```(?:json)?", "", response.strip(), flags=re.IGNORECASE).removesuffix("```").strip()
    try:
        loads(text.encode())
    except ValueError:
        return False
    return True


def _two_responses(response: str, a: Arguments) -> bool:
    parts = [part.strip() for part in response.split("******")]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _quoted(response: str, a: Arguments) -> bool:
    text = response.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _has_title(response: str, a: Arguments) -> bool:
    return any(title.strip("<>").strip() for title in re.findall(r"<<[^\n]+>>", response))


def _starts_with_prompt(response: str, a: Arguments) -> bool:
    return response.strip().lower().startswith(_text(a, "prompt_to_repeat").strip().lower())


def _ends_with(response: str, a: Arguments) -> bool:
    return response.strip().strip('"').lower().endswith(_text(a, "end_phrase").strip().lower())


def _contains_all(response: str, a: Arguments) -> bool:
    return all(word.lower() in response.lower() for word in _texts(a, "keywords"))


def _contains_none(response: str, a: Arguments) -> bool:
    words = _texts(a, "forbidden_words")
    return not any(re.search(rf"\b{re.escape(word)}\b", response, re.IGNORECASE) for word in words)


def _constrained(response: str, a: Arguments) -> bool:
    return any(f"My answer is {word}." in response for word in ("yes", "no", "maybe"))


Check = Callable[[str, Arguments], bool]

#: Kind -> its check. The two letter cases are judged by case alone; English is taken for granted.
CHECKS: dict[str, Check] = {
    "keywords:existence": _contains_all,
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": _contains_none,
    "keywords:letter_frequency": _letter_frequency,
    "length_constraints:number_sentences": lambda r, a: _related(count_sentences(r), a, "relation", "num_sentences"),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": lambda r, a: _related(count_words(r), a, "relation", "num_words"),
    "length_constraints:nth_paragraph_first_word": _nth_first_word,
    "detectable_content:number_placeholders": lambda r, a: (
        len(re.findall(r"\[.*?\]", r)) >= _number(a, "num_placeholders")
    ),
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _has_title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _starts_with_prompt,
    "startend:end_checker": _ends_with,
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": lambda r, a: _related(
        _capital_words(r), a, "capital_relation", "capital_frequency"
    ),
    "change_case:english_capital": lambda r, a: r.isupper(),
    "change_case:english_lowercase": lambda r, a: r.islower(),
    "punctuation:no_comma": lambda r, a: "," not in r,
}
#: All published kinds.
KINDS = frozenset({*CHECKS, LANGUAGE})
