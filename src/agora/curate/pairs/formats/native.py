"""Our own records, so that what one command wrote the next can read; and questions with answers for rule rewards."""

from __future__ import annotations

from agora.core.errors import DataError
from agora.core.records import JsonMap, PreferencePair
from agora.core.schemas import from_row
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Context, Draft, Given, GroupDraft, PairFormat, PromptDraft, required, text_at
from agora.curate.pairs.records import RankedGroup
from agora.curate.pairs.rules import PairRule
from agora.curate.pairs.turns import answer_of, prompt_of


def _group(row: JsonMap, context: Context) -> Given:
    try:
        group = from_row(RankedGroup, row)
    except DataError as error:
        raise RowError("not a ranked_group/1 row", error.what) from None
    return GroupDraft(
        group.prompt,
        group.responses,
        annotator=group.annotator,
        mean_of=group.mean_of,
        source_id=group.provenance.source_id if group.provenance else "",
        meta=group.meta,
    )


def _pair(row: JsonMap, context: Context) -> Given:
    try:
        pair = from_row(PreferencePair, row)
    except DataError as error:
        raise RowError("not a preference_pair/1 row", error.what) from None
    return Draft(
        pair.prompt,
        pair.chosen,
        pair.rejected,
        chosen_score=pair.chosen_score,
        rejected_score=pair.rejected_score,
        margin=pair.margin,
        tie=pair.tie,
        annotator=pair.annotator,
        label_kind=pair.label_kind,
        meta=pair.meta,
        own=pair,
    )


def _question(row: JsonMap, context: Context) -> Given:
    answer = text_at(row, "answer")
    return PromptDraft(prompt_of(required(row, "question")), answer=answer or None, source_id=text_at(row, "id"))


def _outputs(row: JsonMap, context: Context) -> Given:
    return PromptDraft(prompt_of(required(row, "instruction")), answer_of(required(row, "output")))


_OWN = {"id", "prompt", "chosen", "rejected", "label_kind", "tie"}

PAIRS = PairFormat(
    name="agora",
    title="Agora preference pairs (preference_pair/1)",
    columns=("prompt", "chosen", "rejected"),
    convert=_pair,
    suits=lambda row: row.get("schema") == PreferencePair.SCHEMA or ("schema" not in row and row.keys() >= _OWN),
    rule=PairRule(tie_policy="soft"),  # ties of ours were kept on purpose
    keeps_repeats=True,
)
GROUPS = PairFormat(
    name="agora-groups",
    title="Agora ranked groups (ranked_group/1)",
    columns=("prompt", "responses"),
    convert=_group,
    gives="groups",
    suits=lambda row: row.get("schema") == RankedGroup.SCHEMA,
)
QUESTIONS = PairFormat(
    name="question-answer",
    title="questions with answers",
    columns=("question", "answer"),
    convert=_question,
    gives="prompts",
)
ALPACA_OUTPUTS = PairFormat(
    name="alpaca-outputs",
    title="outputs of one model (AlpacaEval)",
    columns=("instruction", "output"),
    convert=_outputs,
    gives="prompts",
)
