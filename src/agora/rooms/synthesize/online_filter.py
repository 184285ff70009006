"""Set instructions aside by an expression while they are drawn, so that no answer to them is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from agora.core.errors import ConfigError
from agora.core.records import Sample
from agora.core.schemas import to_row
from agora.curate.expressions import Program, parse_program
from agora.curate.expressions.evaluate import Evaluator
from agora.curate.expressions.grammar import uses

BATCH = 256


def parse_conditions(expression: str) -> Program:
    """Conditions on what a drawn instruction has: its text and, when it was labeled on the way, its labels.

    Raises:
        ConfigError: it is no expression, picks rows, or asks for the answer, which nobody has yet.
    """
    program = parse_program(expression)
    if program.picks:
        raise ConfigError("a filter of a draw has conditions only", where=expression, hint="pick rows afterwards")
    if uses(program, "answer"):
        raise ConfigError("a filter of a draw cannot look at answers", where=expression, hint="agora curate filter")
    return program


def filtered(samples: Iterable[Sample], program: Program) -> Iterator[Sample]:
    """All samples in their order; kept ones that fail a condition are marked with the first one that they fail.

    A condition on a field that a sample lacks fails.
    """
    iterator = iter(samples)
    while batch := list(islice(iterator, BATCH)):
        rows = [i for i, sample in enumerate(batch) if sample.kept]
        reasons = dict(zip(rows, _reasons([batch[i] for i in rows], program), strict=True))
        for i, sample in enumerate(batch):
            reason = reasons.get(i)
            yield sample if reason is None else replace(sample, kept=False, reason=reason)


def _reasons(samples: list[Sample], program: Program) -> list[str | None]:
    reasons: list[str | None] = [None] * len(samples)
    evaluator = Evaluator([to_row(sample) for sample in samples])
    for clause in program.clauses if samples else ():
        truth = evaluator.truth(clause.node)
        for i in range(len(samples)):
            if reasons[i] is None and not (truth.known[i] and truth.values[i]):
                reasons[i] = f"filter: {clause.text}" if truth.known[i] else f"filter: unknown {clause.text}"
    return reasons
