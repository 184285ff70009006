"""Judge models' answers to real users' tasks: WB-Score, WB-Reward, leaderboards.

The names are loaded when they are first used, so that mounting the commands costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agora.rooms.judge.asking.answer_files import read_answer_files, read_answers
    from agora.rooms.judge.asking.judges import ReplayJudge, RuleJudge, open_judge
    from agora.rooms.judge.asking.llm import LlmJudge
    from agora.rooms.judge.asking.score import judge_checklists, judge_pairs, judge_scores
    from agora.rooms.judge.asking.verdicts import read_verdicts
    from agora.rooms.judge.formats.judged_files import read_judged, read_judged_answers
    from agora.rooms.judge.look.data import PageData, page_data
    from agora.rooms.judge.look.page import render_page
    from agora.rooms.judge.ranking.board import BoardRow, JudgeTable, Leaderboard, LengthControl, leaderboard
    from agora.rooms.judge.ranking.separability import Separability
    from agora.rooms.judge.ranking.strengths import Strengths, length_strengths
    from agora.rooms.judge.ranking.votes import ScoreMatrix, Votes, pair_votes, score_votes
    from agora.rooms.judge.scoring.bias import LengthEffect, OrderBias, length_effect, order_bias
    from agora.rooms.judge.scoring.metrics import (
        Difference,
        ScoreReport,
        macro,
        paired_difference,
        score_report,
        wb_scale,
    )
    from agora.rooms.judge.scoring.reward import BASELINES, Counts, RewardReport, k_sweep, relabel, reward_report
    from agora.rooms.judge.trust.human_labels import Corrected, corrected_mean
    from agora.rooms.judge.trust.judge_agreement import judge_pairs_agreement, self_preference
    from agora.rooms.judge.trust.meta import MetaReport, confidence, correlate
    from agora.rooms.judge.trust.power import PowerReport, power_report, subset_stability, tasks_needed
    from agora.rooms.judge.types import Judge, JudgeSpec, OrderPolicy, Outcome, PairItem, ScoreItem, TaskSet

_HOME = {
    "asking.answer_files": ("read_answer_files", "read_answers"),
    "scoring.bias": ("LengthEffect", "OrderBias", "length_effect", "order_bias"),
    "formats.judged_files": ("read_judged", "read_judged_answers"),
    "asking.judges": ("ReplayJudge", "RuleJudge", "open_judge"),
    "ranking.board": ("BoardRow", "JudgeTable", "Leaderboard", "LengthControl", "leaderboard"),
    "trust.human_labels": ("Corrected", "corrected_mean"),
    "trust.judge_agreement": ("judge_pairs_agreement", "self_preference"),
    "trust.meta": ("MetaReport", "confidence", "correlate"),
    "trust.power": ("PowerReport", "power_report", "subset_stability", "tasks_needed"),
    "ranking.separability": ("Separability",),
    "ranking.strengths": ("Strengths", "length_strengths"),
    "ranking.votes": ("ScoreMatrix", "Votes", "pair_votes", "score_votes"),
    "asking.llm": ("LlmJudge",),
    "scoring.metrics": ("Difference", "ScoreReport", "macro", "paired_difference", "score_report", "wb_scale"),
    "look.data": ("PageData", "page_data"),
    "look.page": ("render_page",),
    "scoring.reward": ("BASELINES", "Counts", "RewardReport", "k_sweep", "relabel", "reward_report"),
    "asking.score": ("judge_checklists", "judge_pairs", "judge_scores"),
    "types": ("Judge", "JudgeSpec", "OrderPolicy", "Outcome", "PairItem", "ScoreItem", "TaskSet"),
    "asking.verdicts": ("read_verdicts",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BASELINES",
    "BoardRow",
    "Corrected",
    "Counts",
    "Difference",
    "Judge",
    "JudgeSpec",
    "JudgeTable",
    "Leaderboard",
    "LengthControl",
    "LengthEffect",
    "LlmJudge",
    "MetaReport",
    "OrderBias",
    "OrderPolicy",
    "Outcome",
    "PageData",
    "PairItem",
    "PowerReport",
    "ReplayJudge",
    "RewardReport",
    "RuleJudge",
    "ScoreItem",
    "ScoreMatrix",
    "ScoreReport",
    "Separability",
    "Strengths",
    "TaskSet",
    "Votes",
    "confidence",
    "corrected_mean",
    "correlate",
    "judge_checklists",
    "judge_pairs",
    "judge_pairs_agreement",
    "judge_scores",
    "k_sweep",
    "leaderboard",
    "length_effect",
    "length_strengths",
    "macro",
    "open_judge",
    "order_bias",
    "page_data",
    "pair_votes",
    "paired_difference",
    "power_report",
    "read_answer_files",
    "read_answers",
    "read_judged",
    "read_judged_answers",
    "read_verdicts",
    "relabel",
    "render_page",
    "reward_report",
    "score_report",
    "score_votes",
    "self_preference",
    "subset_stability",
    "tasks_needed",
    "wb_scale",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
