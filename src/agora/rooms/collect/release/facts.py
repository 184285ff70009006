"""Everything that is told of a release: its manifest, card, report and statistics are made of these values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agora.rooms.collect.release.asked import Asked
from agora.rooms.collect.release.gates import Gate
from agora.rooms.collect.release.plan import Plan
from agora.rooms.collect.release.shards import Counted, Shard
from agora.rooms.collect.release.shown import SHOWN, Shown
from agora.rooms.collect.statistics.numbers import numbers
from agora.rooms.collect.statistics.tally import PARTS, Tally

DIGITS = 4


@dataclass(frozen=True, slots=True)
class Facts:
    """A release that is ready to be told of.

    Args:
        name: of the release.
        number: 1 for the store's first release.
        operator: who answers for it.
        contact: where people can turn; may be empty.
        asked: settings, key, versions.
        input_seq: the last event that the input list knows.
        plan: the input list.
        shown: the rows that stay, and what came of the ladder.
        gates: all nine.
        shards: the files.
        counted: over all files.
        tally: the same, as any data set is counted.
        removals: how many rows of earlier releases were removed since.
    """

    name: str
    number: int
    operator: str
    contact: str
    asked: Asked
    input_seq: int
    plan: Plan
    shown: Shown
    gates: Sequence[Gate]
    shards: Sequence[Shard]
    counted: Counted
    tally: Tally
    removals: int

    @property
    def profile(self) -> str:
        """Layout of the rows."""
        return self.asked.settings.profile

    @property
    def rows(self) -> int:
        """Conversations in the release."""
        return self.counted.conversations

    @property
    def subjects(self) -> int:
        """Distinct people in the release."""
        return self.shown.subjects

    @property
    def failed(self) -> list[Gate]:
        """Gates that stop the release."""
        return [gate for gate in self.gates if gate.failed]

    @property
    def versions(self) -> dict[str, str]:
        """Version of each kind of annotation, ``tox`` with its provider."""
        return {
            f"tox:{version.partition(':')[0]}" if kind == "tox" else kind: version
            for kind, version in sorted(self.asked.wanted)
        }

    def anonymity(self) -> dict[str, Any]:
        """The gate's figures."""
        return {
            "k_asked": self.asked.settings.k,
            "k_reached": self.shown.k,
            "quasi_identifiers": list(SHOWN[self.profile]),
            "counted": "distinct subjects",
            "rows_by_class_size_before": self.shown.anonymous.before,
            "rows_by_class_size_after": self.shown.anonymous.after,
            "rows_changed_by_rung": self.shown.anonymous.rungs,
            "share_coarser": self.shown.anonymous.coarsened,
            "share_lost": self.shown.anonymous.suppressed,
            "free_text_covered": False,
        }

    def figures(self) -> dict[str, int | float | None]:
        """The most asked-for figures of what is in the files."""
        c, tally = self.counted, self.tally
        held: dict[str, int | float | None] = {
            "conversations": c.conversations,
            "subjects": self.subjects,
            "rounds": tally.rounds.total,
            "messages": c.messages,
            "mean rounds": _mean(tally.rounds.total, tally.rounds.n),
            "share of several rounds": _mean(tally.multi, c.conversations),
            "share of more than 10 rounds": _mean(tally.over_ten, c.conversations),
            **{f"mean words of a {part} turn": _rounded(tally.sizes["words", part].mean) for part in PARTS.values()},
        }
        return held | {name.replace("_", " "): n for name, n in self.redaction().items() if isinstance(n, int)}

    def rankings(self) -> dict[str, dict[str, int]]:
        """Counts by value, most frequent first."""
        return {
            "languages of messages": ranked(self.tally.turn_languages),
            "models of conversations": ranked(self.tally.models),
            "countries of conversations": ranked(self.tally.countries),
        }

    def redaction(self) -> dict[str, Any]:
        """What was replaced, and what is toxic as the files have it."""
        c = self.counted
        return {
            "toxic_conversations": c.toxic,
            "toxic_messages": c.toxic_messages.total(),
            "share_toxic_messages": {r: _mean(c.toxic_messages[r], n) for r, n in sorted(c.by_role.items())},
            "redacted_conversations": c.redacted,
            "redacted_messages": c.redacted_messages,
            "redacted_spans": ranked(c.spans),
            "spans_found_only_after_redaction": c.late_spans,
            "spans_left_by_published_rules": ranked(c.exempt),
        }

    def statistics(self) -> dict[str, Any]:
        """The tables of ``agora collect stats`` over the files, with what only a release has."""
        return {**numbers(self.tally), "release": self.redaction(), "anonymity": self.anonymity()}


def ranked(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts, largest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _mean(total: int, n: int) -> float | None:
    return _rounded(total / n) if n else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
