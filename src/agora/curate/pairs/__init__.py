"""Preference data: read in any known format, made into pairs by a recorded rule, mixed, split, described, exported."""

from agora.curate.pairs.card import DataCard, data_card
from agora.curate.pairs.export import ExportReport, export_pairs
from agora.curate.pairs.formats import PAIR_FORMATS
from agora.curate.pairs.layouts import EXPORTS
from agora.curate.pairs.lengths import LengthLimit, drop_long
from agora.curate.pairs.mix import MixRecipe, MixResult, MixSource
from agora.curate.pairs.prepare import PrepareSettings, prepare_pairs
from agora.curate.pairs.read import ReadTally, read_groups, read_pairs, read_prompts, read_unpaired
from agora.curate.pairs.records import RankedGroup, Response, UnpairedExample
from agora.curate.pairs.rules import PairRule, parse_rule
from agora.curate.pairs.split import Split, split_by_prompt

__all__ = [
    "EXPORTS",
    "PAIR_FORMATS",
    "DataCard",
    "ExportReport",
    "LengthLimit",
    "MixRecipe",
    "MixResult",
    "MixSource",
    "PairRule",
    "PrepareSettings",
    "RankedGroup",
    "ReadTally",
    "Response",
    "Split",
    "UnpairedExample",
    "data_card",
    "drop_long",
    "export_pairs",
    "parse_rule",
    "prepare_pairs",
    "read_groups",
    "read_pairs",
    "read_prompts",
    "read_unpaired",
    "split_by_prompt",
]
