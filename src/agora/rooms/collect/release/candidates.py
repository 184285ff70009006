"""Which conversations may come into a release, and why others may not. Texts are not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agora.rooms.collect.release.asked import DAY_US, Asked
from agora.rooms.collect.release.found import Findings, kinds_mask
from agora.rooms.collect.release.licenses import compatible
from agora.rooms.collect.release.paths import Node, alternates, choose
from agora.store.consent import ConsentState

EPOCH_ORDINAL = 719_163  # date(1970, 1, 1).toordinal()


class Head(NamedTuple):
    """What the store knows of a conversation and of its person."""

    conversation_id: str
    subject_id: str | None
    source: str
    source_license: str | None
    reserved_for: str | None
    automation_score: float | None
    dup_cluster: str | None
    held: bool  # back from every release
    imported_zstd: bytes | None
    consent_state: str | None
    consent_version: str | None
    consent_sha256: str | None
    header_json: str | None


class Talk(NamedTuple):
    """A conversation as of the moment of the release; what follows its head has one entry a message, in order of ids.

    ``sizes`` are of the compressed texts, in bytes; ``empty`` says whether a text is empty; ``found`` is what
    annotations, or the import, say. Times are microseconds since 1970, UTC.
    """

    row: Head
    sizes: Sequence[int]
    empty: Sequence[bool]
    ids: Sequence[str]
    parents: Sequence[str | None]
    roles: Sequence[str]
    statuses: Sequence[str]
    at_us: Sequence[int]
    done_us: Sequence[int]
    found: Sequence[Findings]


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
        if max(max(talk.at_us, default=0), max(talk.done_us, default=0)) > self._newest_us:
            return "too_recent", None
        if row.reserved_for:
            return "reserved", None
        if row.held:
            return "held_back", None
        if (row.automation_score or 0.0) >= self.asked.settings.selection.automation_threshold:
            self.automated += 1
            if not self.asked.settings.selection.include_automated:
                return "automated", None
        part = self._sound(talk)
        if part is None:
            return "no_sound_reply", None
        if self._strict and not alternates([talk.roles[i] for i in part.shown]):
            return "roles_do_not_alternate", None
        if not self._since <= day_of(talk.done_us[part.leaf]) < self._until:
            return "outside_dates", None
        if row.source_license and not self._compatible(row.source_license):
            return "incompatible_license", None
        return self._by_annotations(part, talk), part

    def _without_consent(self, row: Head) -> str | None:
        """Why a person's word does not cover a conversation; an imported one is covered by the operator's asking."""
        if row.subject_id is None:
            return None if row.source in self._sources else "source_not_asked_for"
        if row.consent_state != ConsentState.PUBLISH:
            return str(row.consent_state)
        versions = self.asked.settings.selection.consent_versions
        if versions and row.consent_version not in versions:
            return "other_words"
        return None

    def _sound(self, talk: Talk) -> Part | None:
        path: Sequence[int] = range(len(talk.ids))
        tree, cut = path, False
        if not self._is_plain(talk):
            nodes = list(map(Node, talk.ids, talk.parents, talk.roles, talk.statuses, talk.at_us, talk.done_us))
            chosen = choose(nodes, self._statuses)
            if not chosen.path:
                return None
            place = {node.id: i for i, node in enumerate(nodes)}
            path, tree, cut = [place[i] for i in chosen.path], [place[i] for i in chosen.tree], chosen.cut
        shown = path if self._linear else tree
        if self._strict and "system" in talk.roles:  # the profile has two roles
            shown = [i for i in path if talk.roles[i] != "system"]
        return Part(path, tree, shown, cut)

    def _is_plain(self, talk: Talk) -> bool:
        """Whether all of a conversation is one thread that :func:`choose` takes whole: most of them are."""
        ids = talk.ids
        threaded = bool(ids) and talk.roles[-1] == "assistant" and talk.parents == (None, *ids[:-1])
        return threaded and self._statuses.issuperset(talk.statuses)

    def _by_annotations(self, part: Part, talk: Talk) -> str | None:
        chosen, found = part.path if self._linear else part.tree, talk.found
        required, of_all = self._required, self._required_of_all
        if required == of_all:
            lacking = [i for i in chosen if found[i].kinds & required != required]
        else:
            wanted = [required if role == "user" else of_all for role in talk.roles]
            lacking = [i for i in chosen if found[i].kinds & wanted[i] != wanted[i]]
        if lacking and not all(talk.empty[i] for i in lacking):
            return "not_enriched"
        if True in [one.minors for one in found]:
            return "sexual_minors"
        selection = self.asked.settings.selection
        if selection.without_toxic and any(found[i].is_toxic(selection.toxicity_threshold) for i in chosen):
            return "toxic"
        return None

    def _compatible(self, source_license: str) -> bool:
        known = self._licenses.get(source_license)
        if known is None:
            allowed = self.asked.settings.allowed_licenses
            known = self._licenses[source_license] = compatible(source_license, self.asked.license, allowed)
        return known


def day_of(done_us: int) -> int:
    """The day (UTC) of a moment in microseconds since 1970, as :meth:`datetime.date.toordinal` counts."""
    return done_us // DAY_US + EPOCH_ORDINAL
