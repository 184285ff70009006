"""When a simulated conversation is over before its time."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agora.curate.text import normalize, shingles
from agora.rooms.synthesize.clean import Cleaned

REPEATED = 0.8  # char-5 Jaccard of a new user turn with an earlier one
# flags that end a conversation; a later turn may well be short ("Why?"), so too_short does not
ENDING_FLAGS = ("role_leakage", "assistant_voice", "self_answering", "repetition", "non_printing", "too_long")
LONGEST_THANKS = 200  # characters; who writes more wants something
THANKS = re.compile(
    r"\W*(?:(?:ok(?:ay)?|great|perfect|wonderful|good|no|yes|that(?:'|’)?s? (?:all|it|great|helpful)|i see)\W+)*"
    r"(?:many thanks|thanks?|thank you|thx|cheers|danke|merci|gracias|谢谢|ありがとう)"
    r"(?:[ ,]+(?:you|so|very|a|lot|much|again|for|your|the|all|this|that|helps?|helping|advice|answer|time))*"
    r"(?:\W+(?:good)?bye)?\W*",
    re.IGNORECASE,
)


def why_end(cleaned: Cleaned, finish_reason: str, earlier: Iterable[str], *, repeated: float = REPEATED) -> str | None:
    """Why a conversation ends at a drawn user turn; None when it goes on.

    Args:
        cleaned: the turn.
        finish_reason: how its generation ended.
        earlier: user turns before it.
        repeated: similarity at which it repeats one of them, in (0, 1].
    """
    if finish_reason == "length":
        return "length"
    if not cleaned.text:
        return "empty"
    flag = next((flag for flag in cleaned.flags if flag in ENDING_FLAGS), None)
    if flag is not None:
        return f"flag:{flag}"
    if is_thanks(cleaned.text):
        return "thanks"
    return "repeated" if any(jaccard(cleaned.text, old) >= repeated for old in earlier) else None


def is_thanks(text: str) -> bool:
    """Whether a message merely says thanks."""
    return len(text) <= LONGEST_THANKS and THANKS.fullmatch(text) is not None


def jaccard(a: str, b: str) -> float:
    """Similarity of two texts by their sets of character 5-grams, normalized; in [0, 1]."""
    one, two = set(shingles(normalize(a))), set(shingles(normalize(b)))
    return len(one & two) / len(one | two) if one or two else 1.0
