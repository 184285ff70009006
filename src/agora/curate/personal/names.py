"""Names that people give themselves, found by the words around them; no list of names, no model.

The ten languages with the most conversations: en, zh, ru, es, fr, de, pt, it, ja, ko. Names told otherwise
("Anna said") are not found; that needs a model (:mod:`agora.curate.personal.models`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from agora.curate.personal.recognizer import Recognizer
from agora.curate.personal.spans import Span

# a word with a capital, perhaps with a hyphen or an apostrophe; up to four of them, small particles between
_UP = r"[A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶĹĻĽŁŃŅŇŐŒŔŘŚŞŠŢŤŪŮŰŲŹŻŽ]"
_NAME = rf"{_UP}[^\W\d_]{{1,30}}+(?:['’-]{_UP}?[^\W\d_]{{1,30}}+){{0,2}}"
_MORE = (
    rf"(?: (?:(?:de|da|do|dos|del|della|di|van|von|der|den|le|la|bin|al|el|y|e) ){{0,2}}(?:{_NAME}|{_UP}\.)){{0,3}}+"
)
_FULL = rf"(?P<name>{_NAME}{_MORE})"
_RU = r"(?P<name>[А-ЯЁ][а-яё]{1,24}+(?:-[А-ЯЁ][а-яё]{1,24}+)?(?: [А-ЯЁ][а-яё]{1,24}+){0,2})"
_ZH = r"(?P<name>[\u4e00-\u9fff]{2,4}?)(?=[，。,.！!；;、\s]|$|今年|是|来自|，)"

_CUES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "en",
        ("name is", "name's", "named", "called", "NAME IS"),
        rf"\b[Mm]y (?:full |first |last |real )?name(?: is|'s|’s) {_FULL}",
    ),
    ("en_signed", ("ame: ", "ame : "), rf"\b(?:[Mm]y |[Ff]ull |[Ff]irst |[Ll]ast |[Ss]ur)?[Nn]ame ?: {_FULL}"),
    (
        "en_here",
        ("I am ", "I'm ", "I’m ", "his is "),
        rf"\b(?:[Hh]i|[Hh]ello|[Hh]ey|[Gg]reetings)[,!. ]{{1,3}}(?:I am|I'm|I’m|[Tt]his is) {_FULL}",
    ),
    ("ru", ("зовут", "имя"), rf"(?:[Мм]еня зовут|[Мм]о[её] имя(?: -| —)?) {_RU}"),
    ("es", ("llamo", "nombre"), rf"\b(?:[Mm]e llamo|[Mm]i nombre(?: completo)? es) {_FULL}"),
    ("fr", ("appelle", "nom est"), rf"\b(?:[Jj]e m['’]appelle|[Mm]on (?:pré)?nom est) {_FULL}"),
    ("de", ("heiße", "heisse", "Name ist"), rf"\b(?:[Ii]ch hei(?:ß|ss)e|[Mm]ein (?:voller )?Name ist) {_FULL}"),
    ("pt", ("chamo", "nome é"), rf"\b(?:[Ee]u me chamo|[Mm]e chamo|[Cc]hamo-me|[Oo]? ?[Mm]eu nome é) {_FULL}"),
    ("it", ("chiamo", "nome è"), rf"\b(?:[Mm]i chiamo|[Ii]l mio nome è) {_FULL}"),
    ("zh", ("我叫", "我的名字", "我名叫", "姓名"), rf"(?:我叫(?:做)?|我的名字(?:是|叫)|我名叫|姓名[：:]\s?){_ZH}"),
    (
        "ja",
        ("名前は", "申します", "といいます", "と言います"),
        r"(?:私の名前は|名前は)(?P<name>[\u3040-\u30ff\u4e00-\u9fff・ ]{2,12}?)(?:です|と申します|といいます)",
    ),
    (
        "ja_say",
        ("申します", "といいます"),
        r"(?<![\u3040-\u30ff\u4e00-\u9fff])(?P<name>[\u30a0-\u30ff\u4e00-\u9fff・]{2,10})と申します",
    ),
    (
        "ko",
        ("이름은", "라고 합니다", "라고 해요"),
        r"(?:제|내|저의) 이름은 (?P<name>[가-힣]{2,5}?)(?:입니다|이에요|예요|이야|야|라고)",
    ),
    ("ko_say", ("라고 합니다", "라고 해요"), r"(?:저는|나는) (?P<name>[가-힣]{2,4}?)(?:이라고|라고) (?:합니다|해요)"),
)
_CLOSINGS = (
    "regards",
    "Regards",
    "incerely",
    "cheers",
    "Cheers",
    "ours truly",
    "ours faithfully",
    "Grüße",
    "Grüßen",
    "Gruß",
    "ordialement",
    "alutations",
    "aludos",
    "tentamente",
    "tenciosamente",
    "ordiali saluti",
    "istinti saluti",
    "С уважением",
)
_CLOSING = re.compile(
    r"(?:^|\n)[ \t]{0,8}(?:[Bb]est|[Kk]ind|[Ww]arm|[Ww]armest|[Ww]ith (?:best|kind) )?[ ]?(?:[Rr]egards"
    r"|[Ss]incerely(?: yours)?|[Cc]heers|[Yy]ours (?:truly|faithfully|sincerely)"
    r"|(?:[Mm]it )?(?:[Ff]reundlichen?|[Vv]iele|[Ll]iebe|[Bb]este)n? (?:Grüßen?|Gruß)"
    r"|[Cc]ordialement|[Ss]alutations|[Ss]aludos(?: cordiales)?|[Aa]tentamente|[Aa]tenciosamente"
    r"|[Cc]ordiali saluti|[Dd]istinti saluti|С уважением)[,.!]?[ \t]{0,8}\n\s{0,8}"
    rf"(?P<name>{_NAME}(?: (?:{_NAME}|{_UP}\.)){{0,3}}|[А-ЯЁ][а-яё]{{1,24}}(?: [А-ЯЁ][а-яё]{{1,24}}){{0,2}})"
    r"[ \t]{0,8}(?=\n|$)"
)
# what follows a cue without being a name
_NOT_NAMES_TEXT = (
    "I The A An Not Also Just So Very Your You My His Her Their This That It We They Assistant Bot ChatGPT GPT "
    "Chat AI Claude Bard Siri Alexa Gemini Llama Here There And But Or If In On At What Who Why How Please Yes No "
    "Team Human Unknown None Null True False Insert First Last Full Company Product"
)
_NOT_NAMES = frozenset(_NOT_NAMES_TEXT.split())
_NOT_CJK = (
    "什么",
    "一个",
    "不是",
    "机器",
    "助手",
    "你",
    "我",
    "他",
    "她",
    "这",
    "那",
    "何",
    "誰",
    "누구",
    "뭐",
    "무엇",
)


def _named(language: str, found: re.Match[str]) -> Iterator[Span]:
    name = found["name"]
    first = name.split()[0] if name.split() else ""
    if first.strip("'’-.") in _NOT_NAMES or name.startswith(_NOT_CJK):
        return
    end = found.start("name") + len(name.rstrip())
    yield Span("PERSON", found.start("name"), end, 0.6, f"name_{language}")


def _may(text: str, needles: tuple[str, ...]) -> bool:
    return any(needle in text for needle in needles)


NAMES: tuple[Recognizer, ...] = (
    *(
        Recognizer(f"name_{language}", re.compile(pattern), partial(_named, language), partial(_may, needles=needles))
        for language, needles, pattern in _CUES
    ),
    Recognizer("name_closing", _CLOSING, partial(_named, "closing"), partial(_may, needles=_CLOSINGS)),
)
