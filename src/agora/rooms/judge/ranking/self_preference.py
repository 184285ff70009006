"""Ranks with and without what judges say of their own family.

A verdict is left out where the judge meets its own family: the candidate is of it, or the baseline of a comparison is.
In one judge's table a candidate of the family then has no rank. Over several judges it has one, from the others: a
model's strength and a judge's level are fitted to the values of the models that two judges or more rank, so that a kind
judge who skips a model does that model no harm.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agora.core.errors import DataError
from agora.core.records import Verdict
from agora.core.stats import Interval
from agora.rooms.judge.asking.summary import related
from agora.rooms.judge.trust.judge_agreement import self_preference

if TYPE_CHECKING:
    from agora.rooms.judge.ranking.board import BoardRow, JudgeTable

Families = Mapping[str, Sequence[str]]
_PANEL = re.compile(r"panel\((.*)\)")


@dataclass(frozen=True, slots=True)
class KinRow:
    """One model, with and without the verdicts of its own family.

    Args:
        kin: judges of its family.
        rank, value: with all verdicts; ``value`` is on the scale of the table, over several judges at their mean level.
        rank_without, value_without: without; None where nobody else judged it.
        moved: it changed places with a model that has both ranks.
    """

    name: str
    kin: tuple[str, ...]
    rank: int | None
    value: float | None
    rank_without: int | None
    value_without: float | None
    moved: bool = False


@dataclass(frozen=True, slots=True)
class KinRanks:
    """The two rankings of one table, or of several tables together.

    Args:
        judges: whose verdicts they rest on.
        left_out: verdicts in which a judge meets its family.
        rows: in the order of the ranking with all verdicts.
        preference: how much each judge gives its family beyond what the other judges give the same answers, on the
            scale of its verdicts; only judges for which it is known.
        reason: why there is no ranking, where there is none.
    """

    judges: tuple[str, ...]
    left_out: int
    rows: tuple[KinRow, ...]
    preference: Mapping[str, Interval]
    reason: str | None = None

    def row(self, name: str) -> KinRow | None:
        """The row of a model."""
        return next((row for row in self.rows if row.name == name), None)


def is_kin(judge: str, model: str, families: Families) -> bool:
    """Whether a model is of a judge's family: by the family that was named, else by their names; a panel is all its
    members.
    """
    members = found[1].split(" + ") if (found := _PANEL.fullmatch(judge)) else [judge]
    return any(model in families[one] if one in families else related(one, model) is not None for one in members)


def table_ranks(
    judge: str, rows: Sequence[BoardRow], ranked_by: str, verdicts: Iterable[Verdict], families: Families
) -> KinRanks | None:
    """The two rankings of one judge's table; None where the judge meets nobody of its family."""
    own = {row.name for row in rows if is_kin(judge, row.name, families)}
    if not own:
        return None
    kind = "score" if ranked_by == "score" else "pair"
    left_out = sum(v.kind == kind and (v.model in own or v.baseline in own) for v in verdicts)
    ranked = [row for row in rows if row.rank is not None]
    before = {row.name: row.value for row in ranked if row.value is not None}
    after = {row.name: _value_without(row, ranked_by, own) for row in ranked if row.name not in own}
    return KinRanks((judge,), left_out, _rows(before, _known(after), dict.fromkeys(own, (judge,))), {})


def _value_without(row: BoardRow, ranked_by: str, own: set[str]) -> float | None:
    if ranked_by == "score" or row.reward is None:
        return row.value
    left = [one for name, one in row.reward.baselines.items() if name not in own]
    known = [one.reward for one in left if one.reward is not None]
    compared = any(not one.is_self for one in left)  # the 0 against itself alone says nothing
    return sum(known) / len(known) if compared and len(known) == len(left) else None


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def joint_ranks(tables: Sequence[JudgeTable], verdicts: Iterable[Verdict], families: Families) -> list[KinRanks]:
    """The two rankings of several judges together, one for scores and one for comparisons.

    Only where two judges or more rank the same models and one of them meets its family; panels are left aside, since
    their members are there.
    """
    rows = [v for v in verdicts if v.value is not None]
    found = []
    for ranked_by in ("score", "reward"):
        part = [t for t in tables if t.ranked_by == ranked_by and not _PANEL.fullmatch(t.judge)]
        shared = {name for name, n in Counter(name for t in part for name in t.ranking).items() if n > 1}
        if len(shared) > 1 and any(table.own for table in part):
            of_kind = [v for v in rows if (v.kind == "score") == (ranked_by == "score")]
            found.append(_joint(part, shared, of_kind, families))
    return found


