"""Draw rows to a target mix, and hold some out; the same seed draws the same rows in whatever order they come."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agora.core.errors import ConfigError, UsageError
from agora.core.files import nearest
from agora.core.jobs import check_place
from agora.core.json_rows import Row
from agora.core.records import JsonMap, stable_id
from agora.curate.curation import CurateReport, Curation, curate
from agora.curate.expressions.fields import FIELDS, field_named, spec_of
from agora.curate.rows import user_turns
from agora.curate.scales import SCALES
from agora.curate.text import normalize
from agora.curate.write import bare_name, beside, write_records

REST = "*"
_DRAWN, _SPLIT = "drawn", "not held out"
_PART = re.compile(r"\s*(?P<name>\"[^\"]*\"|'[^']*'|[^=,]+?)\s*=\s*(?P<weight>[0-9.]+(?:[eE][+-]?\d+)?)\s*(?:,|$)")


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of a field's values; ``*`` stands for all values not named, whose rows are not drawn without it."""

    field: str
    weights: Mapping[str, float]

    def group(self, row: JsonMap) -> str | None:
        """The value whose quota a row counts for; None when it has no place in the mix."""
        value = spec_of(self.field).get(row)
        name = None if value is None else str(value)
        if name in self.weights:
            return name
        return REST if REST in self.weights else None


def parse_mix(text: str) -> Mix:
    """Parse ``FIELD: VALUE=WEIGHT, VALUE=WEIGHT, *=WEIGHT``; weights are normalized.

    Raises:
        ConfigError: another form, an unknown field or value, or weights that are not positive.
    """
    head, colon, rest = text.partition(":")
    field = field_named(head.strip())
    if not colon or field is None:
        near = nearest(head.strip(), list(FIELDS))
        hint = f"did you mean {near}?" if near else "write FIELD: VALUE=WEIGHT, ..., such as category: Math=0.3, *=0.7"
        raise ConfigError(f"{head.strip()!r} is no field to mix by", hint=hint)
    weights = _weights(rest, "a mix")
    scale = SCALES.get(field)
    named: dict[str, float] = {}
    for name, weight in weights.items():
        known = name if name == REST or scale is None else scale.match(name)
        if known is None:
            near = scale.nearest(name) if scale else None
            raise ConfigError(f"{name!r} is no value of {field}", hint=f"did you mean {near}?" if near else None)
        named[known] = named.get(known, 0.0) + weight
    total = sum(named.values())
    return Mix(field, {name: weight / total for name, weight in named.items()})


def parse_splits(text: str) -> dict[str, float]:
    """Parse ``NAME=SHARE, NAME=SHARE``: shares of the rows to hold out, together under 1.

    Raises:
        ConfigError: another form, or shares out of range.
    """
    shares = _weights(text, "a split")
    if not all(re.fullmatch(r"[A-Za-z][\w-]*", name) for name in shares) or sum(shares.values()) >= 1:
        raise ConfigError(
            f"{text!r} is no split", hint="write NAME=SHARE, such as test=0.02; shares sum to less than 1"
        )
    return shares


def _weights(text: str, what: str) -> dict[str, float]:
    found: dict[str, float] = {}
    at = 0
    while at < len(text) and text[at:].strip():
        match = _PART.match(text, at)
        if match is None or not match["name"].strip() or not _number(match["weight"]):
            raise ConfigError(f"{text[at:].strip()[:40]!r} is no part of {what}", hint="write NAME=NUMBER, NAME=NUMBER")
        found[match["name"].strip("\"'")] = float(match["weight"])
        at = match.end()
    if not found:
        raise ConfigError(f"{what} names nothing", hint="write NAME=NUMBER, NAME=NUMBER")
    return found


def _number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def sample_file(
    path: Path,
    out: Path,
    n: int | None = None,
    *,
    mix: Mix | None = None,
    splits: Mapping[str, float] | None = None,
    fill: bool = False,
    seed: int = 0,
    format: str = "auto",
    on: str = "local",
    workers: int | None = None,
) -> CurateReport:
    """Draw ``n`` rows.

    Which rows are drawn depends on their ids and the seed alone. Held-out rows lie in files of their own
    (``kept.test.jsonl``); which these are depends on the user turns, so equal prompts are never on both sides.

    Args:
        path: any readable file.
        out: the rows drawn, in the order of the file.
        n: how many; None takes all (as many as the mix allows without going short of any value).
        mix: shares of a field's values; a value with too few rows is reported.
        splits: name -> share of the drawn rows to hold out.
        fill: draw from the other values what one lacks.
        seed: of the draw and of the split.
        format: of the input.
        on: where each row's place, value and split are found, see :func:`agora.curate.row_parts.parts_of`; the draw
            needs all of them at once and is done here.
        workers: processes for that.

    Raises:
        UsageError: neither ``n`` nor a mix nor splits.
    """
    if n is None and mix is None and not splits:
        raise UsageError("nothing to draw", hint="give --n, --mix or --split")
    check_place(on)
    config = {"n": n, "mix": mix and {mix.field: dict(mix.weights)}, "splits": dict(splits or {}), "fill": fill}
    steps = [*([_DRAWN] if n is not None or mix is not None else []), *([_SPLIT] if splits else [])]
    with curate(path, out, verb="sample", steps=steps, config=config, seed=seed, format=format) as work:
        table = _Table()
        look = partial(_look, mix, splits or {}, seed)
        for found in work.in_parts(look, on=on, workers=workers, label="sample"):
            table.take_in(found)
        drawn = _draw(table, n, mix, fill, work.facts)
        work.write(_kept(work, table, drawn, splits or {}))
        for name in splits or {}:
            _write_split(work, table, drawn, name)
    return work.report


