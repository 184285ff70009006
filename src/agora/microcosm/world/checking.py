"""Check an answer against an exercise's checklist and grade it."""

from __future__ import annotations

from agora.microcosm.world.rules import RULES
from agora.microcosm.world.types import CheckResult, Exercise

# A runaway generation is cut before the rules look at it, so that no rule can be slow.
_MAX_ANSWER_CHARS = 2_000


def check(exercise: Exercise, answer: str) -> CheckResult:
    """Settle every checklist item for an answer and grade it from 1 to 10.

    A correct answer (all essential items pass) scores 10 when everything passes and one point less than
    9 for each failed item; a wrong one scores 1 to 4 by its share of passed items; an empty one scores 1.
    Any text is accepted and nothing is executed.
    """
    if not answer.strip():
        return CheckResult((False,) * len(exercise.checklist), False, 1)
    too_long = len(answer) > _MAX_ANSWER_CHARS
    text = answer[:_MAX_ANSWER_CHARS]
    passed = tuple(
        RULES[item.rule](text, item.args, exercise) and (item.essential or not too_long) for item in exercise.checklist
    )
    correct = all(ok for ok, item in zip(passed, exercise.checklist, strict=True) if item.essential)
    num_passed = sum(passed)
    if not correct:
        return CheckResult(passed, False, 1 + 4 * num_passed // len(passed))
    failed = len(passed) - num_passed
    return CheckResult(passed, True, 10 if failed == 0 else max(5, 9 - failed))
