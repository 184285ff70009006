"""The rules that settle checklist items. Each maps an answer, the item's arguments and the exercise to yes or no.

No rule ever executes an answer, and none raises on any text.
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Sequence

from agora.microcosm.world.facts import members_of_topic
from agora.microcosm.world.grammar import VALUE_OF_NUMBER_WORD, VERBS
from agora.microcosm.world.lexicon import KIND_OF_MEMBER, KINDS, NAMES, RHYME_OF_WORD, words_in
from agora.microcosm.world.types import Exercise

Rule = Callable[[str, Sequence[str], Exercise], bool]

_NEGATION = re.compile(r"\b(?:not|never|neither|nor)\b|n't\b", re.IGNORECASE)
_CONTRAST = re.compile(r"\b(?:than|not|while|but|because|whereas|instead)\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z']+|\d+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SENTENCE_END = re.compile(r"[.!?]+[\"']?(?:\s+|$)")
_MAX_CODE_CHARS = 400

#: Words that may stand in any answer without bringing in something new.
FUNCTION_WORDS = frozenset(
    words_in(
        "a an the is are was were be it its this that there here i you he she they we my your of to in on at by for "
        "from with and or so as than then because yes no not do does did has have had can should would will answer "
        "correct result word words sentence number numbers list order first last next now one two three four five "
        "line python code prints called name named comes left right which what who people country kind must too also "
        "equals makes them out all up could capital city language national animal main export dish traditional "
        "traditionally clothing instrument greeting likes sum him her she his famous mostly sells wear wears speak "
        "say says play played "
    )
)


_ARTICLES = frozenset({"a", "an", "the"})
_NEVER_AFTER_ARTICLE = frozenset(
    words_in("a an the is are was were and or of to in on at with for from by she he they it her him them i you we")
)
#: Forms of which every sentence of a story has at least one.
_VERB_FORMS = frozenset(form for verb in VERBS for form in (verb.base, verb.third, verb.past)) | frozenset(
    words_in(
        "is are was were am be has have had do does did said asked told became followed looked forgot dreamed "
        "smiled lived liked loved wanted started laughed came sat drew knew felt got left heard kept made fell "
        "lives wants likes loves thought could would will can must may wish hope shared flew swam danced jumped stayed "
        "turned tried stopped slept woke returned followed cried showed learned thanked decided felt grew let sailed"
    )
)


def words_of(text: str) -> list[str]:
    """The lower-cased words and numbers of a text."""
    return [word.lower() for word in _WORD.findall(text)]


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without their final marks."""
    return [part.strip() for part in _SENTENCE_END.split(text.strip()) if part.strip()]


@functools.lru_cache(maxsize=4096)
def _phrase_pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(phrase)}(?![A-Za-z0-9])", re.IGNORECASE)


def has_phrase(text: str, phrase: str) -> bool:
    """Whether a phrase stands in the text as whole words, in any case."""
    return _phrase_pattern(phrase).search(text) is not None


