"""Downstream evaluation: tests as plug-ins, six categories, per-example results.

The names are loaded when they are first used, so that mounting the commands costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agora.rooms.preferences.suite.bbh import Bbh
    from agora.rooms.preferences.suite.catalog import SuiteSettings, catalog, choose_tests
    from agora.rooms.preferences.suite.choice import MultipleChoice
    from agora.rooms.preferences.suite.code import HumanEval, Mbpp
    from agora.rooms.preferences.suite.figures import category_average
    from agora.rooms.preferences.suite.gsm8k import Gsm8k
    from agora.rooms.preferences.suite.ifeval import IfEval
    from agora.rooms.preferences.suite.judges import CheckerJudge, EngineJudge
    from agora.rooms.preferences.suite.lm_eval import run_lm_eval
    from agora.rooms.preferences.suite.microcosm import MicrocosmTest, microcosm_suite
    from agora.rooms.preferences.suite.pairwise import PairwiseTest
    from agora.rooms.preferences.suite.passing import pass_at_k
    from agora.rooms.preferences.suite.protocol import Answered, Ask, Choose, Test
    from agora.rooms.preferences.suite.refusal import XsTest
    from agora.rooms.preferences.suite.run import SuiteReport, read_results, run_suite, summarize
    from agora.rooms.preferences.suite.toxicity import ToxiGen
    from agora.rooms.preferences.suite.truthfulqa import TruthfulQa

_HOME = {
    "bbh": ("Bbh",),
    "catalog": ("SuiteSettings", "catalog", "choose_tests"),
    "choice": ("MultipleChoice",),
    "code": ("HumanEval", "Mbpp"),
    "figures": ("category_average",),
    "gsm8k": ("Gsm8k",),
    "ifeval": ("IfEval",),
    "judges": ("CheckerJudge", "EngineJudge"),
    "lm_eval": ("run_lm_eval",),
    "microcosm": ("MicrocosmTest", "microcosm_suite"),
    "pairwise": ("PairwiseTest",),
    "passing": ("pass_at_k",),
    "protocol": ("Answered", "Ask", "Choose", "Test"),
    "refusal": ("XsTest",),
    "run": ("SuiteReport", "read_results", "run_suite", "summarize"),
    "toxicity": ("ToxiGen",),
    "truthfulqa": ("TruthfulQa",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Answered",
    "Ask",
    "Bbh",
    "CheckerJudge",
    "Choose",
    "EngineJudge",
    "Gsm8k",
    "HumanEval",
    "IfEval",
    "Mbpp",
    "MicrocosmTest",
    "MultipleChoice",
    "PairwiseTest",
    "SuiteReport",
    "SuiteSettings",
    "Test",
    "ToxiGen",
    "TruthfulQa",
    "XsTest",
    "catalog",
    "category_average",
    "choose_tests",
    "microcosm_suite",
    "pass_at_k",
    "read_results",
    "run_lm_eval",
    "run_suite",
    "summarize",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
