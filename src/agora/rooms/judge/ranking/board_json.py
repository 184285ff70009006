"""The JSON object of a leaderboard: every number with its n, its interval and its coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agora.core.stats import Interval
from agora.rooms.judge.ranking.elo import EloRating
from agora.rooms.judge.ranking.self_preference import KinRanks, KinRow
from agora.rooms.judge.ranking.separability import Pair
from agora.rooms.judge.ranking.strengths import Strengths
from agora.rooms.judge.scoring.bias import LengthEffect, OrderBias
from agora.rooms.judge.scoring.legacy import LegacyFigures
from agora.rooms.judge.scoring.metrics import ScoreReport
from agora.rooms.judge.scoring.reward import BaselineReward, RewardReport
from agora.rooms.judge.trust.show_meta import interval_json

if TYPE_CHECKING:
    from agora.rooms.judge.ranking.board import BoardRow, JudgeTable, Leaderboard


def board_json(board: Leaderboard) -> dict[str, Any]:
    """What ``agora judge leaderboard --json`` prints."""
    return {
        "models": [_model(row, table) for table in board.tables for row in table.rows],
        "tables": [_table(table) for table in board.tables],
        "margin": board.margin,
        "without_self_preference": [_kin(found) for found in board.together],
        "notes": list(board.notes),
    }


def _model(row: BoardRow, table: JudgeTable) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": row.name,
        "judge": table.judge,
        "version": table.version,
        "rank": row.rank,
        "rank_bounds": list(row.rank_bounds) if row.rank_bounds else None,
        "rank_without_self_preference": _rank_without(row, table),
        "partial": row.partial,
        "num_tasks": table.num_tasks,
        "coverage": row.coverage,
        "coverage_basis": table.basis,
        "common_tasks": row.num_common,
        "common_value": row.common,
        "rating": interval_json(table.rating(row.name)),
        "rating_at_equal_length": interval_json(table.rating_at_equal_length(row.name)),
        "rating_at_equal_style": interval_json(table.rating_at_equal_style(row.name)),
    }
    if row.score is not None:
        out |= _score(row.score, row.rank is not None)
    out["truncated"] = row.truncated
    if row.reward is not None:
        out |= _rewards(row.reward, row)
    if row.legacy is not None:
        out["legacy"] = _legacy(row.legacy, table.legacy_elo.get(row.name))
    return out


def _rank_without(row: BoardRow, table: JudgeTable) -> int | None:
    if table.own is None:
        return row.rank
    found = table.own.row(row.name)
    return found.rank_without if found else None


def _kin(found: KinRanks | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "judges": list(found.judges),
        "left_out": found.left_out,
        "ranks": [_kin_row(row) for row in found.rows],
        "moved": [row.name for row in found.rows if row.moved],
        "preference": {judge: interval_json(gap) for judge, gap in found.preference.items()},
        "reason": found.reason,
    }


def _kin_row(row: KinRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in KinRow.__slots__} | {"kin": list(row.kin)}


def _legacy(found: LegacyFigures, elo: EloRating | None) -> dict[str, Any]:
    return {
        "wb_score": found.wb_score,
        "groups": dict(found.groups),
        "macro": found.macro,
        "rewards": dict(found.rewards),
        "mix": found.mix,
        "mean_chars": found.mean_chars,
        "dropped_by_name": found.dropped,
        "wb_elo": None if elo is None else elo._asdict(),
    }


def _score(score: ScoreReport, shown: bool) -> dict[str, Any]:
    return {
        "n": score.n,
        "wb_score": score.wb_score if shown else None,
        "wb_score_ci": _bounds(score.interval) if shown else None,
        "se": score.se,
        "bounds": list(score.bounds) if score.bounds else None,
        "statuses": dict(score.statuses),
        "empty": score.empty,
        "mean_chars": score.mean_chars,
        "macro": score.macro,
        "macro_ci": _bounds(score.macro_interval),
        "macro_unweighted": score.macro_unweighted,
        "macro_june": score.macro_june,
        "groups": {name: group._asdict() for name, group in score.groups.items()},
    }


def _rewards(reward: RewardReport, row: BoardRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "wb_reward_mix": reward.mix,
        "wb_reward_mix_ci": _bounds(reward.mix_interval),
        "wb_reward_mix_without_self": reward.mix_without_self,
        "wb_reward_macro": reward.macro,
        "wb_reward": {name: _against(one, row) for name, one in reward.baselines.items()},
    }
    if row.score is None:
        out["n"] = min((one.n for one in reward.baselines.values() if not one.is_self), default=0)
        out["mean_chars"] = reward.mean_chars
    return out


def _against(one: BaselineReward, row: BoardRow) -> dict[str, Any]:
    controlled = row.length_controlled.get(one.baseline)
    return {
        "reward": one.reward,
        "n": one.n,
        "coverage": one.coverage,
        "se": one.se,
        "ci": _bounds(one.interval),
        "is_self": one.is_self,
        "counts": one.counts._asdict(),
        "macro": one.macro,
        "win_rate": one.win_rate,
        "discrete_win_rate": one.discrete_win_rate,
        "win_rate_se": None if one.se is None else one.se / 2,
        "length_controlled_win_rate": controlled.rate if controlled else None,
        "length_controlled_ci": list(controlled.interval) if controlled and controlled.interval else None,
        "length_control": None if controlled is None else _length_control(controlled),
    }


def _length_control(found: Any) -> dict[str, Any]:
    return {
        "length": found.length_weight,
        "difficulty": found.difficulty_weight,
        "constant": found.constant,
        "reason": found.reason,
    }


def _table(table: JudgeTable) -> dict[str, Any]:
    found = table.separability
    return {
        "judge": table.judge,
        "version": table.version,
        "num_tasks": table.num_tasks,
        "coverage_basis": table.basis,
        "ranked_by": table.ranked_by,
        "ranking": table.ranking,
        "neighbors": [
            {
                "first": d.first,
                "second": d.second,
                "n_common": d.n_common,
                "difference": d.value,
                "se": d.se,
                "separable": d.separable,
            }
            for d in table.neighbors
        ],
        "separability": found
        and {
            "pairs": len(found.pairs),
            "paired": found.num_paired,
            "unpaired": found.num_unpaired,
            "common_tasks": found.num_common,
            "differences": [_pair(pair) for pair in found.pairs],
        },
        "ratings": _strengths(table.ratings),
        "ratings_at_equal_length": _strengths(table.ratings_at_equal_length),
        "ratings_at_equal_style": _strengths(table.ratings_at_equal_style),
        "order_bias": _order(table.order),
        "length_effect": _length(table.length),
        "difficulty_shift": interval_json(table.difficulty_shift),
        "without_self_preference": _kin(table.own),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    d = pair.difference
    return {
        "first": d.first,
        "second": d.second,
        "n_common": d.n_common,
        "difference": d.value,
        "ci": _bounds(d.interval),
        "se": d.se,
        "paired": pair.paired,
        "unpaired": pair.unpaired,
    }


def _strengths(found: Strengths | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "num_votes": found.num_votes,
        "num_decisive": found.num_decisive,
        "reason": found.reason,
        "coefficients": {name: interval_json(value) for name, value in found.coefficients.items()},
    }


def _order(bias: OrderBias | None) -> dict[str, Any] | None:
    if bias is None:
        return None
    return {
        "n_first": bias.n_first,
        "n_second": bias.n_second,
        "mean_first": bias.mean_first,
        "mean_second": bias.mean_second,
        "difference": interval_json(bias.difference),
        "first_wins": interval_json(bias.first_wins),
        "n_both": bias.n_both,
        "models": len(bias.by_model),
        "models_better_second": bias.models_better_second,
        "conflicts": bias.conflicts,
    }


def _length(effect: LengthEffect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    return {"scores": interval_json(effect.scores), "longer_wins": interval_json(effect.longer_wins)}


def _bounds(value: Interval | None) -> list[float | None] | None:
    return None if value is None else [_number(value.low), _number(value.high)]


def _number(value: float) -> float | None:
    return None if value != value else value
