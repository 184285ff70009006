"""Clean a drawn instruction: strip what is not the user's, flag what should not be there, rewrite nothing.

Rules of specs for arXiv:2406.08464: every step that fires is recorded with lengths; a flag sets a row aside with its
reason, it never cuts. The one cut, at an answer marker, is opt-in and recorded too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agora.curate.personal import THRESHOLD, find_shapes
from agora.rooms.synthesize import patterns as p

MIN_WORDS = 3
MAX_NON_PRINTING = 0.01
REPEATED = 0.5  # share of the text that is one character, or of its 10-grams that repeat an earlier one


class CleanOp(NamedTuple):
    """One step that changed the text; lengths in characters."""

    op: str
    before_len: int
    after_len: int


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned text. ``flags`` are reasons to set it aside; ``personal_data`` are labels that reject nothing."""

    text: str
    ops: tuple[CleanOp, ...] = ()
    flags: tuple[str, ...] = ()
    personal_data: tuple[str, ...] = ()


def clean_instruction(
    raw: str, *, max_chars: int = 16_000, cut_at_answer: bool = False, debris: Sequence[str] = ()
) -> Cleaned:
    """Strip outer whitespace, template debris and one leading label; flag the rest.

    Cleaning twice changes nothing more. A text with no ``ops`` is returned as it came.

    Args:
        raw: what the model wrote.
        max_chars: longer texts are flagged ``too_long``.
        cut_at_answer: cut a self-answered text at its answer marker, and record it, instead of flagging it.
        debris: the template's own control tokens, stripped from both ends.

    Example:
        >>> clean_instruction("  Question: Why is the sky blue? ").text
        'Why is the sky blue?'
    """
    text, ops = raw, []
    while True:  # a step may uncover work for an earlier one; each makes the text shorter
        before = text
        for op in ("strip_whitespace", "strip_debris", "strip_label", "cut_at_answer"):
            if op == "cut_at_answer" and not cut_at_answer:
                continue
            changed = _apply(op, text, debris)
            if changed != text:
                ops.append(CleanOp(op, len(text), len(changed)))
                text = changed
        if text == before:
            return Cleaned(text, tuple(ops), flags_of(text, max_chars=max_chars), personal_data(text))


def _apply(op: str, text: str, debris: Sequence[str]) -> str:
    if op == "strip_whitespace":
        return text.strip()
    if op == "strip_debris":
        return _strip_debris(text, debris)
    if op == "strip_label":
        return _strip_label(text)
    marker = answer_marker(text)
    return text if marker is None else text[:marker].rstrip()


def _strip_debris(text: str, debris: Sequence[str]) -> str:
    for piece in debris:
        if piece.strip():
            text = text.removeprefix(piece.strip()).removesuffix(piece.strip())
    head = p.CONTROL_TOKEN.match(text)
    if head is not None:
        text = text[head.end() :]
    tails = list(p.CONTROL_TOKEN.finditer(text, max(0, len(text) - 48)))
    return text[: tails[-1].start()] if tails and tails[-1].end() == len(text) else text


def _strip_label(text: str) -> str:
    label = p.LEADING_LABEL.match(text)
    if label is None:
        return text
    rest = text[label.end() :]
    # a list or a form keeps its first label: without it the others would not make sense
    if not rest or p.LEADING_LABEL.match(rest) or p.SIBLING_LABEL.search(rest):
        return text
    return rest


def answer_marker(text: str) -> int | None:
    """Where a text begins to answer itself: an answer marker after the first complete sentence."""
    for match in p.ANSWER_MARKER.finditer(text):
        head = text[: match.start()]
        if not p.SENTENCE_END.search(head):
            continue
        # problem statements explain their examples
        if (match["noun"] or "").lower() == "explanation" and p.EXAMPLE.search(head):
            continue
        return match.start()
    return None


def personal_data(text: str) -> tuple[str, ...]:
    """Types of personal data whose shapes are in a text. They label, they do not reject: real prompts hold some."""
    return tuple(sorted({span.type for span in find_shapes(text) if span.score >= THRESHOLD}))


def flags_of(text: str, *, max_chars: int = 16_000) -> tuple[str, ...]:
    """Every reason to set a cleaned text aside, most telling first; empty for a good one."""
    if not text.strip():
        return ("empty",)
    checks = {
        "role_leakage": _leaks_role(text),
        "assistant_voice": bool(p.REFUSAL.match(text) or p.REPLY_OPENER.match(text)),
        "self_answering": answer_marker(text) is not None,
        "step_heading": any(match.start() > 0 for match in p.STEP_HEADING.finditer(text)),
        "unfinished": text.endswith((":", ",", "：", "，")),
        "odd_code_fences": text.count("```") % 2 == 1,
        "repetition": repetition(text) > REPEATED,
        "non_printing": non_printing_share(text) > MAX_NON_PRINTING,
        "too_short": count_words(text) < MIN_WORDS,
        "too_long": len(text) > max_chars,
    }
    return tuple(name for name, holds in checks.items() if holds)


def _leaks_role(text: str) -> bool:
    """A role header, a reply's opening or a control token after the first line of a request."""
    if p.CONTROL_TOKEN.search(text):
        return True
    if any(match.start() > 0 for match in p.ROLE_HEADER.finditer(text)):
        return True
    start = text.find("\n")
    while start >= 0:
        line = start + 1
        while line < len(text) and text[line].isspace():
            line += 1
        if line < len(text) and p.REPLY_OPENER.match(text, line):
            return True
        start = text.find("\n", line)
    return False


def count_words(text: str) -> int:
    """Whitespace-separated words, each character counting as a word in scripts written without spaces."""
    return len(p.CJK.sub(" ", text).split()) + len(p.CJK.findall(text))


def non_printing_share(text: str) -> float:
    """Share of characters that are controls, unassigned, private, lone surrogates, or stand for broken bytes."""
    if not text:
        return 0.0
    if text.isprintable() and "\ufffd" not in text:
        return 0.0
    bad = sum(c == "\ufffd" or (c not in "\n\t\r" and unicodedata.category(c) in _NON_PRINTING) for c in text)
    return bad / len(text)


_NON_PRINTING = frozenset({"Cc", "Cn", "Co", "Cs"})


def repetition(text: str) -> float:
    """How much of a text repeats itself, in [0, 1]: its commonest character, or its 10-grams seen before.

    10-grams are of words, or of characters where a text of 100 or more has hardly any spaces.
    """
    solid = "".join(text.split())
    one = max(map(solid.count, set(solid))) / len(solid) if len(solid) >= 10 else 0.0
    words: Sequence[str] = text.split()
    if len(text) >= 100 and len(words) * 25 < len(text):
        words = text
    grams = len(words) - 9
    if grams < 10:
        return one
    distinct = len({tuple(words[i : i + 10]) for i in range(grams)})
    return max(one, 1 - distinct / grams)
