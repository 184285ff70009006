"""Preference files of any known format in, pairs out; every row that gives none is kept with its place and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.json_text import dumps
from agora.core.jsonl import Rejects
from agora.core.records import JsonMap, PreferencePair, PromptItem, Provenance
from agora.core.tables import Row
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Context, Draft, Given, GroupDraft, PromptDraft
from agora.curate.pairs.checks import checked
from agora.curate.pairs.detect import Chosen, choose_format
from agora.curate.pairs.make import Place, Settings, content_id, group_of, pair_of, pairs_of, prompt_item, settled
from agora.curate.pairs.records import RankedGroup, UnpairedExample
from agora.curate.pairs.rules import PairRule
from agora.curate.pairs.turns import Turns, plain
from agora.curate.sources import open_source, source_name

FIRST_ROWS = 1000
MAX_DROPPED = 0.2
_MAX_DROPPED_FIRST = 0.5


@dataclass(slots=True)
class ReadTally:
    """What became of the rows: ``dropped`` rows are faulty, ``set_aside`` ones gave no pair by the rule."""

    format: str = ""
    rows: int = 0
    pairs: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    scored: int = 0
    inverted: int = 0

    @property
    def n_dropped(self) -> int:
        """Faulty rows."""
        return self.dropped.total()

    def to_json(self) -> JsonMap:
        """Plain JSON values."""
        return {
            "format": self.format,
            "rows": self.rows,
            "pairs": self.pairs,
            "dropped": dict(self.dropped.most_common()),
            "set_aside": dict(self.set_aside.most_common()),
            "scored": self.scored,
            "inverted": self.inverted,
        }


def read_pairs(
    path: Path,
    *,
    format: str = "auto",
    rule: PairRule | None = None,
    rejects: Rejects | None = None,
    limit: int | None = None,
    merge_turns: bool = False,
    trust_labels: bool = False,
    source: str | None = None,
    label_kind: str | None = None,
    tally: ReadTally | None = None,
) -> Iterator[PreferencePair]:
    """Read preference pairs, one at a time.

    Ids are hashes of the content, so two equal rows have one id; a pair of ours keeps its own.

    Args:
        path: JSON Lines, JSON or Parquet (plain, .gz, .zst), a folder of `datasets`, or ``hub:OWNER/NAME``; see
            :func:`agora.curate.sources.open_source`.
        format: a name in ``PAIR_FORMATS``, ``openrlhf:prompt=..,chosen=..,rejected=..``, or ``auto``.
        rule: how pairs are made of ranked answers, and what becomes of ties; None is the format's own.
        rejects: takes each row that gives no pair, as ``file:line``, reason and row; without it a faulty row is an
            error and a row without a pair is only counted in ``tally``.
        limit: how many rows to read at most.
        merge_turns: join neighbors of one role by a blank line instead of refusing them.
        trust_labels: accept chosen answers that score below the rejected ones.
        source: what the pairs' provenance calls the source; default: the file's name.
        label_kind: who labelled: human, ai, votes or rule; default: what the format says.
        tally: counts what became of the rows.

    Raises:
        MissingError: no such file; the hub cannot be reached.
        UsageError: unknown format or column.
        DataError: unknown layout or prompts alone; at the end: a chosen answer scores below its rejected one, more than
            20 % of the rows are faulty, or there is no pair at all.
    """
    path = Path(path)
    chosen = choose_format(path, format)
    if chosen.format.gives == "prompts":
        hint = "use its prompts for PPO, or name the columns with --format openrlhf:prompt=..,chosen=..,rejected=.."
        raise DataError(f"the file holds {chosen.format.title}, which prefer nothing", where=str(path), hint=hint)
    settings = Settings(
        source or source_name(path), (rule or chosen.format.rule).over(chosen.format.rule), merge_turns, label_kind
    )
    reader = _Reader(path, chosen, settings, rejects, tally or ReadTally(), trust_labels)
    return reader.pairs(limit)


def read_groups(path: Path, *, format: str = "auto", rejects: Rejects | None = None) -> Iterator[RankedGroup]:
    """Read the ranked answers of each prompt, before any rule; arguments and errors as :func:`read_pairs`.

    Raises:
        DataError: the format holds pairs or prompts.
    """
    path = Path(path)
    chosen = choose_format(path, format)
    if chosen.format.gives != "groups":
        raise DataError(f"{chosen.format.title} holds no groups of answers", where=str(path), hint="use read_pairs")
    settings = Settings(source_name(path), chosen.format.rule.over(chosen.format.rule))
    reader = _Reader(path, chosen, settings, rejects, ReadTally(), True)
    return (group_of(draft, place, settings, chosen.format) for draft, place in reader.groups(None))


def read_prompts(
    path: Path, *, format: str = "auto", rejects: Rejects | None = None, limit: int | None = None
) -> Iterator[PromptItem]:
    """Read the prompts of a file of any known format, each once; arguments and errors as :func:`read_pairs`."""
    path = Path(path)
    chosen = choose_format(path, format)
    reader = _Reader(path, chosen, Settings(source_name(path), chosen.format.rule), rejects, ReadTally(), True)
    return reader.prompts(limit)


def read_unpaired(path: Path, *, format: str = "auto", rejects: Rejects | None = None) -> Iterator[UnpairedExample]:
    """Answers that are good or bad by themselves: the rows of an unpaired file, or each side of each pair but ties."""
    path = Path(path)
    chosen = choose_format(path, format)
    if chosen.format.name == "trl-unpaired":
        for group in read_groups(path, format=chosen.format.name, rejects=rejects):
            for response in group.responses:
                yield _example(group.prompt, response.messages, response.score == 1, group.provenance)
        return
    for pair in read_pairs(path, format=format, rejects=rejects):
        if not pair.tie:
            yield _example(pair.prompt, pair.chosen, True, pair.provenance)
            yield _example(pair.prompt, pair.rejected, False, pair.provenance)


def _example(prompt: Turns, answer: Turns, label: bool, provenance: Provenance | None) -> UnpairedExample:
    return UnpairedExample(content_id(f"unpaired {label}", prompt, answer), prompt, answer, label, provenance)


def score_gap(pair: PreferencePair) -> float | None:
    """How much better the chosen side is by its score, else by the margin; None where neither is known."""
    if pair.chosen_score is None or pair.rejected_score is None:
        return pair.margin
    return pair.chosen_score - pair.rejected_score


class _Reader:
    """One pass over one source."""

    def __init__(
        self, path: Path, chosen: Chosen, settings: Settings, rejects: Rejects | None, tally: ReadTally, trust: bool
    ) -> None:
        self._path, self._format, self._keys = path, chosen.format, chosen.keys
        self._settings, self._rejects, self._tally, self._trust = settings, rejects, tally, trust
        self._released = settings.released
        self._handed = 0  # rows that this reader itself gave to the rejects
        self._before = rejects.count if rejects else 0
        tally.format = chosen.format.name

    def pairs(self, limit: int | None) -> Iterator[PreferencePair]:
        """The pairs; raises at the end when the whole looks wrong."""
        later: list[tuple[GroupDraft, Place]] = []
        for given, place in self._given(limit, later):
            drafts = [given] if isinstance(given, Draft) else self._drafts(given, place)
            yield from self._finished(drafts, place)
        for group, place in _joined(later):
            yield from self._finished(self._drafts(group, place), place)
        self._judge_the_whole()

    def groups(self, limit: int | None) -> Iterator[tuple[GroupDraft, Place]]:
        """The groups, those of several rows joined and at the end."""
        later: list[tuple[GroupDraft, Place]] = []
        for given, place in self._given(limit, later):
            if isinstance(given, GroupDraft):
                yield given, place
        yield from _joined(later)

    def prompts(self, limit: int | None) -> Iterator[PromptItem]:
        """The prompts, each once."""
        seen: set[str] = set()
        for given, place in self._given(limit, None):
            try:
                item = prompt_item(given, place, self._settings, self._format)
            except RowError as error:
                self._drop(place, error)
                continue
            if item.id not in seen:
                seen.add(item.id)
                yield item
        if not seen:
            self._nothing("prompt")

    def _given(
        self, limit: int | None, later: list[tuple[GroupDraft, Place]] | None
    ) -> Iterator[tuple[Draft | GroupDraft | PromptDraft, Place]]:
        """What each readable row gives; groups that other rows belong to go to ``later`` instead."""
        for file, row in open_source(self._path, rejects=self._rejects, limit=limit):
            self._tally.rows += 1
            if self._tally.rows == FIRST_ROWS:
                self._stop_if_dropped(_MAX_DROPPED_FIRST)
            place = Place(file, row.line, row.data)
            try:
                given = self._converted(row, file)
            except RowError as error:
                self._drop(place, error)
                continue
            if later is not None and isinstance(given, GroupDraft) and given.key:
                later.append((given, place._replace(raw=None)))
            else:
                yield given, place

    def _converted(self, row: Row, file: str) -> Given:
        context = Context(file, row.line, self._settings.rule.seed, self._keys)
        self._format.check(row.data)
        return self._format.convert(row.data, context)

    def _drafts(self, group: Any, place: Place) -> list[Draft]:
        made = pairs_of(group_of(group, place, self._settings, self._format), self._settings.rule)
        if made.reason:
            self._set_aside(place, made.reason)
        return made.drafts

    def _finished(self, drafts: list[Draft], place: Place) -> Iterator[PreferencePair]:
        for draft in drafts:
            try:
                reason = settled(draft, self._settings.rule)
                if reason:
                    self._set_aside(place, reason)
                    continue
                draft = checked(draft, merge_turns=self._settings.merge_turns, keeps_repeats=self._format.keeps_repeats)
            except RowError as error:
                self._drop(place, error)
                continue
            pair = pair_of(draft, place, self._settings, self._format, self._released)
            self._tally.pairs += 1
            gap = score_gap(pair)
            if gap is not None and not pair.tie:
                self._tally.scored += 1
                self._tally.inverted += gap < 0
            yield pair

    def _drop(self, place: Place, error: RowError) -> None:
        """A faulty row: without rejects it ends the reading."""
        own_id = place.own_id
        detail = "; ".join(part for part in (error.detail, f"row {own_id}" if own_id else "") if part)
        if self._rejects is None:
            raise DataError(f"{error.reason}: {detail}" if detail else error.reason, where=place.where)
        self._tally.dropped[error.reason] += 1
        self._hand_over(place, error.reason, detail)

    def _set_aside(self, place: Place, reason: str) -> None:
        self._tally.set_aside[reason] += 1
        if self._rejects is not None:
            self._hand_over(place, reason, "")

    def _hand_over(self, place: Place, reason: str, detail: str) -> None:
        assert self._rejects is not None
        self._handed += 1
        self._rejects.add(place.where, reason, _storable(place.raw), detail=detail or None)

    def _judge_the_whole(self) -> None:
        tally = self._tally
        self._stop_if_dropped(MAX_DROPPED)
        if tally.inverted and not self._trust:
            hint = "swap the sides, or go on with --trust-labels if the labels do not come from these scores"
            what = f"labels look inverted in {tally.inverted:,} of {tally.scored:,} rows (chosen scores below rejected)"
            raise DataError(what, where=str(self._path), hint=hint)
        if not tally.pairs:
            self._nothing("pair")

    def _stop_if_dropped(self, most: float) -> None:
        malformed = self._rejects.count - self._before - self._handed if self._rejects else 0
        rows, bad = self._tally.rows + malformed, self._tally.n_dropped + malformed
        if bad <= most * rows:
            return
        reasons = Counter(self._tally.dropped)
        if malformed:
            reasons["malformed row"] = malformed
        listed = ", ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common(4))
        kept = f"see {self._rejects.path}" if self._rejects and self._rejects.path else "mend the file"
        raise DataError(
            f"{bad:,} of {rows:,} rows were dropped as {self._format.name} (at most {most:.0%} may be): {listed}",
            where=str(self._path),
            hint=f"{kept}, or name another format with --format",
        )

    def _nothing(self, what: str) -> None:
        reasons = ", ".join(f"{r} ({n:,})" for r, n in (self._tally.set_aside + self._tally.dropped).most_common(4))
        raise DataError(f"no {what} came of {self._tally.rows:,} rows: {reasons or 'no rows'}", where=str(self._path))


def _joined(parts: list[tuple[GroupDraft, Place]]) -> Iterator[tuple[GroupDraft, Place]]:
    """Groups of one prompt (or one named key) made one, in the order of their first rows; exact repeats once."""
    groups: dict[Any, tuple[GroupDraft, Place, dict[Any, Any]]] = {}
    for part, place in parts:
        key = part.key if part.key != "prompt" else tuple(plain(part.prompt))
        _, _, responses = groups.setdefault(key, (part, place, {}))
        for response in part.responses:
            same = (tuple(plain(response.messages)), response.model, response.score, dumps(response.aspects))
            responses.setdefault(same, response)
    for first, place, found in groups.values():
        yield replace(first, responses=tuple(found.values())), place


def _storable(raw: JsonMap | None) -> JsonMap | None:
    """The row as the reject file can hold it; None when it cannot."""
    try:
        dumps(raw)
    except DataError:
        return None
    return raw
