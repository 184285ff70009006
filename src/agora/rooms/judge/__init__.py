"""Judge models' answers to real users' tasks: WB-Score, WB-Reward, leaderboards.

The names are loaded when they are first used, so that mounting the commands costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agora.rooms.judge.answer_files import read_answer_files, read_answers
    from agora.rooms.judge.bias import LengthEffect, OrderBias, length_effect, order_bias
    from agora.rooms.judge.board import Leaderboard, leaderboard
    from agora.rooms.judge.judged_files import read_judged, read_judged_answers
    from agora.rooms.judge.judges import ReplayJudge, RuleJudge, open_judge
    from agora.rooms.judge.llm import LlmJudge
    from agora.rooms.judge.metrics import Difference, ScoreReport, macro, paired_difference, score_report, wb_scale
    from agora.rooms.judge.reward import BASELINES, Counts, RewardReport, k_sweep, relabel, reward_report
    from agora.rooms.judge.score import judge_checklists, judge_pairs, judge_scores
    from agora.rooms.judge.types import Judge, JudgeSpec, OrderPolicy, Outcome, PairItem, ScoreItem, TaskSet
    from agora.rooms.judge.verdicts import read_verdicts

_HOME = {
    "answer_files": ("read_answer_files", "read_answers"),
    "bias": ("LengthEffect", "OrderBias", "length_effect", "order_bias"),
    "judged_files": ("read_judged", "read_judged_answers"),
    "judges": ("ReplayJudge", "RuleJudge", "open_judge"),
    "board": ("Leaderboard", "leaderboard"),
    "llm": ("LlmJudge",),
    "metrics": ("Difference", "ScoreReport", "macro", "paired_difference", "score_report", "wb_scale"),
    "reward": ("BASELINES", "Counts", "RewardReport", "k_sweep", "relabel", "reward_report"),
    "score": ("judge_checklists", "judge_pairs", "judge_scores"),
    "types": ("Judge", "JudgeSpec", "OrderPolicy", "Outcome", "PairItem", "ScoreItem", "TaskSet"),
    "verdicts": ("read_verdicts",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BASELINES",
    "Counts",
    "Difference",
    "Judge",
    "JudgeSpec",
    "Leaderboard",
    "LengthEffect",
    "LlmJudge",
    "OrderBias",
    "OrderPolicy",
    "Outcome",
    "PairItem",
    "ReplayJudge",
    "RewardReport",
    "RuleJudge",
    "ScoreItem",
    "ScoreReport",
    "TaskSet",
    "judge_checklists",
    "judge_pairs",
    "judge_scores",
    "k_sweep",
    "leaderboard",
    "length_effect",
    "macro",
    "open_judge",
    "order_bias",
    "paired_difference",
    "read_answer_files",
    "read_answers",
    "read_judged",
    "read_judged_answers",
    "read_verdicts",
    "relabel",
    "reward_report",
    "score_report",
    "wb_scale",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
