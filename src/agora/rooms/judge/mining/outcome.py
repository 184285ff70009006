"""What a mining came to: its funnel, its notes and how its raters did, from what the steps have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.runs import RunDir
from agora.core.tables import read_json
from agora.curate.funnel import Funnel
from agora.rooms.judge.mining.asking import name_of
from agora.rooms.judge.mining.ratings import Rating
from agora.rooms.judge.mining.read import RULES, ReadOutcome
from agora.rooms.judge.mining.settings import MineSettings

if TYPE_CHECKING:
    from agora.curate.embeddings import EmbedderSpec
    from agora.engines.types import Engine

#: The funnel's steps after the rules.
NOT_NEAR = "not a duplicate"
NOT_CLOSE = "not close in meaning"
LAST = "the last conversation of its user"
DRAWN = "drawn to be rated"
NOT_EASY = "makes sense and is not easy for every rater"
IN_MIX = "within the number and mix asked for"


@dataclass(frozen=True, slots=True)
class Mined:
    """What a mining came to.

    ``notes`` say what could not be done or known; ``mix`` has one row a category: share, available, chosen.
    """

    folder: Path
    tasks: Path
    dropped: Path
    num_tasks: int
    num_private: int
    funnel: Funnel
    notes: tuple[str, ...]
    mix: tuple[dict[str, Any], ...]
    raters: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """The object that ``agora judge mine --json`` prints."""
        return {
            "folder": str(self.folder),
            "tasks": str(self.tasks),
            "dropped": str(self.dropped),
            "report": str(self.folder / "report.html"),
            "num_tasks": self.num_tasks,
            "num_private": self.num_private,
            "funnel": self.funnel.summary(),
            "notes": list(self.notes),
            "mix": list(self.mix),
            "raters": list(self.raters),
        }

    @classmethod
    def of(cls, run: RunDir) -> Mined:
        """What a finished mining came to, from its files."""
        known = read_json(run.path / "mining.json")
        return cls(
            run.path,
            run.path / "tasks.jsonl",
            run.path / "dropped.jsonl",
            known["num_tasks"],
            known["num_private"],
            Funnel.from_json(known["funnel"]),
            tuple(known["notes"]),
            tuple(known["mix"]),
            tuple(known["raters"]),
        )


def read_outcome(run: RunDir) -> ReadOutcome:
    """What reading the log came to."""
    known = read_json(run.path / "work/read.json")
    known["rejected"], known["unknown"] = Counter(known["rejected"]), Counter(known["unknown"])
    known["refused"] = tuple(Counter(reasons) for reasons in known["refused"])
    return ReadOutcome(**known)


def funnel_of(
    outcome: ReadOutcome, steps: Sequence[tuple[str, dict[str, int]]], late: Sequence[dict[str, Any]], rated: bool
) -> Funnel:
    """The funnel of all steps.

    Args:
        steps: counts by reason of the steps after the rules, with their names.
        late: rows that were dropped after the raters, each with its step and reason.
        rated: whether raters were asked.
    """
    funnel = Funnel()
    funnel.start("rows of the log", outcome.num_rows)
    funnel.step("rows that can be read", outcome.rejected)
    funnel.start("conversations, one a path of a tree", outcome.num_paths)
    for rule, reasons in zip(RULES, outcome.refused, strict=True):
        funnel.step(rule, reasons)
    for step, counts in steps:
        funnel.step(step, counts)
    for step in (NOT_EASY, IN_MIX) if rated else ():
        funnel.step(step, Counter(row["reason"] for row in late if row["step"] == step))
    return funnel


def rater_row(name: str, ratings: dict[str, list[Rating]]) -> dict[str, Any]:
    """How one rater did: replies by status, and what it cost."""
    own = [rating for of_task in ratings.values() for rating in of_task if rating.rater == name]
    spent = {
        key: round(sum(rating.usage.get(key, 0) for rating in own), 6)
        for key in ("prompt_tokens", "completion_tokens", "cost_usd")
    }
    return {"rater": name, "status": dict(Counter(rating.status for rating in own)), **spent}


def notes_of(
    outcome: ReadOutcome,
    distinct: dict[str, Any],
    settings: MineSettings,
    ratings: dict[str, list[Rating]],
    raters: Sequence[Engine],
    embedder: EmbedderSpec | None,
) -> list[str]:
    """What was not done, and what the log did not say."""
    notes = []
    if not raters:
        notes.append("no rater: difficulty, categories and intent are unknown, nothing was dropped as easy")
    if embedder is None:
        notes.append("no embedder: duplicates were found by their letters, paraphrases were not looked for")
    if settings.language and (n := outcome.unknown["language"]):
        notes.append(f"{n:,} conversations state no language and passed as {settings.language}")
    if settings.toxic == "drop" and (n := outcome.unknown["toxicity"]):
        notes.append(f"{n:,} conversations carry no toxicity flag and passed")
    if settings.one_per_user and (n := distinct["unknown_users"]):
        notes.append(f"{n:,} conversations name no user and each counts as one")
    for rater in raters:
        name = name_of(rater)
        failed = Counter(r.status for of in ratings.values() for r in of if r.rater == name and r.status != "ok")
        if failed:
            told = ", ".join(f"{n} {status}" for status, n in failed.most_common())
            notes.append(f"{name} gave no rating of some tasks ({told}); they are not dropped as easy")
    return notes
