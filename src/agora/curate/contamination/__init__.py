"""Does a training set hold what a test asks? Copies by runs of words, paraphrases by retrieval and a judge."""

from agora.curate.contamination.items import Part, TestItem, read_items
from agora.curate.contamination.ngrams import NgramIndex, Overlap

__all__ = ["NgramIndex", "Overlap", "Part", "TestItem", "read_items"]