def _joint(
    tables: Sequence[JudgeTable], models: Collection[str], verdicts: Sequence[Verdict], families: Families
) -> KinRanks:
    before: dict[tuple[str, str], float] = {}
    after: dict[tuple[str, str], float] = {}
    kin: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for table in tables:
        name = f"{table.judge} {table.version}".strip()
        for row in table.rows:
            if row.name not in models or row.rank is None or row.value is None:
                continue
            own = table.own.row(row.name) if table.own else None
            before[name, row.name] = row.value
            if own is None or own.value_without is not None:
                after[name, row.name] = row.value if own is None or own.value_without is None else own.value_without
            if own is not None and own.kin:
                kin[row.name] += (table.judge,)
    left_out = sum(
        v.model in models and any(is_kin(v.judge, name, families) for name in (v.model, v.baseline) if name)
        for v in verdicts
        if not _PANEL.fullmatch(v.judge)
    )
    names = tuple(dict.fromkeys(name for name, _ in before))
    with_all, without = _strengths(before), _strengths(after)
    reason = None if with_all and without else "some judges have no model in common, so their levels cannot be compared"
    rows = _rows(with_all, without, kin) if reason is None else ()
    return KinRanks(names, left_out, rows, _preferences(verdicts, families), reason)


def _strengths(cells: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Least squares of value = strength of the model + level of the judge, the levels' mean being 0; empty where judges
    and models fall into parts that nothing connects.
    """
    import numpy as np

    judges, models = (list(dict.fromkeys(sorted(key[i] for key in cells))) for i in (0, 1))
    design = np.zeros((len(cells), len(models) + len(judges)))
    for i, (judge, model) in enumerate(cells):
        design[i, models.index(model)] = design[i, len(models) + judges.index(judge)] = 1.0
    if np.linalg.matrix_rank(design) < len(models) + len(judges) - 1:
        return {}
    solution = np.linalg.lstsq(design, np.array(list(cells.values())), rcond=None)[0]
    level = float(solution[len(models) :].mean())
    return {model: float(solution[m]) + level for m, model in enumerate(models)}


def _preferences(verdicts: Sequence[Verdict], families: Families) -> dict[str, Interval]:
    models = sorted({v.model for v in verdicts})
    found = {}
    for judge in sorted({v.judge for v in verdicts if not _PANEL.fullmatch(v.judge)}):
        family = [model for model in models if is_kin(judge, model, families)]
        try:
            found[judge] = self_preference(verdicts, judge, family).preference if family else None
        except DataError:  # nobody else judged both its family and others
            continue
    return {judge: preference for judge, preference in found.items() if preference is not None}


def _rows(
    before: Mapping[str, float], after: Mapping[str, float], kin: Mapping[str, tuple[str, ...]]
) -> tuple[KinRow, ...]:
    first, second = _places(before), _places(after)
    both = [name for name in first if name in second]
    place = {name: i for i, name in enumerate(sorted(both, key=second.__getitem__))}
    return tuple(
        KinRow(
            name,
            kin.get(name, ()),
            first[name],
            before[name],
            second.get(name),
            after.get(name),
            moved=name in place and place[name] != both.index(name),
        )
        for name in first
    )


def _places(values: Mapping[str, float]) -> dict[str, int]:
    """Names by value, best first, ties by name as in the table."""
    ordered = sorted(values, key=lambda name: (-values[name], name))
    return {name: i for i, name in enumerate(ordered, 1)}


def kin_note(found: KinRanks) -> str:
    """One line: who was left out, and what moved."""
    who = "all judges" if len(found.judges) > 1 else found.judges[0]
    if found.reason is not None:
        return f"self-preference of {who}: no ranking without it, {found.reason}"
    own = ", ".join(row.name for row in found.rows if row.kin)
    gone = f"without the {found.left_out:,} verdicts in which {who} meet{'s' if len(found.judges) == 1 else ''} " + (
        f"their own family ({own})" if len(found.judges) > 1 else f"its own family ({own or 'a baseline'})"
    )
    moved = [f"{row.name} {row.rank} to {row.rank_without}" for row in found.rows if row.moved]
    note = f"{gone} " + (f"the order changes: {', '.join(moved)}" if moved else "the order of the other models stays")
    if len(found.judges) > 1:
        note = note.replace("the order of the other models stays", "no model changes its place")
    for judge, gap in found.preference.items():
        note += f"; {judge} gives its family {gap.estimate:+.2f} ({gap.low:.2f} to {gap.high:.2f}) beyond the others"
    return note
