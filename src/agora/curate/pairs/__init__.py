"""Preference data: read in any known format, made into pairs by a recorded rule, mixed, split, described, exported."""

from agora.curate.pairs.formats import PAIR_FORMATS
from agora.curate.pairs.read import ReadTally, read_groups, read_pairs, read_prompts, read_unpaired
from agora.curate.pairs.rules import PairRule, parse_rule

__all__ = [
    "PAIR_FORMATS",
    "PairRule",
    "ReadTally",
    "parse_rule",
    "read_groups",
    "read_pairs",
    "read_prompts",
    "read_unpaired",
]
