"""Keep the rows of a file that an expression describes; every other row gets the first clause that it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agora.core.errors import ConfigError, DataError
from agora.core.jobs import check_place
from agora.core.json_rows import Row
from agora.core.progress import progress
from agora.core.records import JsonMap, stable_id
from agora.curate.curation import CurateReport, Curation, curate
from agora.curate.expressions import PRESETS, Clause, Evaluator, Pick, Program, parse_program
from agora.curate.expressions.fields import spec_of
from agora.curate.expressions.grammar import uses
from agora.curate.expressions.nodes import Call, Field, walk

if TYPE_CHECKING:
    import numpy as np

Unknown = Literal["drop", "keep"]
_LENGTHS = frozenset({"len", "words", "lines"})
_SLOW = frozenset({"repeats", "run", "nonprinting"})
# Among answers chosen for their length, those that go in circles come first: they must be gone before.
_GUARD = "repeats(answer) < 0.5"


def filter_file(
    path: Path,
    out: Path,
    expression: str = "",
    *,
    preset: str = "",
    unknown: Unknown = "drop",
    format: str = "auto",
    on: str = "local",
    workers: int | None = None,
) -> CurateReport:
    """Filter a file; see :mod:`agora.curate.expressions.grammar` for the language.

    Before rows are picked by the length of their answers, those whose answers go in circles are set aside, unless the
    expression itself says how much repetition it bears (spec: of 6,128 judged answers the longest third scores 6.32,
    and 6.58 once 177 repetitive ones are removed first).

    Args:
        path: any readable file; rows marked by an earlier pass count as lost before.
        out: the rows that stay, in the order of the file.
        expression: conditions, then perhaps picks.
        preset: a name in ``PRESETS``; its conditions come before those of the expression, its picks after.
        unknown: what becomes of a row when a clause looks at a field that it lacks.
        format: of the input.
        on: where the conditions are looked at, see :func:`agora.curate.row_parts.parts_of`; picks and writing need all
            rows in their order and are done here.
        workers: processes for that.

    Raises:
        ConfigError: no such preset, or the expression is none.
        DataError: no row at all has a field that a clause needs and unknown rows are dropped: nothing would stay.
    """
    program = guarded(_program(expression, preset))
    check_place(on)
    steps = [clause.text for clause in program.clauses] + [pick.text for pick in program.picks]
    config = {"expression": program.text, "preset": preset or None, "unknown": unknown}
    with curate(path, out, verb="filter", steps=steps, config=config, format=format) as work:
        verdicts = _judge(work, program, unknown, on, workers)
        work.facts |= {"expression": program.text, "unknown": unknown, **verdicts.facts()}
        final = _pick(program.picks, verdicts, work.facts)
        work.write(_kept(work, verdicts, final))
    return work.report


def _program(expression: str, preset: str) -> Program:
    if preset and preset not in PRESETS:
        from agora.core.files import nearest

        near = nearest(preset, list(PRESETS))
        raise ConfigError(
            f"there is no preset {preset!r}", hint=f"did you mean {near}?" if near else f"choose {', '.join(PRESETS)}"
        )
    parts = [
        parse_program(text)
        for text in ((PRESETS[preset].expression,) if preset else ()) + ((expression,) if expression else ())
    ]
    if not parts:
        raise ConfigError("nothing to filter by", hint="give --where EXPRESSION, --preset NAME or both")
    clauses = tuple(clause for part in parts for clause in part.clauses)
    picks = tuple(pick for part in reversed(parts) for pick in part.picks)
    if len(parts) == 1:
        return parts[0]
    conditions = " and ".join(f"({c.text})" if " or " in c.text else c.text for c in clauses)
    return Program(" then ".join(filter(None, [conditions, *(pick.text for pick in picks)])), clauses, picks)


def guarded(program: Program) -> Program:
    """The program with a repetition filter in front of any pick by the answer's length."""
    keys = [quota.key for pick in program.picks for quota in pick.quotas]
    by_length = any(
        isinstance(node, Call) and node.name in _LENGTHS and node.args == (Field("answer"),)
        for key in keys
        for node in walk(key)
    )
    if not by_length or uses(program, "repeats"):
        return program
    conditions = " and ".join([c.text for c in program.clauses] + [_GUARD])
    text = " then ".join([conditions, *(pick.text for pick in program.picks)])
    return Program(text, (*program.clauses, *parse_program(_GUARD).clauses), program.picks)


