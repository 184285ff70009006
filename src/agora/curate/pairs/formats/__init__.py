"""Every preference format by name, the narrow shapes first: the order is that of the questions asked of a row."""

from __future__ import annotations

from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.curate.pairs.base import PairFormat
from agora.curate.pairs.formats import chat_files, native, prm800k, ranked, trl, two_answers

PAIR_FORMATS: dict[str, PairFormat] = {
    f.name: f
    for f in (
        *(native.PAIRS, native.GROUPS),
        *(chat_files.REWARDBENCH, chat_files.ORCA, chat_files.SHAREGPT, chat_files.ALPACA, chat_files.HH),
        *(two_answers.ARENA_BATTLES, two_answers.ARENA_COLUMNS, two_answers.SHP, two_answers.STACK_EXCHANGE),
        *(two_answers.ALPACA_JUDGED, two_answers.LLMBAR, two_answers.RATERS),
        *(ranked.ULTRAFEEDBACK, ranked.NECTAR, ranked.HELPSTEER, ranked.MAGPIE, prm800k.PRM800K),
        *(trl.CAPYBARA, trl.TULU, trl.EXPLICIT, trl.IMPLICIT, trl.UNPAIRED, trl.STEPWISE),
        *(ranked.SCORED, trl.PROMPT_COMPLETION, native.ALPACA_OUTPUTS, native.QUESTIONS, trl.MESSAGES),
        *(trl.PROMPT_ONLY, trl.OPENRLHF),
    )
}


def format_named(name: str) -> PairFormat:
    """The format of that name.

    Raises:
        UsageError: no such format; the nearest name is given.
    """
    if name in PAIR_FORMATS:
        return PAIR_FORMATS[name]
    near = nearest(name, list(PAIR_FORMATS))
    guess = f", did you mean {near}?" if near else ""
    raise UsageError(f"unknown preference format {name!r}{guess}", hint=f"choose auto, {', '.join(PAIR_FORMATS)}")
