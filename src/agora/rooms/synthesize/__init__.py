"""Draw instruction data out of an aligned model with nothing but its chat template (Magpie, arXiv:2406.08464).

``derive_prefix`` finds what the model sees before a user's text, ``draw_instructions`` lets it write that text,
``clean_instruction`` strips and flags, ``answer_samples`` answers what was kept. The names are loaded when they are
first used, so that mounting the commands costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agora.rooms.synthesize.answer import GREEDY, answer_samples
    from agora.rooms.synthesize.clean import Cleaned, CleanOp, clean_instruction
    from agora.rooms.synthesize.draw import draw_instructions, sample_id, sample_seed
    from agora.rooms.synthesize.prefix import derive_prefix
    from agora.rooms.synthesize.types import AnswerDraw, DrawSettings, OnlineIndex, PrefixTemplate, Slice

_HOME = {
    "answer": ("GREEDY", "answer_samples"),
    "clean": ("CleanOp", "Cleaned", "clean_instruction"),
    "draw": ("draw_instructions", "sample_id", "sample_seed"),
    "prefix": ("derive_prefix",),
    "types": ("AnswerDraw", "DrawSettings", "OnlineIndex", "PrefixTemplate", "Slice"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "GREEDY",
    "AnswerDraw",
    "CleanOp",
    "Cleaned",
    "DrawSettings",
    "OnlineIndex",
    "PrefixTemplate",
    "Slice",
    "answer_samples",
    "clean_instruction",
    "derive_prefix",
    "draw_instructions",
    "sample_id",
    "sample_seed",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
