"""Does a training set hold what a test asks? Copies by runs of words, paraphrases by retrieval and a judge."""

from agora.curate.contamination.items import Part, TestItem, read_items
from agora.curate.contamination.ngrams import NgramIndex, Overlap
from agora.curate.contamination.reserved import Leak, LeakGate, ReservedTask, check_file, open_gate, reserve

__all__ = [
    "Leak",
    "LeakGate",
    "NgramIndex",
    "Overlap",
    "Part",
    "ReservedTask",
    "TestItem",
    "check_file",
    "open_gate",
    "read_items",
    "reserve",
]