@functools.lru_cache(maxsize=4096)
def _sentence_pattern(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(text)}(?=[.?!\"']|$)")


@functools.lru_cache(maxsize=64)
def _members_pattern(kind: str) -> re.Pattern[str]:
    members = _members(kind)
    body = "|".join(re.escape(member) for member in sorted(members, key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{body})(?![A-Za-z0-9])", re.IGNORECASE)


def _members(kind: str) -> Iterable[str]:
    if kind == "person":
        return NAMES
    return KINDS[kind] if kind in KINDS else members_of_topic(kind)


def members_named(text: str, kind: str) -> list[str]:
    """The members of a class named in the text, in order, lower-cased."""
    return [found.lower() for found in _members_pattern(kind).findall(text)]


def _mentions(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    return all(has_phrase(answer, phrase) for phrase in args)


def _mentions_any(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    return any(has_phrase(answer, phrase) for phrase in args)


def _names_only(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(kind, value): the answer names the value, and no other member of its class than the instruction does."""
    kind, value = args
    if _NEGATION.search(answer):
        return False
    found = set(members_named(answer, kind))
    return value.lower() in found and found <= {value.lower(), *members_named(exercise.instruction, kind)}


def _picks(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(right, wrong, ...): the answer names the right option, and a wrong one only later and set apart.

    "Ana sold more than Ben" picks Ana; "Ana or Ben" picks nobody, and "not Ana" does not pick Ana.
    """
    right = _phrase_pattern(args[0]).search(answer)
    if right is None or _NEGATION.search(answer[: right.start()]):
        return False
    for option in args[1:]:
        wrong = _phrase_pattern(option).search(answer)
        if wrong and (wrong.start() < right.start() or not _CONTRAST.search(answer[right.end() : wrong.start()])):
            return False
    return True


def _omits(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    return not any(has_phrase(answer, phrase) for phrase in args)


def _equals_number(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(number): the last number of the answer is the right one, all others come from the instruction."""
    found = [VALUE_OF_NUMBER_WORD.get(word, word) for word in re.findall(r"-?\d+|[a-z]+", answer.lower())]
    numbers = [str(item) for item in found if isinstance(item, int) or item.lstrip("-").isdigit()]
    # "3 - 2" reads as 3 and -2 only when written tightly; signs before spaces are operators
    given = set(re.findall(r"\d+", exercise.instruction)) | {args[0]}
    return bool(numbers) and numbers[-1] == args[0] and all(number.lstrip("-") in given for number in numbers)


def _in_order(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """Each phrase occurs exactly once, in the order given."""
    position = -1
    for phrase in args:
        found = [match.start() for match in _phrase_pattern(phrase).finditer(answer)]
        if len(found) != 1 or found[0] <= position:
            return False
        position = found[0]
    return True


def _contains_text(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """Any of the texts stands in the answer, in any case."""
    squeezed = " ".join(answer.split())
    return any(has_phrase(squeezed, text.rstrip(".?!")) for text in args)


def _contains_exact(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """Any of the texts stands in the answer as whole sentences, letter for letter but for the final mark."""
    squeezed = " ".join(answer.split())
    return any(_sentence_pattern(text.rstrip(".?!")).search(squeezed) for text in args)


def _is_text(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """The answer is one of the texts and nothing else."""
    return " ".join(answer.split()).strip("\"'") in args


def _full_sentence(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    text = answer.strip()
    return bool(text) and (text[0].isupper() or text[0].isdigit()) and text[-1] in ".!?"


def _sentences(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(number): the answer has that many sentences of at least 4 words, each with a capital and a final mark."""
    parts = sentences_of(answer)
    ends = answer.strip().endswith((".", "!", "?", '."', '!"', '?"'))
    return ends and len(parts) == int(args[0]) and all(part[0].isupper() and len(words_of(part)) >= 4 for part in parts)


def _words_between(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    return int(args[0]) <= len(words_of(answer)) <= int(args[1])


def _stays_on_topic(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """No more sentences than the reference, of about its length, and no word that brings in something new.

    A new word may only stand in place of a missing one, so that a wrong answer can still be in good form.
    """
    words = words_of(answer)
    expected = words_of(exercise.reference)
    given = FUNCTION_WORDS.union(words_of(exercise.instruction))
    missing = set(expected) - given - set(words)
    new = [word for word in words if word not in given and word not in expected]
    return (
        0 < len(words) <= 2 * len(expected) + 6
        and len(sentences_of(answer)) <= len(sentences_of(exercise.reference))
        and len(new) <= len(missing)
        and re.search(r"[^\x20-\x7e\n]", answer) is None
    )


def _no_repeats(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """No sentence occurs twice, no word three times in a row, no run of four words twice."""
    words = words_of(answer)
    runs = [tuple(words[index : index + 4]) for index in range(len(words) - 3)]
    doubled = any(a == b for a, b in itertools.pairwise(words))
    return bool(words) and len(set(runs)) == len(runs) and not doubled


def _well_formed(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """Every sentence has a verb, and every article is followed by what an article can stand before."""
    for part in sentences_of(answer):
        words = words_of(part)
        if not _VERB_FORMS.intersection(words):
            return False
        for word, following in itertools.pairwise([*words, ""]):
            if word in _ARTICLES and (following in _NEVER_AFTER_ARTICLE or not following):
                return False
            if word in ("a", "an") and (word == "an") != (following[0] in "aeiou"):
                return False
    return bool(words_of(answer))


def _lists_members(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(kind, count, excluded...): at least `count` distinct members of the class, none of them excluded."""
    kind, count, *excluded = args
    found = set(members_named(answer, kind))
    return len(found) >= int(count) and not found.intersection(excluded)


def _lists_exactly(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(kind, count): exactly `count` members, none twice, and no member of another class."""
    found = members_named(answer, args[0])
    others = [word for word in words_of(answer) if KIND_OF_MEMBER.get(word, args[0]) != args[0]]
    given = set(words_of(exercise.instruction))
    return len(found) == len(set(found)) == int(args[1]) and all(word in given for word in others)


def _mentions_some(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(count, phrase, ...): at least `count` of the phrases."""
    return sum(has_phrase(answer, phrase) for phrase in args[1:]) >= int(args[0])


def _known_words(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    from agora.microcosm.world.vocabulary import VOCABULARY

    given = set(words_of(exercise.instruction))
    words = words_of(answer)
    printable = re.search(r"[^\x20-\x7e\n]", answer) is None
    return bool(words) and printable and all(word.removesuffix("'s") in VOCABULARY or word in given for word in words)


def _final_words(answer: str) -> list[str]:
    lines = [line for line in answer.strip().splitlines() if line.strip()]
    return [words[-1] for line in lines if (words := words_of(line))]


def _rhymes(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """The answer has two lines whose last words rhyme and differ."""
    last = _final_words(answer)
    if len(last) != 2 or last[0] == last[1]:
        return False
    return last[0] in RHYME_OF_WORD and RHYME_OF_WORD[last[0]] == RHYME_OF_WORD.get(last[1])


def _ends_line(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(word): some line ends with the word."""
    return args[0] in _final_words(answer)


def _starts_with(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """The answer begins with one of the phrases, as whole words."""
    start = answer.lstrip()
    return any((found := _phrase_pattern(arg).match(start)) and found.start() == 0 for arg in args)


def parse_python(text: str) -> str | None:
    """The shape of a piece of Python as text, or None where it does not parse. Never runs it."""
    code = text.strip()
    if not code or len(code) > _MAX_CODE_CHARS or "\0" in code:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _code_parts(answer: str) -> list[str]:
    """Where code may stand in an answer: a fenced block, the whole, or single lines."""
    fenced = re.findall(r"```(?:python)?\n?(.*?)```", answer, re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", answer)
    return [*fenced, answer, *inline, *answer.splitlines()][:20]


def _code_is(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """Some part of the answer is Python equal to one of the given pieces, apart from spaces and quotes."""
    wanted = {parse_python(code) for code in args}
    return any((shape := parse_python(part)) is not None and shape in wanted for part in _code_parts(answer))


def _only_code(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """The whole answer is Python of as many lines as the reference."""
    parsed = parse_python(answer)
    return parsed is not None and len(answer.strip().splitlines()) <= len(exercise.reference.splitlines())


_OUTPUT_LEAD = (
    r"(?:(?:it|this|this line|the line|the code|python)\s+(?:prints|outputs)|(?:the )?output(?: is|:)|prints)"
)


def _output_is(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(output): the answer is the output itself, or says that it is printed, and names no other."""
    text = " ".join(answer.split())
    bare = text.strip("`\"'").rstrip(".")
    said = re.findall(rf"\b{_OUTPUT_LEAD}\s+[`\"']?([^`\"'.\n]+)", text, re.IGNORECASE)
    return bare == args[0] or (bool(said) and all(part.strip() == args[0] for part in said))


def _letter_is(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    """(letter): the only single letter that the answer names is the right one."""
    quoted = re.findall(r"[\"'`]([A-Za-z])[\"'`]", answer)
    named = quoted or re.findall(r"(?<![A-Za-z'])([A-Za-z])(?![A-Za-z'])", answer)
    return bool(named) and all(letter.lower() == args[0] for letter in named)


def _one_line(answer: str, args: Sequence[str], exercise: Exercise) -> bool:
    return len(answer.strip().splitlines()) == 1 and 0 < len(answer.strip()) <= 200


RULES: dict[str, Rule] = {
    "mentions": _mentions,
    "mentions_any": _mentions_any,
    "mentions_some": _mentions_some,
    "names_only": _names_only,
    "picks": _picks,
    "omits": _omits,
    "equals_number": _equals_number,
    "in_order": _in_order,
    "contains_text": _contains_text,
    "contains_exact": _contains_exact,
    "is_text": _is_text,
    "full_sentence": _full_sentence,
    "sentences": _sentences,
    "words_between": _words_between,
    "stays_on_topic": _stays_on_topic,
    "no_repeats": _no_repeats,
    "lists_members": _lists_members,
    "lists_exactly": _lists_exactly,
    "known_words": _known_words,
    "well_formed": _well_formed,
    "rhymes": _rhymes,
    "ends_line": _ends_line,
    "starts_with": _starts_with,
    "code_is": _code_is,
    "only_code": _only_code,
    "letter_is": _letter_is,
    "one_line": _one_line,
    "output_is": _output_is,
}
