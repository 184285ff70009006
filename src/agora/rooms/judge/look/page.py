"""From a page's data to one HTML file that loads nothing and can be read without JavaScript."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from agora.core.json_text import dumps
from agora.core.report_assets.page import content_policy, escape_script, stylesheet
from agora.rooms.judge.look.data import (
    REWARD_SCALE,
    SCORE_SCALE,
    TAGS,
    ModelRow,
    PageData,
    TableData,
    mix_standard_error,
    normal_interval,
)
from agora.rooms.judge.scoring.metrics import Difference, paired_difference, wb_scale
from agora.rooms.judge.types import GROUPS

if TYPE_CHECKING:
    from jinja2 import Template

View = dict[str, Any]
MISSING = "–"
_SCRIPTS = ("figures.js", "board.js", "tasks.js", "task.js", "main.js")
_MOST_PAIRS = 40  # models in the table of differences; more would be wider than anyone reads


def render_page(data: PageData) -> str:
    """The page as text."""
    from markupsafe import Markup

    from agora import __version__

    script = '(() => {\n"use strict";\n' + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();"
    html: str = _template().render(
        data=data,
        judges=_listed([table.title for table in data.tables]),
        tables=[_table_view(table, data, i) for i, table in enumerate(data.tables)],
        groups=list(GROUPS),
        tags=_tags_in(data),
        css=Markup(stylesheet() + _asset("look.css")),
        policy=content_policy([script]),
        script=Markup(script),
        payload=Markup(escape_script(dumps(data.to_json()).decode())),
        version=__version__,
    )
    return html.lstrip()


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = figure
    environment.filters["place"] = place
    return environment.from_string(_asset("look.html.j2"))


@cache
def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def figure(value: float | None, digits: int = 1) -> str:
    """A number with its decimals and a true minus sign; a dash where it is missing."""
    if value is None or math.isnan(value):
        return MISSING
    # halves go away from zero, as in the page's script: both write the same cell
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    text = f"{rounded:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "\N{MINUS SIGN}")


def place(value: float, axis: tuple[float, float]) -> float:
    """Where a value stands on an axis, in percent of its width."""
    low, high = axis
    return round(3 + 94 * (min(max(value, low), high) - low) / (high - low), 2)


def _listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _tags_in(data: PageData) -> list[tuple[int, str, int]]:
    """Position, name and number of tasks of the categories that occur."""
    masks = data.tag_masks
    counts = [sum(mask >> i & 1 for mask in masks) for i in range(len(TAGS))]
    return [(i, tag, counts[i]) for i, tag in enumerate(TAGS) if counts[i]]


def _table_view(table: TableData, data: PageData, number: int) -> View:
    rows = [_row_view(row, table, data) for row in table.rows]
    axes = {name: _axis([row[name] for row in rows]) for name in ("score", "mix")}
    ranked = [row for row in table.rows if row.board.rank is not None]
    pairs = _pairs_view(ranked[:_MOST_PAIRS], table, data)
    return {
        "number": number,
        "title": table.title,
        "of_judge": f", {table.title}" if len(data.tables) > 1 else "",
        "board": table.board,
        "baselines": table.baselines,
        "rows": rows,
        "axes": axes,
        "has_scores": any(row["n"] is not None for row in rows),
        "has_rewards": bool(table.baselines),
        "has_ratings": any(row["rating"] for row in rows),
        "has_macro": any(row["macro"] is not None for row in rows),
        "own": table.board.own,
        "has_lengths": all(None not in p.gap for row in table.rows for p in row.pairs.values()),
        "pairs": pairs,
        "left_out": max(0, len(ranked) - _MOST_PAIRS),
        "separable": sum(d.separable for line in pairs for d in line["cells"] if d),
        "num_pairs": sum(d is not None for line in pairs for d in line["cells"]),
        "heat": _heat_view(table, data),
        "profile": _profile_view(rows),
    }


def _row_view(row: ModelRow, table: TableData, data: PageData) -> View:
    score, reward = row.board.score, row.board.reward
    shown = row.board.rank is not None and score is not None
    value = score.wb_score if shown and score else None
    mix = reward.mix if reward else None
    outcomes = [pairs.outcomes(data.margin) for name, pairs in row.pairs.items() if name != row.name]
    compared = [o for name in table.baselines if name != row.name for o in [row.pairs.get(name)] if o is not None]
    complete = len(compared) == len([name for name in table.baselines if name != row.name])
    se = mix_standard_error(outcomes, len(table.baselines)) if outcomes and complete else None
    return {
        "model": data.models.index(row.name),
        "name": row.name,
        "rank": row.board.rank,
        "score": {"value": value, "interval": normal_interval(value, score.se if score else None, SCORE_SCALE)},
        "withheld": score is not None and not shown,
        "mix": {"value": mix, "interval": normal_interval(mix, None if se is None else 100 * se, REWARD_SCALE)},
        "rewards": {
            name: {"value": one.reward, "self": one.is_self}
            for name, one in (reward.baselines if reward else {}).items()
        },
        "macro": score.macro if shown and score else None,
        "groups": dict(score.groups) if score else {},
        "n": score.n if score else None,
        "num_tasks": table.board.num_tasks,
        "coverage": row.board.coverage,
        "rank_bounds": row.board.rank_bounds,
        "kin": table.board.own.row(row.name) if table.board.own else None,
        "rating": table.board.rating(row.name),
        "rating_at_equal_length": table.board.rating_at_equal_length(row.name),
        "chars": score.mean_chars if score else None,
        "empty": score.empty if score else 0,
        "truncated": row.board.truncated,
        "bounds": score.bounds if score and not shown else None,
        "cost": row.cost,
    }


def _axis(cells: Sequence[View]) -> tuple[float, float]:
    """One axis for a column's intervals, a little wider than they are."""
    ends = [end for cell in cells if cell["value"] is not None for end in (cell["interval"] or (cell["value"],))]
    if not ends:
        return (0.0, 1.0)
    low, high = min(ends), max(ends)
    low, high = (
        (min(low, 0.0), max(high, 0.0)) if low * high <= 0 or min(abs(low), abs(high)) < high - low else (low, high)
    )
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def _pairs_view(ranked: Sequence[ModelRow], table: TableData, data: PageData) -> list[View]:
    """Differences of each ranked model to all below it, on their common tasks."""
    scores = {row.name: {str(i): s for i, s in enumerate(row.scores) if s is not None} for row in ranked}
    return [
        {
            "name": row.name,
            "rank": row.board.rank,
            "model": data.models.index(row.name),
            "cells": [_difference(row.name, other.name, scores) if j > i else None for j, other in enumerate(ranked)],
            "others": [data.models.index(other.name) for other in ranked],
        }
        for i, row in enumerate(ranked)
    ]


