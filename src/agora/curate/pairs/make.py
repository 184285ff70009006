"""From what a row gives to the record: rules applied, sides settled, ids and provenance filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from agora.core.records import JsonMap, PreferencePair, PromptItem, Provenance, stable_id
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Draft, Given, GroupDraft, PairFormat, PromptDraft, text_at
from agora.curate.pairs.records import RankedGroup, Response
from agora.curate.pairs.rules import Choice, PairRule, choose, value_of
from agora.curate.pairs.turns import Turns

AS_RELEASED = "as_released"


class Place(NamedTuple):
    """Where a row stands, and the row itself for the reject file (None once it is no longer needed)."""

    file: str
    line: int
    raw: JsonMap | None

    @property
    def where(self) -> str:
        """``FILE:LINE``."""
        return f"{self.file}:{self.line}"

    @property
    def own_id(self) -> str:
        """The id that the row itself states, if any."""
        return text_at(self.raw, "id", "prompt_id", "uuid", "question_id", "post_id", "qid") if self.raw else ""


class Settings(NamedTuple):
    """What the user decided for a whole source."""

    source: str
    rule: PairRule
    merge_turns: bool = False
    label_kind: str | None = None

    @property
    def released(self) -> JsonMap:
        """What the rule does to rows that are pairs already."""
        kept = self.rule.model_dump(mode="json", exclude_defaults=True, include={"min_margin", "tie_policy"})
        return {"name": AS_RELEASED} | kept


class Made(NamedTuple):
    """The pairs of one group, or why there is none."""

    drafts: list[Draft]
    reason: str


def content_id(kind: str, *parts: Turns) -> str:
    """A hash of roles and contents."""
    return stable_id(kind, [[[m.role, m.content] for m in part] for part in parts])


def group_of(draft: GroupDraft, place: Place, settings: Settings, format_: PairFormat) -> RankedGroup:
    """The record of a group. Its id depends on the prompt alone, so that a rule's choices do not."""
    return RankedGroup(
        content_id("group", draft.prompt),
        draft.prompt,
        draft.responses,
        settings.label_kind or format_.label_kind,
        draft.annotator,
        draft.mean_of,
        _provenance(place, settings, format_, draft.source_id),
        {**({"origin": draft.origin} if draft.origin else {}), **draft.meta},
    )


def pairs_of(group: RankedGroup, rule: PairRule) -> Made:
    """The pairs that a rule makes of a group."""
    choices = choose(group, rule)
    return Made([_chosen(group, choice, rule) for choice in choices.pairs], choices.reason)


def _chosen(group: RankedGroup, choice: Choice, rule: PairRule) -> Draft:
    better, worse = choice.better, choice.worse
    meta: JsonMap = {"rule": rule.recorded()}
    for key, response in (("chosen_model", better), ("rejected_model", worse)):
        if response.model:
            meta[key] = response.model
    shared = [name for name in better.aspects if name in worse.aspects]
    if shared:
        meta["aspect_scores"] = {name: [better.aspects[name], worse.aspects[name]] for name in shared}
    by_rank = rule.score == "overall" and better.score is None
    if by_rank:  # places are no scores: their differences mean nothing
        meta["ranks"] = [better.rank, worse.rank]
    return Draft(
        group.prompt,
        better.messages,
        worse.messages,
        chosen_score=None if by_rank else _value(better, group, rule),
        rejected_score=None if by_rank else _value(worse, group, rule),
        margin=None if by_rank else choice.gap,
        tie=choice.gap == 0,
        annotator=group.annotator,
        label_kind=group.label_kind,
        source_id=group.provenance.source_id if group.provenance else "",
        meta={**group.meta, **meta},
    )


def _value(response: Response, group: RankedGroup, rule: PairRule) -> float | None:
    return value_of(response, rule, group.mean_of)


def settled(draft: Draft, rule: PairRule) -> str:
    """Why a rule passes over a pair; empty when it does not."""
    if draft.tie:
        return "tie" if rule.tie_policy == "drop" else ""
    gap = draft.margin
    if gap is None and draft.chosen_score is not None and draft.rejected_score is not None:
        gap = draft.chosen_score - draft.rejected_score
    # a negative gap is no small one: it means that the labels are inverted, which the reader reports
    return "gap under min_margin" if gap is not None and 0 <= gap < rule.min_margin else ""


def pair_of(draft: Draft, place: Place, settings: Settings, format_: PairFormat, released: JsonMap) -> PreferencePair:
    """The record of a checked pair; ``released`` is :attr:`Settings.released`, found once for all rows."""
    if draft.own is not None:
        return _own_again(draft, draft.own, place)
    draft = _coin(draft, settings.rule) if draft.tie and "rule" not in draft.meta else draft
    meta = {"format": format_.name, "rule": released}
    if draft.origin:
        meta["origin"] = draft.origin
    return PreferencePair(
        content_id("pair", draft.prompt, draft.chosen, draft.rejected),
        draft.prompt,
        draft.chosen,
        draft.rejected,
        draft.chosen_score,
        draft.rejected_score,
        0.0 if draft.tie else draft.margin,
        draft.annotator,
        settings.label_kind or draft.label_kind or format_.label_kind,
        draft.tie,
        _provenance(place, settings, format_, draft.source_id),
        meta | draft.meta,
    )


def _own_again(draft: Draft, own: PreferencePair, place: Place) -> PreferencePair:
    """A pair of ours as it was; one whose turns were merged is another pair."""
    if (draft.prompt, draft.chosen, draft.rejected) == (own.prompt, own.chosen, own.rejected):
        return own
    new_id = content_id("pair", draft.prompt, draft.chosen, draft.rejected)
    return replace(own, id=new_id, prompt=draft.prompt, chosen=draft.chosen, rejected=draft.rejected)


def _coin(draft: Draft, rule: PairRule) -> Draft:
    """A tie whose sides are in an order that a hash chose: the first place in a file must not win."""
    toss = int(stable_id(rule.seed, content_id("pair", draft.prompt, draft.chosen, draft.rejected)), 16)
    if toss % 2 == 0:
        return draft
    names = {"chosen_model": "rejected_model", "rejected_model": "chosen_model"}
    meta = {names.get(key, key): value for key, value in draft.meta.items()}
    return replace(
        draft,
        chosen=draft.rejected,
        rejected=draft.chosen,
        chosen_score=draft.rejected_score,
        rejected_score=draft.chosen_score,
        meta=meta,
    )


def _provenance(place: Place, settings: Settings, format_: PairFormat, source_id: str) -> Provenance:
    return Provenance(settings.source, source_id, format_.licence, path=place.file, line=place.line)


def prompt_item(given: Given, place: Place, settings: Settings, format_: PairFormat) -> PromptItem:
    """The prompt of whatever a row gives.

    Raises:
        RowError: no prompt, or one that ends with an answer.
    """
    prompt = given.prompt
    if not prompt or not any(m.content.strip() for m in prompt if m.role != "system"):
        raise RowError("empty prompt")
    if prompt[-1].role not in ("user", "tool"):
        raise RowError(f"prompt ends with {prompt[-1].role}")
    extra = given if isinstance(given, PromptDraft) else PromptDraft(prompt)
    return PromptItem(
        content_id("prompt", prompt),
        prompt,
        extra.domain,
        extra.answer,
        extra.checker,
        _provenance(place, settings, format_, given.source_id),
    )
