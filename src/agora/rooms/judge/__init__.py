"""Judge models' answers to real users' tasks: WB-Score, WB-Reward, leaderboards.

The names are loaded when they are first used, so that mounting the commands costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agora.rooms.judge.answer_files import read_answer_files, read_answers
    from agora.rooms.judge.bias import LengthEffect, OrderBias, length_effect, order_bias
    from agora.rooms.judge.board import BoardRow, JudgeTable, Leaderboard, LengthControl, leaderboard
    from agora.rooms.judge.human_labels import Corrected, corrected_mean
    from agora.rooms.judge.judge_agreement import judge_pairs_agreement, self_preference
    from agora.rooms.judge.judged_files import read_judged, read_judged_answers
    from agora.rooms.judge.judges import ReplayJudge, RuleJudge, open_judge
    from agora.rooms.judge.llm import LlmJudge
    from agora.rooms.judge.look.data import PageData, page_data
    from agora.rooms.judge.look.page import render_page
    from agora.rooms.judge.meta import MetaReport, confidence, correlate
    from agora.rooms.judge.metrics import Difference, ScoreReport, macro, paired_difference, score_report, wb_scale
    from agora.rooms.judge.power import PowerReport, power_report, subset_stability, tasks_needed
    from agora.rooms.judge.reward import BASELINES, Counts, RewardReport, k_sweep, relabel, reward_report
    from agora.rooms.judge.score import judge_checklists, judge_pairs, judge_scores
    from agora.rooms.judge.separability import Separability
    from agora.rooms.judge.strengths import Strengths, length_strengths
    from agora.rooms.judge.types import Judge, JudgeSpec, OrderPolicy, Outcome, PairItem, ScoreItem, TaskSet
    from agora.rooms.judge.verdicts import read_verdicts
    from agora.rooms.judge.votes import ScoreMatrix, Votes, pair_votes, score_votes

_HOME = {
    "answer_files": ("read_answer_files", "read_answers"),
    "bias": ("LengthEffect", "OrderBias", "length_effect", "order_bias"),
    "judged_files": ("read_judged", "read_judged_answers"),
    "judges": ("ReplayJudge", "RuleJudge", "open_judge"),
    "board": ("BoardRow", "JudgeTable", "Leaderboard", "LengthControl", "leaderboard"),
    "human_labels": ("Corrected", "corrected_mean"),
    "judge_agreement": ("judge_pairs_agreement", "self_preference"),
    "meta": ("MetaReport", "confidence", "correlate"),
    "power": ("PowerReport", "power_report", "subset_stability", "tasks_needed"),
    "separability": ("Separability",),
    "strengths": ("Strengths", "length_strengths"),
    "votes": ("ScoreMatrix", "Votes", "pair_votes", "score_votes"),
    "llm": ("LlmJudge",),
    "metrics": ("Difference", "ScoreReport", "macro", "paired_difference", "score_report", "wb_scale"),
    "look.data": ("PageData", "page_data"),
    "look.page": ("render_page",),
    "reward": ("BASELINES", "Counts", "RewardReport", "k_sweep", "relabel", "reward_report"),
    "score": ("judge_checklists", "judge_pairs", "judge_scores"),
    "types": ("Judge", "JudgeSpec", "OrderPolicy", "Outcome", "PairItem", "ScoreItem", "TaskSet"),
    "verdicts": ("read_verdicts",),
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