class _Verdicts:
    """Why each of some rows does not stay: ``codes`` indexes ``reasons``, 0 for a row that stays."""

    def __init__(self, program: Program) -> None:
        from array import array

        self.reasons: list[tuple[str, str]] = [("", "")]
        self._index: dict[tuple[str, str], int] = {}
        self._codes = array("i")
        self.keys: list[list[array[float]]] = [[array("d") for _ in pick.quotas] for pick in program.picks]
        self.ties = array("Q")
        self.known: dict[str, int] = {name: 0 for clause in program.clauses for name in _fields(clause)}
        self.n_unknown = 0

    def code(self, step: str, reason: str) -> int:
        key = (step, reason)
        if key not in self._index:
            self._index[key] = len(self.reasons)
            self.reasons.append(key)
        return self._index[key]

    def extend(self, codes: np.ndarray) -> None:
        self._codes.frombytes(codes.astype("i").tobytes())

    def take_in(self, later: _Verdicts) -> None:
        """Add those of the rows that follow."""
        import numpy as np

        numbers = np.array([0, *(self.code(*reason) for reason in later.reasons[1:])])
        self.extend(numbers[later.codes])
        for mine, theirs in zip(self.keys, later.keys, strict=True):
            for key, more in zip(mine, theirs, strict=True):
                key.extend(more)
        self.ties.extend(later.ties)
        for name, count in later.known.items():
            self.known[name] += count
        self.n_unknown += later.n_unknown

    @property
    def codes(self) -> np.ndarray:
        import numpy as np

        return np.frombuffer(self._codes, dtype=np.int32) if len(self._codes) else np.zeros(0, dtype=np.int32)

    def facts(self) -> JsonMap:
        return {"rows_with_field": self.known, "unknown_rows": self.n_unknown}


def _fields(clause: Clause) -> list[str]:
    return [node.name for node in walk(clause.node) if isinstance(node, Field)]


def _judge(work: Curation, program: Program, unknown: Unknown, on: str, workers: int | None) -> _Verdicts:
    """Every row's first failing clause, and the numbers that picks order by."""
    verdicts = _Verdicts(program)
    judge = partial(_judge_rows, program, unknown)
    for found in work.in_parts(judge, on=on, workers=workers, label="filter"):
        verdicts.take_in(found)
    if len(verdicts.codes) and unknown == "drop":
        _refuse_hopeless(verdicts, work.source.path)
    return verdicts


def _refuse_hopeless(verdicts: _Verdicts, path: Path) -> None:
    for name, count in verdicts.known.items():
        if not count:
            made_by = spec_of(name).made_by
            fill = f"run `{made_by}` first, or " if made_by else ""
            raise DataError(
                f"no row has {name!r}, so none would stay", where=str(path), hint=f"{fill}pass --unknown keep"
            )


