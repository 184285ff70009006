"""What every preference format shares: what a row may give, and how a format describes itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from agora.core.records import JsonMap, PreferencePair
from agora.curate.importers.base import RowError
from agora.curate.pairs.records import Response
from agora.curate.pairs.rules import PairRule
from agora.curate.pairs.turns import Turns, shared_prefix


class Context(NamedTuple):
    """What a format may know beside the row: the place in the file, the seed of its choices, column names by flag."""

    path: str
    line: int
    seed: int = 0
    keys: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Draft:
    """A pair as a row gives it, before any check.

    ``origin`` is where the row says that it comes from; ``own`` is the record, where the row is one of ours.
    """

    prompt: Turns
    chosen: Turns
    rejected: Turns
    chosen_score: float | None = None
    rejected_score: float | None = None
    margin: float | None = None
    tie: bool = False
    annotator: str | None = None
    label_kind: str | None = None
    source_id: str = ""
    origin: str = ""
    meta: JsonMap = field(default_factory=dict)
    own: PreferencePair | None = None


@dataclass(frozen=True, slots=True)
class GroupDraft:
    """Answers to one prompt as a row gives them. Rows of one ``key`` are joined; an empty key stands alone."""

    prompt: Turns
    responses: tuple[Response, ...]
    key: str = ""
    annotator: str | None = None
    mean_of: tuple[str, ...] = ()
    source_id: str = ""
    origin: str = ""
    meta: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PromptDraft:
    """A prompt, perhaps with an answer to learn from or to compare with; no preference."""

    prompt: Turns
    completion: Turns = ()
    answer: str | None = None
    checker: str | None = None
    domain: str = ""
    source_id: str = ""


Given = Draft | GroupDraft | PromptDraft
Convert = Callable[[JsonMap, Context], Given]


@dataclass(frozen=True, slots=True)
class PairFormat:
    """One file format.

    Args:
        name: what ``--format`` takes.
        title: for readers.
        columns: those that a row must have; they also tell which format is the nearest to an unknown one.
        convert: reads one row; raises RowError.
        gives: what rows hold; only ``prompts`` cannot become pairs.
        suits: looks at the values once the columns are there; a row that does not suit is refused.
        guessed: whether ``auto`` may choose it.
        note: what a user of the data should know before training on it.
        rule: how pairs are made of groups unless the user says otherwise.
        keeps_repeats: two answers in a row belong to the format (Anthropic HH) and are kept.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    convert: Convert
    gives: Literal["pairs", "groups", "prompts"] = "pairs"
    suits: Callable[[JsonMap], bool] | None = None
    label_kind: str = "unknown"
    licence: str = "unknown"
    rule: PairRule = field(default_factory=PairRule)
    keeps_repeats: bool = False
    guessed: bool = True
    note: str = ""

    def matches(self, row: JsonMap) -> bool:
        """Whether a row has the columns and the values of this format."""
        return all(name in row for name in self.columns) and (self.suits is None or self.suits(row))

    def check(self, row: JsonMap) -> None:
        """Refuse a row that is not of this format.

        Raises:
            RowError: a column is missing, or the values have another shape.
        """
        missing = [name for name in self.columns if name not in row]
        if missing:
            raise RowError("missing column", f"{', '.join(missing)}; the row has {', '.join(list(row)[:12])}")
        if self.suits is not None and not self.suits(row):
            raise RowError("another layout", f"the values are not those of {self.title}")


def number_of(value: Any) -> float | None:
    """A finite number, also one written as text; None for anything else (``N/A``, null, true)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if number - number == 0 else None


def text_at(row: JsonMap, *names: str) -> str:
    """The first of the columns that holds text or a whole number, as text; else empty."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


def required(row: JsonMap, name: str) -> Any:
    """The value of a column that must be there.

    Raises:
        RowError: it is not.
    """
    if row.get(name) is None:
        raise RowError("missing value", f"{name!r} is {'null' if name in row else 'missing'}")
    return row[name]


def from_conversations(left: Turns, right: Turns, **more: Any) -> Draft:
    """The pair of two whole conversations: what they share is the prompt, counted in messages."""
    n = shared_prefix(left, right)
    return Draft(left[:n], left[n:], right[n:], **more)


def models(row: JsonMap) -> JsonMap:
    """The models that wrote the sides, where a row names them."""
    names = {
        "chosen_model": text_at(row, "chosen_model", "chosen-model"),
        "rejected_model": text_at(row, "rejected_model", "rejected-model"),
    }
    return {key: name for key, name in names.items() if name}


_SCORE_COLUMNS = {
    "margin": "margin",
    **dict.fromkeys(("score_chosen", "chosen_score", "chosen-rating", "rating_chosen"), "chosen_score"),
    **dict.fromkeys(("chosen_rating", "chosen_avg_rating"), "chosen_score"),
    **dict.fromkeys(("score_rejected", "rejected_score", "rejected-rating", "rating_rejected"), "rejected_score"),
    **dict.fromkeys(("rejected_rating", "rejected_avg_rating"), "rejected_score"),
}


def scores(row: JsonMap) -> JsonMap:
    """Margin and scores under the names that preference files use for them; the first name that has a number counts."""
    found: JsonMap = {}
    if _SCORE_COLUMNS.keys().isdisjoint(row):
        return found
    for column, field_name in _SCORE_COLUMNS.items():
        if column in row and field_name not in found and (value := number_of(row[column])) is not None:
            found[field_name] = value
    return found
