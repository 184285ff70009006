"""The nine gates between the store and a release, each with a count and a few ids, never with a text.

A gate either *drops* rows (a person withdrew, a class is too small) or *fails*: then nothing is published.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 20

#: Number, name and rule of each gate.
GATES: tuple[tuple[str, str], ...] = (
    ("consent", "the person agreed to publication, to words that count, and has not withdrawn"),
    ("quarantine", "the last message is old enough, so that people could still erase it"),
    ("enrichment", "every required kind of annotation is there, at the wanted version"),
    ("residue", "after redaction no personal data or secret is found any more"),
    ("content", "no sexual content about minors, nothing reserved, automated or broken off"),
    ("k-anonymity", "enough distinct persons share what a row tells of its person"),
    ("license", "the license of every source allows the license of the release"),
    ("schema", "the files have exactly the schema of the profile"),
    ("card", "no section of the dataset card is empty"),
)
NAMES = tuple(name for name, _ in GATES)


@dataclass(slots=True)
class Tally:
    """Rows by reason, with the smallest ids as examples. Two tallies add up, in any order to the same."""

    counts: Counter[str] = field(default_factory=Counter)
    ids: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, identifier: str) -> None:
        """Count one row."""
        self.counts[reason] += 1
        held = self.ids.setdefault(reason, [])
        if len(held) < EXAMPLES or identifier < held[-1]:
            held.append(identifier)
            held.sort()
            del held[EXAMPLES:]

    def update(self, other: Tally) -> None:
        """Add another tally."""
        self.counts.update(other.counts)
        for reason, found in other.ids.items():
            self.ids[reason] = sorted({*self.ids.get(reason, []), *found})[:EXAMPLES]

    def only(self, reasons: Iterable[str]) -> Tally:
        """The part of some reasons."""
        chosen = set(reasons)
        return Tally(
            Counter({r: n for r, n in self.counts.items() if r in chosen}),
            {r: found for r, found in self.ids.items() if r in chosen},
        )

    def as_json(self) -> dict[str, Any]:
        """Reasons with count and example ids, in the order of their names."""
        return {r: {"count": n, "examples": self.ids.get(r, [])} for r, n in sorted(self.counts.items()) if n}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Tally:
        """The tally that :meth:`as_json` wrote."""
        counts = Counter({reason: part["count"] for reason, part in found.items()})
        return cls(counts, {reason: list(part["examples"]) for reason, part in found.items()})


#: Reasons for which a row is dropped or a build fails, by gate.
REASONS: Mapping[str, tuple[str, ...]] = {
    "consent": ("terms", "declined", "withdrawn", "other_words", "source_not_asked_for", "excluded", "outside_dates"),
    "quarantine": ("too_recent",),
    "enrichment": ("not_enriched",),
    "residue": ("residual_span",),
    "content": (
        *("sexual_minors", "reserved", "held_back", "automated", "toxic", "no_sound_reply", "roles_do_not_alternate"),
        "erased_meanwhile",
    ),
    "k-anonymity": ("class_too_small",),
    "license": ("incompatible_license",),
    "schema": ("other_schema",),
    "card": ("empty_section",),
}
#: Reasons that stop a build.
HARD = frozenset({"not_enriched", "residual_span", "incompatible_license", "other_schema", "empty_section"})


@dataclass(frozen=True, slots=True)
class Gate:
    """What one gate found."""

    number: int
    name: str
    rule: str
    found: Tally
    note: str = ""

    @property
    def failed(self) -> bool:
        """Whether the gate stops the build."""
        return any(count and reason in HARD for reason, count in self.found.counts.items())

    @property
    def dropped(self) -> int:
        """Rows that the gate left out."""
        return sum(count for reason, count in self.found.counts.items() if reason not in HARD)

    def as_json(self, *, ids: bool) -> dict[str, Any]:
        """For the store and the operator with ids, for what is given away without them: an id tells its time."""
        reasons = self.found.as_json()
        return {
            "number": self.number,
            "name": self.name,
            "rule": self.rule,
            "status": "failed" if self.failed else "passed",
            "dropped": self.dropped,
            "reasons": reasons if ids else {reason: {"count": part["count"]} for reason, part in reasons.items()},
            "note": self.note,
        }


def gates_of(tally: Tally, notes: Mapping[str, str]) -> list[Gate]:
    """All nine gates over what was counted."""
    return [
        Gate(n, name, rule, tally.only(REASONS[name]), notes.get(name, ""))
        for n, (name, rule) in enumerate(GATES, start=1)
    ]