def _judge_rows(program: Program, unknown: Unknown, numbered: list[Row]) -> _Verdicts:
    import numpy as np

    verdicts, rows = _Verdicts(program), [row.data for row in numbered]
    evaluator = Evaluator(rows)
    codes = np.zeros(len(rows), dtype=np.int32)
    for clause in program.clauses:
        standing = codes == 0
        known, false = _decided(clause, rows, evaluator, standing)
        for name in _fields(clause):
            verdicts.known[name] += int(evaluator.column(Field(name)).known.sum())
        codes[false] = verdicts.code(clause.text, f"not {_in_words(clause.text)}")
        lacking = standing & ~known
        if lacking.any():
            verdicts.n_unknown += int(lacking.sum())
            if unknown == "drop":
                codes[lacking] = verdicts.code(clause.text, f"unknown: {clause.text}")
    verdicts.extend(codes)
    for pick, keys in zip(program.picks, verdicts.keys, strict=True):
        for quota, key in zip(pick.quotas, keys, strict=True):
            number = evaluator.number(quota.key)
            where = evaluator.truth(quota.where.node).is_true() if quota.where else np.ones(len(rows), dtype=bool)
            values = np.where(number.known, number.values if quota.highest else -number.values, -np.inf)
            key.frombytes(np.where(where, values, np.nan).tobytes())
    if verdicts.keys:
        verdicts.ties.extend(int(stable_id(row["id"]), 16) for row in rows)
    return verdicts


def _decided(
    clause: Clause, rows: list[JsonMap], evaluator: Evaluator, standing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where a clause is known and where it is false, among the rows that still stand.

    What reads whole texts is asked of these rows only: most have failed a cheaper clause before.
    """
    import numpy as np

    slow = any(isinstance(node, Call) and node.name in _SLOW for node in walk(clause.node))
    if not slow or standing.all():
        truth = evaluator.truth(clause.node)
        return truth.known, standing & truth.known & ~truth.values
    places = np.flatnonzero(standing)
    truth = Evaluator([rows[i] for i in places.tolist()]).truth(clause.node)
    known, false = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    known[places], false[places] = truth.known, truth.known & ~truth.values
    return known, false


def _in_words(text: str) -> str:
    return f"({text})" if " " in text and " or " in text else text


def _pick(picks: Sequence[Pick], verdicts: _Verdicts, facts: JsonMap) -> list[int]:
    """Apply the picks one after another; rows that are not taken get the pick as their reason."""
    import numpy as np

    codes = verdicts.codes.copy()
    ties = np.frombuffer(verdicts.ties, dtype=np.uint64) if len(verdicts.ties) else np.zeros(0, dtype=np.uint64)
    shortfall: JsonMap = {}
    for pick, key_arrays in zip(picks, verdicts.keys, strict=True):
        left = codes == 0  # nobody has taken these yet
        taken = np.zeros(len(codes), dtype=bool)
        no_quota = left.copy()
        for quota, array in zip(pick.quotas, key_arrays, strict=True):
            keys = np.frombuffer(array, dtype=np.float64) if len(array) else np.zeros(0)
            eligible = left & ~np.isnan(keys)
            left &= ~eligible
            no_quota &= ~eligible
            chosen = _highest(np.flatnonzero(eligible), keys, ties, quota.n)
            taken[chosen] = True
            if len(chosen) < quota.n:
                name = f"{'top' if quota.highest else 'bottom'} {quota.n}" + (
                    f" where {quota.where.text}" if quota.where else ""
                )
                shortfall[name] = {"asked": quota.n, "found": len(chosen)}
        standing = codes == 0
        codes[standing & no_quota] = verdicts.code(pick.text, "meets no quota")
        codes[standing & ~no_quota & ~taken] = verdicts.code(pick.text, "not among the picked")
    if shortfall:
        facts["shortfall"] = shortfall
    final: list[int] = codes.tolist()
    return final


def _highest(rows: np.ndarray, keys: np.ndarray, ties: np.ndarray, n: int) -> np.ndarray:
    """The ``n`` rows of the highest keys; equal keys are taken in an order that depends on the ids alone."""
    import numpy as np

    if len(rows) <= n:
        return rows
    return rows[np.lexsort((ties[rows], -keys[rows]))[:n]]


def _kept(work: Curation, verdicts: _Verdicts, codes: list[int]) -> Iterator[JsonMap]:
    with progress(len(codes), "write", "rows") as bar:
        for row, code in zip(work.again(), codes, strict=True):
            bar.advance()
            if code == 0:
                yield row
            else:
                work.drop(row, *verdicts.reasons[code])
