"""Draw instruction data out of an aligned model with nothing but its chat template (Magpie, arXiv:2406.08464).

``synthesize`` is the whole run. Its parts: ``derive_prefix`` finds what the model sees before a user's words,
``draw_instructions`` lets it write that text, ``clean_instruction`` strips and flags, ``answer_samples`` answers what
was kept. ``extend_conversations`` plays the user of later turns, ``pairs_into`` makes preference pairs of scored
answers. The names are loaded when they are first used, so that mounting the commands costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agora.rooms.synthesize.answer import GREEDY, answer_samples
    from agora.rooms.synthesize.choose import Candidate, Choice, ChoiceRules
    from agora.rooms.synthesize.clean import Cleaned, CleanOp, clean_instruction
    from agora.rooms.synthesize.draw import draw_instructions, sample_id, sample_seed
    from agora.rooms.synthesize.pairs import PairSettings, PairsReport, pairs_into
    from agora.rooms.synthesize.prefix import derive_prefix
    from agora.rooms.synthesize.run import SynthesisReport, synthesize
    from agora.rooms.synthesize.self_instruct import SelfInstruct
    from agora.rooms.synthesize.settings import SynthesizeConfig
    from agora.rooms.synthesize.slices import SliceMeans, slice_means
    from agora.rooms.synthesize.systems import SystemPrompt, library_prompts
    from agora.rooms.synthesize.turn_prefix import TurnPrefixes
    from agora.rooms.synthesize.turns import TurnSettings, extend_conversations
    from agora.rooms.synthesize.turns_run import TurnsReport, turns_into
    from agora.rooms.synthesize.types import AnswerDraw, DrawSettings, OnlineIndex, PrefixTemplate, Slice

_HOME = {
    "answer": ("GREEDY", "answer_samples"),
    "choose": ("Candidate", "Choice", "ChoiceRules"),
    "clean": ("CleanOp", "Cleaned", "clean_instruction"),
    "draw": ("draw_instructions", "sample_id", "sample_seed"),
    "pairs": ("PairSettings", "PairsReport", "pairs_into"),
    "prefix": ("derive_prefix",),
    "run": ("SynthesisReport", "synthesize"),
    "self_instruct": ("SelfInstruct",),
    "settings": ("SynthesizeConfig",),
    "slices": ("SliceMeans", "slice_means"),
    "systems": ("SystemPrompt", "library_prompts"),
    "turn_prefix": ("TurnPrefixes",),
    "turns": ("TurnSettings", "extend_conversations"),
    "turns_run": ("TurnsReport", "turns_into"),
    "types": ("AnswerDraw", "DrawSettings", "OnlineIndex", "PrefixTemplate", "Slice"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "GREEDY",
    "AnswerDraw",
    "Candidate",
    "Choice",
    "ChoiceRules",
    "CleanOp",
    "Cleaned",
    "DrawSettings",
    "OnlineIndex",
    "PairSettings",
    "PairsReport",
    "PrefixTemplate",
    "SelfInstruct",
    "Slice",
    "SliceMeans",
    "SynthesisReport",
    "SynthesizeConfig",
    "SystemPrompt",
    "TurnPrefixes",
    "TurnSettings",
    "TurnsReport",
    "answer_samples",
    "clean_instruction",
    "derive_prefix",
    "draw_instructions",
    "extend_conversations",
    "library_prompts",
    "pairs_into",
    "sample_id",
    "sample_seed",
    "slice_means",
    "synthesize",
    "turns_into",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