class _Table:
    """What the draw needs of each row: a place in the order, a group, a split."""

    def __init__(self) -> None:
        self.places = array("Q")
        self.groups: list[str | None] = []
        self.splits: list[str | None] = []

    def take_in(self, later: _Table) -> None:
        """Add what is known of the rows that follow."""
        self.places.extend(later.places)
        self.groups += later.groups
        self.splits += later.splits


def _look(mix: Mix | None, splits: Mapping[str, float], seed: int, rows: list[Row]) -> _Table:
    table = _Table()
    for _, row in rows:
        table.places.append(int(stable_id("sample", seed, row["id"]), 16))
        table.groups.append(mix.group(row) if mix else REST)
        table.splits.append(_split_of(row, splits, seed))
    return table


def _split_of(row: JsonMap, splits: Mapping[str, float], seed: int) -> str | None:
    if not splits:
        return None
    key = "\x1e".join(normalize(text) for text in user_turns(row))
    place, edge = int(stable_id("split", seed, key), 16) / 2**64, 0.0
    for name, share in splits.items():
        edge += share
        if place < edge:
            return name
    return None


def _draw(table: _Table, n: int | None, mix: Mix | None, fill: bool, facts: JsonMap) -> list[bool]:
    by_group: dict[str, list[int]] = {}
    for row in sorted(range(len(table.places)), key=lambda i: (table.places[i], i)):
        group = table.groups[row]
        if group is not None:
            by_group.setdefault(group, []).append(row)
    weights = dict(mix.weights) if mix else {REST: 1.0}
    asked = quotas(weights, _most(weights, by_group) if n is None else n)
    chosen = [row for name, quota in asked.items() for row in by_group.get(name, [])[:quota]]
    facts["drawn"] = {name: min(quota, len(by_group.get(name, []))) for name, quota in asked.items()}
    short = {
        name: {"asked": quota, "found": found}
        for name, quota in asked.items()
        if (found := len(by_group.get(name, []))) < quota
    }
    if short:
        facts["shortfall"] = short
    missing = sum(asked.values()) - len(chosen)
    if fill and missing:
        left = [row for name, quota in asked.items() for row in by_group.get(name, [])[quota:]]
        chosen += sorted(left, key=lambda i: (table.places[i], i))[:missing]
    taken = [False] * len(table.places)
    for row in chosen:
        taken[row] = True
    return taken


def _most(weights: Mapping[str, float], by_group: Mapping[str, Sequence[int]]) -> int:
    """The most rows that keep the mix exactly."""
    return min((int(len(by_group.get(name, ())) / weight) for name, weight in weights.items()), default=0)


def quotas(weights: Mapping[str, float], n: int) -> dict[str, int]:
    """Whole numbers that sum to ``n``, in proportion to the weights (largest remainder)."""
    total = sum(weights.values())
    exact = {name: n * weight / total for name, weight in weights.items()}
    found = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (found[name] - exact[name], name))
    for name in by_remainder[: n - sum(found.values())]:
        found[name] += 1
    return found


def _kept(work: Curation, table: _Table, drawn: Sequence[bool], splits: Mapping[str, float]) -> Iterator[JsonMap]:
    for i, row in enumerate(work.again()):
        if not drawn[i]:
            work.drop(row, _DRAWN, "in no part of the mix" if table.groups[i] is None else "not drawn")
        elif table.splits[i] is None:
            yield row
        else:
            work.set_apart(_SPLIT, f"held out for {table.splits[i]}", 1)


def _write_split(work: Curation, table: _Table, drawn: Sequence[bool], name: str) -> None:
    file = beside(work.out, name + "".join(work.out.suffixes[-2 if bare_name(work.out) != work.out else -1 :]))
    rows = (row for i, row in enumerate(work.again()) if drawn[i] and table.splits[i] == name)
    n = write_records(rows, file, work.source.record_type)
    work.facts.setdefault("splits", {})[name] = {"file": str(file), "rows": n}
