"""Rules that say why a row should not be used, and a pass that marks rows by them. Marked rows stay in the data.

A rule maps a record to a reason or None. None of these needs to know the language of a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from agora.core.errors import ConfigError
from agora.core.records import Conversation, Sample
from agora.curate.funnel import Funnel
from agora.curate.text import repeated_share

Record = Sample | Conversation
R = TypeVar("R", Sample, Conversation)
Rule = Callable[[Record], str | None]


class Text(NamedTuple):
    """Which text of a record a rule looks at, and what the reason calls it."""

    name: str
    of: Callable[[Record], str | None]


class Step(NamedTuple):
    """One step of a pass: what the rows that stay are (``"not too long"``), and the rule."""

    label: str
    rule: Rule


def _first_user(record: Record) -> str | None:
    return next((m.content for m in record.messages if m.role == "user"), None)


def _last_assistant(record: Record) -> str | None:
    return next((m.content for m in reversed(record.messages) if m.role == "assistant"), None)


INSTRUCTION = Text("instruction", _first_user)
ANSWER = Text("answer", _last_assistant)


def not_empty(text: Text = INSTRUCTION) -> Rule:
    """Refuse a record without that text, or with nothing but white space."""

    def rule(record: Record) -> str | None:
        found = text.of(record)
        if found is None:
            return f"no {text.name}"
        return None if found.strip() else f"empty {text.name}"

    return rule


def length_chars(low: int = 0, high: int | None = None, text: Text = INSTRUCTION) -> Rule:
    """Refuse a text of fewer than ``low`` or more than ``high`` characters (white space at the ends not counted).

    Raises:
        ConfigError: the bounds are negative or crossed.
    """
    return _length(low, high, text, "characters", lambda t: len(t.strip()))


def length_words(low: int = 0, high: int | None = None, text: Text = INSTRUCTION) -> Rule:
    """Refuse a text of fewer than ``low`` or more than ``high`` words (split at white space).

    Raises:
        ConfigError: the bounds are negative or crossed.
    """
    return _length(low, high, text, "words", lambda t: len(t.split()))


def _length(low: int, high: int | None, text: Text, unit: str, size: Callable[[str], int]) -> Rule:
    if low < 0 or (high is not None and high < low):
        raise ConfigError(f"a length must lie in 0 <= low <= high, got {low} and {high} {unit}")

    def rule(record: Record) -> str | None:
        found = text.of(record)
        if found is None:
            return None  # not_empty speaks of that
        n = size(found)
        if n < low:
            return f"{text.name} too short (under {low} {unit})"
        return f"{text.name} too long (over {high} {unit})" if high is not None and n > high else None

    return rule


def not_repetitive(share: float = 0.5, words: int = 10, text: Text = ANSWER) -> Rule:
    """Refuse a text in which a ``share`` (0 to 1) or more of the runs of ``words`` words are repeats.

    See :func:`agora.curate.text.repeated_share`. Apply it before choosing long answers.

    Raises:
        ConfigError: the share does not lie in (0, 1], or ``words`` is under 1.
    """
    if not 0 < share <= 1 or words < 1:
        raise ConfigError(f"share must lie in (0, 1] and words be at least 1, got {share} and {words}")

    def rule(record: Record) -> str | None:
        found = text.of(record)
        return f"{text.name} repeats itself" if found and repeated_share(found, words) >= share else None

    return rule


def not_cut_off(record: Record) -> str | None:
    """Refuse a sample whose instruction or answer ended at the token limit or in an error; conversations pass."""
    if isinstance(record, Sample):
        for name, reason in (("instruction", record.finish_reason), ("answer", record.answer_gen.get("finish_reason"))):
            if reason == "length":
                return f"{name} cut at the token limit"
            if reason == "error":
                return f"{name} ended in an error"
    return None


def keeps_role_order(record: Record) -> str | None:
    """Refuse an imported conversation whose roles repeat (``meta["role_order"]`` is false); samples pass."""
    broken = isinstance(record, Conversation) and record.meta.get("role_order") is False
    return "roles repeat" if broken else None


def is_kept(record: Record) -> bool:
    """True unless a pass marked the record."""
    return record.kept if isinstance(record, Sample) else record.tags.get("kept") is not False


def reason_of(record: Record) -> str | None:
    """Why a record was marked; None for a kept one."""
    if is_kept(record):
        return None
    return (record.reason if isinstance(record, Sample) else record.tags.get("reason")) or "unknown"


def dropped(record: R, reason: str) -> R:
    """The record marked as not to be used: a sample's ``kept`` and ``reason``, a conversation's tags of these names."""
    if isinstance(record, Sample):
        return replace(record, kept=False, reason=reason)
    return replace(record, tags={**record.tags, "kept": False, "reason": reason})


def mark(records: Iterable[R], steps: Sequence[Step], funnel: Funnel, *, label: str = "rows") -> Iterator[R]:
    """Mark records by rules, in order; the first rule that refuses gives the reason. Every record comes out again.

    Args:
        records: those marked earlier pass unchanged and are counted as lost before.
        steps: what is asked of a record.
        funnel: gets a start and one step per rule once the last record is through.
        label: what the rows are called at the start.
    """
    n = 0
    before: Counter[str] = Counter()
    lost: list[Counter[str]] = [Counter() for _ in steps]
    for record in records:
        n += 1
        earlier = reason_of(record)
        if earlier is not None:
            before[earlier] += 1
            yield record
            continue
        for count, step in zip(lost, steps, strict=True):
            reason = step.rule(record)
            if reason is not None:
                count[reason] += 1
                record = dropped(record, reason)
                break
        yield record
    funnel.start(label, n)
    if before:
        funnel.step("kept before", before)
    for count, step in zip(lost, steps, strict=True):
        funnel.step(step.label, count)


BASICS: tuple[Step, ...] = (
    Step("an instruction is there", not_empty(INSTRUCTION)),
    Step("an answer is there", not_empty(ANSWER)),
    Step("ended by itself", not_cut_off),
    Step("does not go in circles", not_repetitive()),
)
"""What every training row should pass, whatever its language."""
