"""Cut benchmark tasks from real conversations (WildBench, arXiv:2406.04770, section 2.1).

A task is everything up to and including the last user turn; earlier assistant turns stay as they were. Every
conversation that does not become a task is counted under the rule that stopped it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agora.core.errors import ConfigError
from agora.core.records import Conversation, Message, Task, stable_id
from agora.curate.duplicates import mark_duplicates
from agora.curate.funnel import Funnel

_WORD = re.compile(r"\w+")
STEPS = (
    "ends with a user's request",
    "at most the allowed number of user turns",
    "request of a workable length",
    "in the language asked for",
    "not a near-duplicate",
    "within the number asked for",
)


@dataclass(frozen=True, slots=True)
class MineRules:
    """What a conversation must be like to become a task.

    Args:
        min_words, max_words: of the last user turn, counted as runs of word characters (the paper: 10 to 3,000 tokens).
        max_turns: user turns (the paper: 5).
        language: English name of the language wanted, or None for any; conversations without a known language pass.
        near_duplicate_jaccard: char-5 similarity of requests above which only one stays (the paper uses embeddings at
            cosine 0.9).
        max_tasks: drawn evenly by hash of the seed when more are left.
    """

    min_words: int = 10
    max_words: int = 3000
    max_turns: int = 5
    language: str | None = None
    near_duplicate_jaccard: float = 0.8
    max_tasks: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.min_words <= self.max_words:
            raise ConfigError(f"min_words must lie in 1..max_words, got {self.min_words} and {self.max_words}")


def mine_tasks(conversations: Iterable[Conversation], rules: MineRules = MineRules()) -> tuple[list[Task], Funnel]:
    """Tasks in a fixed order, and the funnel that says why the rest is none.

    Args:
        conversations: imported ones; of a tree every root-to-leaf path counts as a conversation.
        rules: what becomes a task.
    """
    funnel = Funnel()
    left: list[tuple[Conversation, tuple[Message, ...]]] = [
        (conversation, path) for conversation in conversations for path in conversation.paths()
    ]
    funnel.start("conversations, one a path of a tree", len(left))
    cut = [(conversation, _up_to_last_request(path)) for conversation, path in left]
    tasks: list[Task] = []
    reasons: dict[str, dict[str, int]] = {step: {} for step in STEPS}
    for conversation, turns in cut:
        step, reason = _refused(conversation, turns, rules)
        if reason:
            reasons[step][reason] = reasons[step].get(reason, 0) + 1
        else:
            tasks.append(_task(conversation, turns))
    tasks = _distinct(tasks, rules, reasons)
    if len(tasks) > rules.max_tasks:
        reasons[STEPS[5]]["over the number asked for"] = len(tasks) - rules.max_tasks
        chosen = sorted(tasks, key=lambda task: stable_id(rules.seed, task.id))[: rules.max_tasks]
        keep = {task.id for task in chosen}
        tasks = [task for task in tasks if task.id in keep]
    for step in STEPS:
        funnel.step(step, reasons[step])
    return tasks, funnel


def _up_to_last_request(path: tuple[Message, ...]) -> tuple[Message, ...]:
    last = max((i for i, message in enumerate(path) if message.role == "user"), default=-1)
    return path[: last + 1]


def _refused(conversation: Conversation, turns: tuple[Message, ...], rules: MineRules) -> tuple[str, str]:
    """The step and reason that stop a conversation; empty strings when nothing does."""
    if not turns or not turns[-1].content.strip():
        return STEPS[0], "no request"
    if sum(message.role == "user" for message in turns) > rules.max_turns:
        return STEPS[1], "too many turns"
    words = len(_WORD.findall(turns[-1].content))
    if not rules.min_words <= words <= rules.max_words:
        return STEPS[2], "too short" if words < rules.min_words else "too long"
    language = conversation.provenance.language
    if rules.language and language and language.lower() != rules.language.lower():
        return STEPS[3], f"language is {language}"
    return "", ""


def _task(conversation: Conversation, turns: tuple[Message, ...]) -> Task:
    messages = tuple(
        Message(m.role, m.content, id=str(i), parent=str(i - 1) if i else None) for i, m in enumerate(turns)
    )
    pairs = [(m.role, m.content) for m in messages]
    return Task(
        id=stable_id("task", pairs),
        benchmark="mined",
        version="1",
        messages=messages,
        provenance=conversation.provenance,
        meta={"conversation": conversation.id},
    )


def _distinct(tasks: list[Task], rules: MineRules, reasons: dict[str, dict[str, int]]) -> list[Task]:
    """One task of each group of near-duplicate requests, in the order of the file."""
    marks = mark_duplicates(
        [(f"{i:09d}", task.messages[-1].content) for i, task in enumerate(tasks)], rules.near_duplicate_jaccard
    )
    kept: list[Task] = []
    for task, mark in zip(tasks, marks, strict=True):
        if mark.kept:
            kept.append(task)
        else:
            name = f"{mark.kind} duplicate"
            reasons[STEPS[4]][name] = reasons[STEPS[4]].get(name, 0) + 1
    return kept