def _difference(first: str, second: str, scores: dict[str, dict[str, float]]) -> Difference:
    return paired_difference(scores[first], scores[second], names=(first, second), n_boot=None)


def _heat_view(table: TableData, data: PageData) -> View:
    """WB-Score by model and category; a task counts in each of its categories."""
    masks = data.tag_masks
    columns = [i for i, _, _ in _tags_in(data)]
    lines = []
    values = []
    for row in table.rows:
        if row.board.score is None:
            continue
        cells: list[View] = []
        for tag in columns:
            found = [s for s, mask in zip(row.scores, masks, strict=True) if s is not None and mask >> tag & 1]
            cells.append(
                {"tag": tag, "n": len(found), "value": wb_scale(math.fsum(found) / len(found)) if found else None}
            )
        values += [abs(cell["value"]) for cell in cells if cell["value"] is not None]
        lines.append({"name": row.name, "model": data.models.index(row.name), "cells": cells})
    return {"columns": columns, "lines": lines, "most": max(values, default=0.0) or 1.0}


def _profile_view(rows: Sequence[View]) -> list[View]:
    """The groups' values of all ranked models, on one axis."""
    lines = []
    for group in GROUPS:
        dots = [
            {
                "name": row["name"],
                "model": row["model"],
                "value": found.value,
                "interval": normal_interval(found.value, found.se, SCORE_SCALE),
            }
            for row in rows
            if not row["withheld"] and (found := row["groups"].get(group)) is not None and found.value is not None
        ]
        if dots:
            lines.append({"group": group, "dots": dots})
    return lines
