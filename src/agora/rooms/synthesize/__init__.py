"""Draw instruction data out of an aligned model with nothing but its chat template (Magpie, arXiv:2406.08464).

``derive_prefix`` finds what the model sees before a user's text, ``draw_instructions`` lets it write that text,
``clean_instruction`` strips and flags, ``answer_samples`` answers what was kept.
"""

from agora.rooms.synthesize.answer import GREEDY, answer_samples
from agora.rooms.synthesize.clean import Cleaned, CleanOp, clean_instruction
from agora.rooms.synthesize.draw import draw_instructions, sample_id, sample_seed
from agora.rooms.synthesize.prefix import derive_prefix
from agora.rooms.synthesize.types import AnswerDraw, DrawSettings, OnlineIndex, PrefixTemplate, Slice

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
