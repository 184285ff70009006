"""Which conversations may come into a release, and why others may not. Texts are not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row

from agora.rooms.collect.release.asked import DAY_US, Asked
from agora.rooms.collect.release.found import Findings, kinds_mask
from agora.rooms.collect.release.licenses import compatible
from agora.rooms.collect.release.paths import Node, alternates, choose
from agora.store.consent import ConsentState

EPOCH_ORDINAL = 719_163  # date(1970, 1, 1).toordinal()


@dataclass(slots=True)
class Talk:
    """A conversation as of the moment of the release. All lists have one entry a message, in the order of their ids.

    Args:
        row: of the conversation and its person.
        nodes: the messages.
        sizes: of their compressed texts, in bytes.
        empty: whether a text is empty.
        found: what annotations, or the import, say of them.
    """

    row: Row[Any]
    nodes: list[Node]
    sizes: list[int]
    empty: list[bool]
    found: list[Findings]


class Part(NamedTuple):
    """What of a conversation comes in: places in the lists of its :class:`Talk`.

    ``path`` is one thread, ``tree`` every sound message, ``shown`` what a row of the profile holds of them.
    """

    path: Sequence[int]
    tree: Sequence[int]
    shown: Sequence[int]
    cut: bool

    @property
    def leaf(self) -> int:
        """The end of the thread."""
        return self.path[-1]


class Candidates:
    """Judges conversations, one after another.

    Args:
        asked: what decides.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.automated = 0  # conversations that look like a program's
        chosen_by = asked.settings.selection
        self._excluded = frozenset(chosen_by.exclude)
        self._sources = frozenset(chosen_by.sources)
        self._statuses = frozenset(chosen_by.statuses)
        self._since = chosen_by.since.toordinal() if chosen_by.since else 0
        self._until = chosen_by.until.toordinal() if chosen_by.until else 1 << 31
        self._newest_us = asked.as_of_us - asked.quarantine_us
        self._linear, self._strict = asked.linear, asked.strict
        self._required = kinds_mask(asked.settings.require)
        self._required_of_all = self._required & ~kinds_mask(("geo", "dup"))  # known of people's messages only
        self._licenses: dict[str, bool] = {}

    def judge(self, talk: Talk) -> tuple[str | None, Part | None]:
        """Why a conversation stays out, or what of it comes in."""
        row = talk.row
        if row.conversation_id in self._excluded:
            return "excluded", None
        if reason := self._without_consent(row):
            return reason, None
        last_us = max([node.at_us if node.at_us > node.done_us else node.done_us for node in talk.nodes], default=0)
        if last_us > self._newest_us:
            return "too_recent", None
        if row.reserved_for:
            return "reserved", None
        if row.held:
            return "held_back", None
        if (row.automation_score or 0.0) >= self.asked.settings.selection.automation_threshold:
            self.automated += 1
            if not self.asked.settings.selection.include_automated:
                return "automated", None
        part = self._sound(talk.nodes)
        if part is None:
            return "no_sound_reply", None
        if self._strict and not alternates([talk.nodes[i].role for i in part.shown]):
            return "roles_do_not_alternate", None
        if not self._since <= day_of(talk.nodes[part.leaf]) < self._until:
            return "outside_dates", None
        if row.source_license and not self._compatible(row.source_license):
            return "incompatible_license", None
        return self._by_annotations(part, talk), part

    def _without_consent(self, row: Row[Any]) -> str | None:
        """Why a person's word does not cover a conversation; an imported one is covered by the operator's asking."""
        if row.subject_id is None:
            return None if row.source in self._sources else "source_not_asked_for"
        if row.consent_state != ConsentState.PUBLISH:
            return str(row.consent_state)
        versions = self.asked.settings.selection.consent_versions
        if versions and row.consent_version not in versions:
            return "other_words"
        return None

    def _sound(self, nodes: Sequence[Node]) -> Part | None:
        chosen = choose(nodes, self._statuses)
        if not chosen.path:
            return None
        whole: Sequence[int] = range(len(nodes))
        plain = chosen.path == chosen.tree == tuple([node.id for node in nodes])
        path = whole if plain else _places(nodes, chosen.path)
        tree = whole if plain else _places(nodes, chosen.tree)
        shown = path if self._linear else tree
        if self._strict and any(nodes[i].role == "system" for i in path):  # the profile has two roles
            shown = [i for i in path if nodes[i].role != "system"]
        return Part(path, tree, shown, chosen.cut)

    def _by_annotations(self, part: Part, talk: Talk) -> str | None:
        chosen = part.path if self._linear else part.tree
        for i in chosen:
            required = self._required if talk.nodes[i].role == "user" else self._required_of_all
            if talk.found[i].kinds & required != required and not talk.empty[i]:
                return "not_enriched"
        for found in talk.found:
            if found.minors:
                return "sexual_minors"
        selection = self.asked.settings.selection
        if selection.without_toxic and any(talk.found[i].is_toxic(selection.toxicity_threshold) for i in chosen):
            return "toxic"
        return None

    def _compatible(self, source_license: str) -> bool:
        known = self._licenses.get(source_license)
        if known is None:
            allowed = self.asked.settings.allowed_licenses
            known = self._licenses[source_license] = compatible(source_license, self.asked.license, allowed)
        return known


def day_of(node: Node) -> int:
    """The day (UTC) on which a message was whole, as :meth:`datetime.date.toordinal` counts."""
    return node.done_us // DAY_US + EPOCH_ORDINAL


def _places(nodes: Sequence[Node], ids: Sequence[str]) -> list[int]:
    place = {node.id: i for i, node in enumerate(nodes)}
    return [place[i] for i in ids]
