"""What models say of a task: its intent, its difficulty, its categories, and whether it makes sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from agora.core.records import Task, VerdictStatus
from agora.rooms.judge.mining.asking import Ask, Reply, UnreadableError, ask_all, name_of
from agora.rooms.judge.mining.settings import TAGS

if TYPE_CHECKING:
    from agora.engines.types import Engine

#: The five levels, 1 to 5.
LEVELS: tuple[str, ...] = ("very easy", "easy", "medium", "hard", "very hard")
_EASY = 2
_MAX_INTENT_CHARS = 400
_MEANINGS = {
    "Information seeking": "facts about a topic",
    "Advice seeking": "recommendations on personal or professional matters",
    "Math": "mathematical problems",
    "Data Analysis": "interpreting data and statistics",
    "Reasoning": "logic and complex ideas",
    "Planning": "plans and strategies",
    "Coding & Debugging": "writing, reviewing or repairing code",
    "Creative Writing": "stories, poems and the like",
    "Editing": "rephrasing, proofreading or composing general text",
    "Brainstorming": "coming up with ideas",
    "Role playing": "taking on a persona",
    "Others": "none of these",
}
_TAG_OF = {tag.casefold(): tag for tag in TAGS}
_CATEGORIES = "\n".join(f"   - {tag}: {_MEANINGS[tag]}" for tag in TAGS)


@dataclass(frozen=True, slots=True)
class Rating:
    """One rater on one task. Without status ``ok`` nothing is known: no level, no tag."""

    SCHEMA: ClassVar[str] = "task_rating/1"
    task_id: str
    rater: str
    status: VerdictStatus
    level: int | None  # 1 very easy .. 5 very hard
    primary_tag: str = ""
    secondary_tags: tuple[str, ...] = ()
    intent: str = ""
    makes_sense: bool | None = None
    raw_text: str = ""
    error: str | None = None
    prompt_name: str = ""
    prompt_hash: str = ""
    attempts: int = 1
    usage: dict[str, Any] = field(default_factory=dict)


def read_rating(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a rating out of a reply's object.

    Raises:
        UnreadableError: a level or category that is none; nothing is guessed.
    """
    level = str(fields.get("difficulty", "")).strip().strip(".").casefold()
    if level not in LEVELS:
        raise UnreadableError("difficulty is none of the five levels")
    primary = _TAG_OF.get(str(fields.get("primary_tag", "")).strip().casefold())
    if primary is None:
        raise UnreadableError("primary_tag is none of the categories")
    listed = fields.get("secondary_tags")
    others = [str(tag).strip().casefold() for tag in listed] if isinstance(listed, list) else []
    # an unknown second category harms nothing and is left out
    secondary = tuple(dict.fromkeys(_TAG_OF[tag] for tag in others if tag in _TAG_OF and _TAG_OF[tag] != primary))
    sense = str(fields.get("makes_sense", "")).strip().strip(".").casefold()
    if sense not in ("yes", "no"):
        raise UnreadableError("makes_sense is neither yes nor no")
    intent = fields.get("intent")
    if not isinstance(intent, str) or not intent.strip():
        raise UnreadableError("no intent")
    return {
        "level": LEVELS.index(level) + 1,
        "primary_tag": primary,
        "secondary_tags": secondary,
        "intent": " ".join(intent.split())[:_MAX_INTENT_CHARS],
        "makes_sense": sense == "yes",
    }


RATE = Ask("rate", "difficulty", read_rating, {"categories": _CATEGORIES}, usual_tokens=150)


def rate_tasks(tasks: Iterable[Task], rater: Engine, secret: str) -> Iterator[Rating]:
    """One rating a task by one rater, in any order; see :func:`agora.rooms.judge.mining.asking.ask_all`."""
    name, prompt = name_of(rater), RATE.prompt
    for reply in ask_all(RATE, tasks, rater, secret):
        yield _rating(reply, name, prompt.name, prompt.hash)


def _rating(reply: Reply, rater: str, prompt_name: str, prompt_hash: str) -> Rating:
    known: dict[str, Any] = reply.value or {"level": None}
    return Rating(
        reply.task_id,
        rater,
        reply.status,
        raw_text=reply.raw_text,
        error=reply.error,
        prompt_name=prompt_name,
        prompt_hash=prompt_hash,
        attempts=reply.attempts,
        usage=reply.usage,
        **known,
    )


def with_ratings(task: Task, ratings: Sequence[Rating]) -> Task:
    """The task with what its raters agree on; a rater without an answer says nothing.

    ``difficulty`` is the middle level (the lower of two), ``primary_tag`` the most named one, the first rater's on a
    tie, and ``secondary_tags`` are those that at least half of the raters name, first or second. ``meta["difficulty"]``
    holds each rater's level or status.
    """
    known = [rating for rating in ratings if rating.status == "ok"]
    said = {rating.rater: rating.level if rating.status == "ok" else rating.status for rating in ratings}
    if not known:
        return replace(task, meta={**task.meta, "difficulty": said})
    levels = sorted(rating.level for rating in known if rating.level is not None)
    votes = Counter(rating.primary_tag for rating in known)  # on a tie the first that was counted comes first
    primary = votes.most_common(1)[0][0]
    named = Counter(tag for rating in known for tag in (rating.primary_tag, *rating.secondary_tags))
    secondary = tuple(tag for tag in TAGS if tag != primary and 2 * named[tag] >= len(known))
    return replace(
        task,
        intent=known[0].intent,
        primary_tag=primary,
        secondary_tags=secondary,
        difficulty=LEVELS[levels[(len(levels) - 1) // 2] - 1],
        meta={**task.meta, "difficulty": said},
    )


def refusal_by_raters(ratings: Sequence[Rating], num_raters: int) -> str | None:
    """Why a task goes: every rater finds it easy or very easy, or senseless; None when it stays.

    A rater that did not answer has not said that it is easy, so the task stays.
    """
    known = [rating for rating in ratings if rating.status == "ok"]
    if len(known) < num_raters or not known:
        return None
    if all(rating.makes_sense is False for rating in known):
        return "makes no sense to any rater"
    easy = all(rating.level is not None and rating.level <= _EASY for rating in known)
    return "easy for every rater" if easy else None
