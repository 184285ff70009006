"""Filter expressions: ``quality >= good and dup.keeper and reward > -12 then top 300000 by len(answer)``."""

from agora.curate.expressions.evaluate import Column, Evaluator
from agora.curate.expressions.grammar import parse_program
from agora.curate.expressions.nodes import Clause, Pick, Program
from agora.curate.expressions.presets import PRESETS, Preset

__all__ = ["PRESETS", "Clause", "Column", "Evaluator", "Pick", "Preset", "Program", "parse_program"]
